"""A grid is what ARC calls one, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc.puzzles.grids import as_grid, fits, transpose
from tests.arc.strategies import grids

CELLS = st.one_of(
    st.integers(-2, 11), st.booleans(), st.floats(0, 9), st.none(), st.text("05", max_size=2)
)
ROWS = st.lists(st.lists(CELLS, max_size=3) | CELLS, max_size=3) | CELLS


@given(grids())
def test_grids_pass_as_lists_and_as_tuples(grid):
    assert as_grid([list(row) for row in grid]) == as_grid(grid) == grid
    assert {type(row) for row in as_grid([list(row) for row in grid])} == {tuple}


@given(ROWS)
def test_exactly_the_valid_pass(rows):
    cells = [cell for row in rows for cell in row] if is_matrix(rows) else [None]
    valid = all(repr(cell) in list("0123456789") for cell in cells)
    if valid:
        assert as_grid(rows) == tuple(map(tuple, rows))
    else:
        with pytest.raises(ValueError):
            as_grid(rows)


def is_matrix(rows: object) -> bool:
    if not isinstance(rows, list) or not all(isinstance(row, list) and row for row in rows):
        return False
    return len({len(row) for row in rows}) == 1


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (None, "there are none"),
        ([], "there are none"),
        ("12", "there are none"),
        ({"0": [1]}, "there are none"),
        ([[]], "row 0 is not a list"),
        ([[1], "2"], "row 1 is not a list"),
        ([[1, 2], [3]], "row 1 has 1 cells, row 0 has 2"),
        ([[0], [10]], "row 1 holds '10'"),
        ([[-1]], "row 0 holds '-1'"),
        ([[True]], "row 0 holds 'True'"),
        ([[1.0]], "row 0 holds '1.0'"),
        ([[[1]]], "row 0 holds"),
        ([["1" * 1000]], "row 0 holds '1{40}';"),
        ([[0]] * 31, "31 x 1;.*at most 30 x 30"),
        ([[0] * 31], "1 x 31;.*at most 30 x 30"),
    ],
)
def test_the_reason_is_said(rows, reason):
    with pytest.raises(ValueError, match=reason):
        as_grid(rows)


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(30, 30, True), (31, 1, False), (1, 31, False)]
)
def test_thirty_each_way_fit(height, width, expected):
    assert fits([[0] * width] * height) is expected


def test_transpose():
    assert transpose(((1, 2, 3), (4, 5, 6))) == ((1, 4), (2, 5), (3, 6))


@given(grids())
def test_transposing_twice_changes_nothing(grid):
    assert transpose(transpose(grid)) == grid
    assert transpose(grid)[-1][0] == grid[0][-1]
