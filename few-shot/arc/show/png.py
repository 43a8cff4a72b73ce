"""Tasks and attempts as PNG files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from arc.show.terminal import Panel, rgb
from seal.report.plots import save_png

# In inches: one scale for all grids, so that they compare by eye
_CELL = 0.2
_LARGEST = 40.0
_MARGIN = 0.25
_GAP = 0.55
_CAPTION = 0.28
_SPACE = 0.12  # below a row
_CHARACTER = 0.075
_EMPTY = 3  # cells each way
_POINTS = 9
_LINE_COLOR = "#555555"
_MUTED_COLOR = "#888888"


def draw_panels(rows: Sequence[Sequence[Panel]], path: Path) -> None:
    """Draw rows of panels, such as `task_panels` gives, an arrow after each row's first."""
    across = max(sum(_extent(panel)[1] for panel in row) for row in rows)
    down = sum(max(_extent(panel)[0] for panel in row) for row in rows)
    # Less than usual where the plot would become too large to open
    cell = min(_CELL, _LARGEST / max(across, down))
    widths = [
        [max(_extent(panel)[1] * cell, len(panel.caption) * _CHARACTER) for panel in row]
        for row in rows
    ]
    # All first panels have one width, so that the second ones align
    widest = max(first for first, *_ in widths)
    widths = [[widest, *others] for _, *others in widths]
    heights = [max(_extent(panel)[0] for panel in row) * cell + _CAPTION + _SPACE for row in rows]
    width = max(sum(row) + (len(row) - 1) * _GAP for row in widths) + 2 * _MARGIN
    height = sum(heights) + 2 * _MARGIN
    figure = Figure(figsize=(width, height))
    # One inch is one unit, downwards as rows of grids are counted
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    top = _MARGIN
    for row, row_widths, row_height in zip(rows, widths, heights, strict=True):
        _draw_row(axes, row, row_widths, top, cell)
        top += row_height
    save_png(figure, path)


def _extent(panel: Panel) -> tuple[int, int]:
    """Height and width in cells."""
    return (len(panel.cells), len(panel.cells[0])) if panel.cells else (_EMPTY, _EMPTY)


def _draw_row(
    axes: Axes, row: Sequence[Panel], widths: Sequence[float], top: float, cell: float
) -> None:
    left = _MARGIN
    for place, (panel, width) in enumerate(zip(row, widths, strict=True)):
        if place == 1:
            middle = top + _CAPTION + _extent(row[0])[0] * cell / 2
            ends = {"xy": (left - 0.12, middle), "xytext": (left - _GAP + 0.12, middle)}
            axes.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": _MUTED_COLOR})
        axes.text(left, top + _CAPTION - 0.07, panel.caption, fontsize=_POINTS)
        _draw_cells(axes, panel, left, top + _CAPTION, cell)
        left += width + _GAP


def _draw_cells(axes: Axes, panel: Panel, left: float, top: float, cell: float) -> None:
    height, width = _extent(panel)
    if not panel.cells:
        side = {"width": width * cell, "height": height * cell}
        axes.add_patch(
            Rectangle((left, top), **side, fill=False, linestyle="--", color=_MUTED_COLOR)
        )
        place = (left + side["width"] / 2, top + side["height"] / 2)
        axes.text(*place, "none", ha="center", va="center", fontsize=_POINTS, color=_MUTED_COLOR)
        return
    colors = np.array([[rgb(color) for color in row] for row in panel.cells]) / 255
    axes.pcolormesh(
        left + np.arange(width + 1) * cell,
        top + np.arange(height + 1) * cell,
        colors,
        edgecolors=_LINE_COLOR,
        linewidth=0.6,
    )
