"""Training sets: what a task's demonstrations teach without its test input (golden A4).

Each demonstration in turn is predicted from the others, as they are and as the augmenters of a
self-edit transform them. The release builds the same items, but in the order of Python sets.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import permutations
from random import Random
from typing import TypeVar

from arc.puzzles.augmenters import (
    Augmentations,
    Augmenter,
    RandomTranslateXY,
    augmenters_for,
    permute_colors,
    shuffle,
    transform_pair,
)
from arc.puzzles.grids import fits
from arc.puzzles.tasks import Item, Pair

Encoded = TypeVar("Encoded")


def training_items(
    demonstrations: Sequence[Pair],
    augmentations: Augmentations,
    seed: int,
    *,
    release_bugs: bool = False,
) -> list[Item]:
    """Every item that a task of these demonstrations can be trained on.

    First those that leave one demonstration out, then those that leave out two, with a permuted
    copy of each; both kinds are sorted and without duplicates. For `release_bugs` see
    RandomTranslateXY. The same arguments give the same list.
    """
    rng = Random(seed)
    augmenters = augmenters_for(augmentations)
    items = []
    for leave_n in (1, 2):
        plain = augmented_items(demonstrations, leave_n, augmenters, rng, release_bugs=release_bugs)
        # A self-edit without augmentations keeps the task's colours
        items += permuted_items(plain, 1, rng, new_colors=bool(augmenters))
    return items


def select_items(
    items: Sequence[Item], encode: Callable[[Item], Encoded | None], limit: int, seed: int
) -> list[Encoded]:
    """What `encode` makes of a random choice of `limit` items, in random order.

    Items for which `encode` returns None, as they are too long, do not count. If no more than
    `limit` items are left, they keep their own order.
    """
    encoded: dict[int, Encoded] = {}
    # Encoding costs most here, so it ends when it is clear that there are too many
    for number in Random(seed).sample(range(len(items)), len(items)):
        if (accepted := encode(items[number])) is not None:
            encoded[number] = accepted
        if len(encoded) > limit:
            return list(encoded.values())[:limit]
    return [encoded[number] for number in sorted(encoded)]


def initial_items(demonstrations: Sequence[Pair], leave_n: int) -> list[Item]:
    """One item for each ordered choice of `leave_n` demonstrations; the first chosen is the test.

    The others that were chosen are left out; the remaining ones keep their order.
    """
    return [
        Item(
            tuple(pair for number, pair in enumerate(demonstrations) if number not in left_out),
            demonstrations[left_out[0]],
        )
        for left_out in permutations(range(len(demonstrations)), leave_n)
    ]


def transformed_items(
    demonstrations: Sequence[Pair], leave_n: int, augmenter: Augmenter
) -> list[Item]:
    """The transformed initial items, without those in which a grid is larger than 30 x 30."""
    # Every demonstration is in many items, but is transformed only here
    transformed = [transform_pair(pair, augmenter) for pair in demonstrations]
    too_large = {pair for pair in transformed if not all(map(fits, pair))}
    return [
        item for item in initial_items(transformed, leave_n) if too_large.isdisjoint(item.pairs)
    ]


def augmented_items(
    demonstrations: Sequence[Pair],
    leave_n: int,
    augmenters: Iterable[Augmenter | RandomTranslateXY],
    rng: Random,
    *,
    release_bugs: bool = False,
) -> list[Item]:
    """The initial items and what each augmenter makes of them, sorted and without duplicates."""
    initial = initial_items(demonstrations, leave_n)
    items = set(initial)
    for augmenter in augmenters:
        if isinstance(augmenter, RandomTranslateXY):
            items |= {augmenter(item, rng, release_bugs=release_bugs) for item in initial}
        else:
            items.update(transformed_items(demonstrations, leave_n, augmenter))
    return sorted(items)


def permuted_items(
    items: Sequence[Item], permute_n: int, rng: Random, *, new_colors: bool
) -> list[Item]:
    """The items and `permute_n` permuted copies of each, sorted and without duplicates.

    In a copy the demonstrations are in another order and, with `new_colors`, so are the colours.
    """
    found = set(items)
    for _ in range(permute_n):
        for item in items:
            copy = permute_colors(item, rng) if new_colors else item
            found.add(copy._replace(demonstrations=shuffle(copy.demonstrations, rng)))
    return sorted(found)
