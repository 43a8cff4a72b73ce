"""Grids and tasks as the texts that a model reads, and answers read back into grids (golden A3).

The grid format is that of printed numpy arrays: a test-time-trained model reads and writes
    [[1 2]
     [3 4]]
"""

from collections.abc import Iterable
from itertools import chain

from arc.puzzles.grids import MAX_SIZE, Grid, as_grid
from arc.puzzles.tasks import Pair

END_OF_ANSWER = "#"
_FENCE = "```"
_INT64 = range(-(2**63), 2**63)


def grid_text(grid: Grid) -> str:
    """The rows in brackets, one a line, with single blanks between cells."""
    return "[" + "\n ".join(f"[{row}]" for row in _rows(grid)) + "]"


def demonstrations_text(pairs: Iterable[Pair]) -> str:
    """Each demonstration as query and answer, then a line feed."""
    return "".join(f"{query_text(pair.input)}{answer_text(pair.output)}\n" for pair in pairs)


def query_text(grid: Grid) -> str:
    """An input grid and the arrow; its trailing blank belongs to the format."""
    return f"{grid_text(grid)} -> "


def answer_text(grid: Grid) -> str:
    """An output grid and the sign that ends it."""
    return f"{grid_text(grid)}{END_OF_ANSWER}"


def longest_answer() -> int:
    """An upper bound of an answer's tokens: every character of the largest grid, and the end."""
    return len(answer_text(((0,) * MAX_SIZE,) * MAX_SIZE)) + 1


def examples_text(pairs: Iterable[Pair]) -> str:
    """Demonstrations as the prompt for a self-edit shows them: bare digits under headings."""
    shown = (["Input:", *_rows(input), "", "Output:", *_rows(output)] for input, output in pairs)
    return "".join("\n".join(lines) + "\n\n" for lines in shown)


def _rows(grid: Grid) -> list[str]:
    return [" ".join(map(str, row)) for row in grid]


def decode_grid(text: str, release_bugs: bool = False) -> Grid | None:
    """The grid that a model's answer means, None where it means none.

    Lenient like the release (golden A3): brackets and number signs do not count, a fenced block
    is preferred to what surrounds it, and a cell is whatever `int` accepts. The result must be an
    ARC grid: no cells, rows of unequal length, colours beyond 0-9, more than 30 rows or columns
    give None. With `release_bugs` all of these pass as in the release: the cells are cut again
    into one equal row for each line, even a row without cells, and wrap to signed 8-bit numbers;
    None remains where they do not divide into the rows.
    """
    text = text.replace(END_OF_ANSWER, "")
    if _FENCE in text:
        text = text.split(_FENCE)[1]
    # Trimmed before the brackets go: a line that holds only a bracket counts as a row
    lines = text.strip().replace("[", "").replace("]", "").split("\n")
    try:
        rows = [[int(token) for token in line.split()] for line in lines]
        return _cut_again(rows) if release_bugs else as_grid(rows)
    except ValueError:  # also what `int` raises for literals of thousands of digits
        return None


def _cut_again(rows: list[list[int]]) -> Grid:
    """Equal rows, filled with the cells in reading order. Raises ValueError."""
    cells = list(chain.from_iterable(rows))
    width, left_over = divmod(len(cells), len(rows))
    if left_over or any(cell not in _INT64 for cell in cells):
        raise ValueError(f"{len(cells)} cells of 64 bits do not fill {len(rows)} rows")
    wrapped = [(cell + 128) % 256 - 128 for cell in cells]
    return tuple(tuple(wrapped[row * width :][:width]) for row in range(len(rows)))
