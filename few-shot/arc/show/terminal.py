"""A task's grids as panels, and how a terminal shows them."""

import os
from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import NamedTuple, TextIO

from arc.puzzles.grids import COLORS, Grid
from arc.puzzles.tasks import Task

Rgb = tuple[int, int, int]

PALETTE: tuple[Rgb, ...] = (
    (0, 0, 0),  # black
    (0, 116, 217),  # blue
    (255, 65, 54),  # red
    (46, 204, 64),  # green
    (255, 220, 0),  # yellow
    (170, 170, 170),  # grey
    (240, 18, 190),  # magenta
    (255, 133, 27),  # orange
    (127, 219, 255),  # light blue
    (135, 12, 37),  # maroon
)
"""The colours 0 to 9 as ARC's own viewer shows them."""

UNKNOWN_COLOR: Rgb = (255, 255, 255)
"""For cells beyond the colours; the release's reading of answers accepts them."""

_CELL_WIDTH = 2
_NOTHING = "(none)"
_GAP = "   "
_RESET = "\x1b[0m"


class Panel(NamedTuple):
    """A grid and its caption; None where there was no prediction."""

    caption: str
    grid: Grid | None

    @property
    def cells(self) -> Grid:
        """The grid; no rows where there is nothing to draw."""
        return self.grid if self.grid and self.grid[0] else ()


def task_panels(task: Task, attempts: Sequence[Grid | None] = ()) -> list[list[Panel]]:
    """A row for each demonstration and one for the test: its input, the attempts, the target.

    Attempts are marked as right or wrong where the target is known.
    """
    rows = [
        [Panel(f"input {number}", pair.input), Panel(f"output {number}", pair.output)]
        for number, pair in enumerate(task.demonstrations, start=1)
    ]
    test = [Panel("test input", task.test_input)]
    for number, attempt in enumerate(attempts, start=1):
        verdict = "right" if attempt == task.target else "wrong"
        mark = "" if task.target is None else f", {verdict}"
        test.append(Panel(f"attempt {number}{mark}", attempt))
    if task.target is not None:
        test.append(Panel("target", task.target))
    return [*rows, test]


def rgb(cell: int) -> Rgb:
    """The colour of a cell."""
    return PALETTE[cell] if 0 <= cell < COLORS else UNKNOWN_COLOR


def wants_color(stream: TextIO) -> bool:
    """Whether to colour text for the stream: it is a terminal, and NO_COLOR is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def terminal_grid(grid: Grid, color: bool = True) -> list[str]:
    """A line per row, two characters per cell, each cell's digit on its colour."""
    return [
        "".join(_run(cell, len(list(run)), color) for cell, run in groupby(row)) for row in grid
    ]


def terminal_row(panels: Sequence[Panel], color: bool = True) -> str:
    """Panels side by side, captions on top: several lines, without a line feed at the end."""
    columns = [_column(panel, color) for panel in panels]
    # A caption holds no escapes, so its length is the column's visible width
    blanks = [" " * len(column[0]) for column in columns]
    return "\n".join(
        _GAP.join(part or blank for part, blank in zip(parts, blanks, strict=True)).rstrip()
        for parts in zip_longest(*columns)
    )


def _column(panel: Panel, color: bool) -> list[str]:
    """The panel's lines, all of one visible width, the caption first."""
    lines = terminal_grid(panel.cells, color) or [_NOTHING]
    size = _CELL_WIDTH * len(panel.cells[0]) if panel.cells else len(_NOTHING)
    width = max(len(panel.caption), size)
    return [panel.caption.ljust(width), *(line + " " * (width - size) for line in lines)]


def _run(cell: int, length: int, color: bool) -> str:
    """Equal cells in a row, which share their escapes."""
    text = (str(cell) if 0 <= cell < COLORS else "?").ljust(_CELL_WIDTH) * length
    if not color:
        return text
    red, green, blue = rgb(cell)
    # Perceived brightness (ITU-R BT.601), so that the digits stand out
    ink = 30 if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else 97
    return f"\x1b[{ink};48;2;{red};{green};{blue}m{text}{_RESET}"
