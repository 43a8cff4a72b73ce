"""Views: ways to pose one test input, whose predictions vote on the answer (golden A5)."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from arc.puzzles.augmenters import INVERTIBLE, Augmenter, shuffle, transform_pair
from arc.puzzles.grids import Grid
from arc.puzzles.tasks import Pair


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
        View((*demonstrations[:number], *demonstrations[number + 1 :]), test_input, None)
        for number in range(len(demonstrations))
    ]
    permuted = [
        view._replace(demonstrations=shuffle(view.demonstrations, rng))
        for view in plain
        for _ in range(permute_n)
    ]
    transformed = [_transform(rng.choice(plain), augmenter) for augmenter in INVERTIBLE]
    found: dict[tuple[tuple[Pair, ...], Grid], View] = {}
    for view in [*plain, *permuted, *transformed]:
        found.setdefault((view.demonstrations, view.input), view)
    return list(found.values())


def _transform(view: View, augmenter: Augmenter) -> View:
    transformed = tuple(transform_pair(pair, augmenter) for pair in view.demonstrations)
    return View(transformed, augmenter(view.input), augmenter.inverse)
