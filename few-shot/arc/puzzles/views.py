"""Two attempts at a test output: views of the test input, and a vote on their predictions (A5, A6).

The vote has two rounds. Every group of predictions, the whole first and then each view's, names
three candidates; the candidates of all groups together name the attempts. So a view weighs as much
as the whole, however few of its predictions could be read.

The release lets the order of a Python set break ties. Here the values do: of equally frequent grids
the largest leads, while a majority of rows or columns takes the smallest. They differ on purpose:
where all grids are tied, the second attempt then seldom repeats the first.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import NamedTuple, TypeVar

from arc.puzzles.augmenters import INVERTIBLE, Augmenter, shuffle, transform_pair
from arc.puzzles.grids import Grid, transpose
from arc.puzzles.tasks import Pair
from arc.puzzles.training_sets import initial_items

VOTING_INVERTERS = (None, "Transpose()", "Flip(0)", "Flip(1)", "Rotate(180)", "Rotate(270)")
"""The views that form a group of their own; all others count among the whole alone."""

_T = TypeVar("_T", bound=tuple)


class View(NamedTuple):
    """A test input and the demonstrations that it is shown with."""

    demonstrations: tuple[Pair, ...]
    input: Grid
    inverter: Augmenter | None
    """Turns a predicted grid back into the task's own; None where nothing was transformed."""


def views(
    demonstrations: Sequence[Pair], test_input: Grid, seed: int, permute_n: int = 2
) -> list[View]:
    """At most (1 + permute_n) N + 5 views of a task with N demonstrations, no two alike.

    N views leave out one demonstration each. Then come `permute_n` random orders of each one's
    demonstrations, and a view for each invertible transform, made of a random one of the first N.
    Of views with the same grids, the first stays.
    """
    rng = Random(seed)
    plain = [
        View(item.demonstrations, test_input, None) for item in initial_items(demonstrations, 1)
    ]
    permuted = [
        view._replace(demonstrations=shuffle(view.demonstrations, rng))
        for view in plain
        for _ in range(permute_n)
    ]
    transformed = [_transform(rng.choice(plain), augmenter) for augmenter in INVERTIBLE]
    found: dict[tuple, View] = {}
    for view in [*plain, *permuted, *transformed]:
        found.setdefault(view[:2], view)
    return list(found.values())


def _transform(view: View, augmenter: Augmenter) -> View:
    transformed = tuple(transform_pair(pair, augmenter) for pair in view.demonstrations)
    return View(transformed, augmenter(view.input), augmenter.inverse)


class Prediction(NamedTuple):
    """A predicted output, with its view undone."""

    grid: Grid
    inverter: str | None
    """Name of the augmenter that undid the view; None for the plain view."""


def vote(predictions: Sequence[Prediction]) -> tuple[Grid, Grid] | None:
    """The first and the second attempt, which may be equal; None without predictions."""
    if not predictions:
        return None
    by_view = {
        inverter: [grid for grid, undone_by in predictions if undone_by == inverter]
        for inverter in VOTING_INVERTERS
    }
    groups = [[grid for grid, _ in predictions], *by_view.values()]
    candidates = [grid for group in groups if group for grid in three_candidates(group)]
    first, second, third = three_candidates(candidates)
    # The third if it is as frequent as the second, and plain views do not prefer the latter
    plain = by_view[None]
    if plain and candidates.count(second) == candidates.count(third):
        second = second if plain.count(second) > plain.count(third) else third
    return first, second


def three_candidates(grids: Sequence[Grid]) -> tuple[Grid, Grid, Grid]:
    """The most frequent of `grids`, which are not empty, and two alternatives.

    The alternatives are the second and third most frequent. Where there is none, or it is an
    earlier candidate, the majority of rows or of columns stands in, which need not equal any grid.
    """
    counts = Counter(grids)
    distinct = sorted(counts, reverse=True)
    first = max(distinct, key=counts.__getitem__)
    # Maximum and sort both keep ties in order. So among grids that tie for the lead the first
    # candidate is not ranked last: of two such grids, it is ranked second as well.
    third, second, _ = [first, first, *sorted(distinct, key=counts.__getitem__)][-3:]
    if second == first:
        second = _majority((first,), grids)
    if third in (first, second):
        third = _majority((first, second), grids)
    return first, second, third


def row_majority(grids: Sequence[Grid]) -> Grid:
    """The most frequent shape, with the most frequent row at each index in all of that width."""
    height, width = _most_frequent([(len(grid), len(grid[0]) if grid else 0) for grid in grids])
    return tuple(
        _most_frequent([g[row] for g in grids if row < len(g) and len(g[row]) == width])
        for row in range(height)
    )


def column_majority(grids: Sequence[Grid]) -> Grid:
    """The same with columns for rows."""
    return transpose(row_majority([transpose(grid) for grid in grids]))


def _majority(taken: Sequence[Grid], grids: Sequence[Grid]) -> Grid:
    """The majority of rows, or that of columns if the former is taken."""
    by_rows = row_majority(grids)
    return column_majority(grids) if by_rows in taken else by_rows


def _most_frequent(values: Sequence[_T]) -> _T:
    """The most frequent value; the smallest of equally frequent ones."""
    counts = Counter(values)
    return max(sorted(counts), key=counts.__getitem__)
