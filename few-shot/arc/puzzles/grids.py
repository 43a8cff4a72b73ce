"""ARC grids, and what makes one.

A grid is a tuple of rows of colours 0-9, row 0 on top. Tuples compare, sort and hash by value, so
grids can be counted, deduplicated and ordered as they are.
"""

from collections.abc import Sequence

Grid = tuple[tuple[int, ...], ...]
"""Rows of colours; all rows of one width, height and width from 1 to MAX_SIZE."""

MAX_SIZE = 30
COLORS = 10


def as_grid(rows: object) -> Grid:
    """A grid from nested lists, as JSON has it; raises ValueError that says what is wrong."""
    if not isinstance(rows, list | tuple) or not rows:
        raise ValueError("a grid is a list of rows, and there are none")
    for number, row in enumerate(rows):
        if not isinstance(row, list | tuple) or not row:
            raise ValueError(f"row {number} is not a list of cells")
        if len(row) != len(rows[0]):
            raise ValueError(f"row {number} has {len(row)} cells, row 0 has {len(rows[0])}")
        for cell in row:
            # `type`, since True and 1.0 equal 1 and would pass an isinstance or range test
            if type(cell) is not int or not 0 <= cell < COLORS:
                shown = str(cell)[:40]
                raise ValueError(f"row {number} holds {shown!r}; colours are 0 to {COLORS - 1}")
    if not fits(rows):
        raise ValueError(
            f"it is {len(rows)} x {len(rows[0])}; ARC grids are at most {MAX_SIZE} x {MAX_SIZE}"
        )
    return tuple(map(tuple, rows))


def fits(grid: Sequence[Sequence[int]]) -> bool:
    """Whether height and width are at most 30."""
    return len(grid) <= MAX_SIZE and len(grid[0]) <= MAX_SIZE


def transpose(grid: Grid) -> Grid:
    """Rows become columns."""
    return tuple(zip(*grid, strict=True))
