"""Training sets: what is left out, what is dropped, determinism, and the choice under a cap."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc.puzzles.augmenters import Augmentations, Flip, IncreaseResolution, RandomTranslateXY
from arc.puzzles.grids import fits
from arc.puzzles.tasks import Item, Pair
from arc.puzzles.training_sets import (
    augmented_items,
    initial_items,
    permuted_items,
    select_items,
    training_items,
    transformed_items,
)
from tests.arc.item_strategies import demonstrations

NONE = Augmentations(basic=False, size=False, chain=False, repeat=False)
ALL = Augmentations(basic=True, size=True, chain=True, repeat=True)
SWITCHES = st.builds(Augmentations, *[st.booleans()] * 4)
SEEDS = st.integers(0, 2**32)


def pair(cell, size=1):
    """Told apart by its cells; as high and wide as wanted."""
    grid = ((cell,) * size,) * size
    return Pair(grid, grid)


A, B, C = pair(1), pair(2), pair(3)


# Leaving out


@pytest.mark.parametrize(
    ("leave_n", "expected"),
    [
        (1, [Item((B, C), A), Item((A, C), B), Item((A, B), C)]),
        (
            2,
            [
                Item((C,), A),
                Item((B,), A),
                Item((C,), B),
                Item((A,), B),
                Item((B,), C),
                Item((A,), C),
            ],
        ),
    ],
)
def test_initial_items(leave_n, expected):
    assert initial_items([A, B, C], leave_n) == expected


def test_tasks_of_few_demonstrations():
    assert initial_items([A, B], 2) == [Item((), A), Item((), B)]
    assert initial_items([A], 1) == [Item((), A)]
    assert initial_items([A], 2) == []
    assert training_items([], ALL, seed=0) == []


def test_equal_demonstrations_make_equal_items():
    assert initial_items([A, A], 1) == [Item((A,), A)] * 2
    assert augmented_items([A, A], 1, [], Random(0)) == [Item((A,), A)]


# Transforming


def test_only_items_with_large_grids_are_dropped():
    large = pair(3, size=16)
    assert transformed_items([A, B, large], 1, IncreaseResolution(2)) == []
    kept = transformed_items([A, B, large], 2, IncreaseResolution(2))
    doubled = pair(1, size=2), pair(2, size=2)
    assert kept == [Item((doubled[1],), doubled[0]), Item((doubled[0],), doubled[1])]


def test_a_transformed_item_that_is_there_already_counts_once():
    assert augmented_items([A, B], 1, [Flip(0), Flip(1)], Random(0)) == sorted(
        initial_items([A, B], 1)
    )


def test_only_the_release_translates_outputs_apart():
    grid = tuple(tuple(range(row, row + 5)) for row in range(5))
    demonstrations = [Pair(grid, grid), Pair(grid[::-1], grid[::-1])]

    def translated(release_bugs, seed):
        items = augmented_items(
            demonstrations, 1, [RandomTranslateXY()], Random(seed), release_bugs=release_bugs
        )
        return [item for item in items if item not in initial_items(demonstrations, 1)]

    apart = [item for seed in range(20) for item in translated(True, seed)]
    assert any(pair.input != pair.output for item in apart for pair in item.demonstrations)
    together = [item for seed in range(20) for item in translated(False, seed)]
    assert together
    assert all(pair.input == pair.output for item in together for pair in item.demonstrations)


# Permuting


def test_colors_are_kept_without_augmentations():
    items = [item for seed in range(3) for item in training_items([A, B, C], NONE, seed)]
    assert {pair for item in items for pair in (*item.demonstrations, item.test)} == {A, B, C}
    # In every order; three draws find some
    assert len(set(items)) > len(initial_items([A, B, C], 1)) + len(initial_items([A, B, C], 2))
    recolored = training_items([A, B, C], ALL, seed=0)
    assert {pair.input[0][0] for item in recolored for pair in item.demonstrations} > {1, 2, 3}


def test_items_without_copies():
    items = initial_items([A, B, C], 1)
    assert permuted_items(items, 0, Random(0), new_colors=True) == sorted(items)


def test_copies_are_of_all_items():
    items = initial_items([A, B, C], 1)
    found = permuted_items(items, 50, Random(0), new_colors=False)
    assert found == sorted(items + [Item(item.demonstrations[::-1], item.test) for item in items])


# All of it


@given(demonstrations(max_size=20), SWITCHES, SEEDS)
def test_no_grid_is_too_large(pairs, augmentations, seed):
    items = training_items(pairs, augmentations, seed)
    grids = {g for item in items for p in (*item.demonstrations, item.test) for g in p}
    assert all(map(fits, grids))


@given(demonstrations(max_size=4), SWITCHES, SEEDS, st.booleans())
def test_a_seed_is_a_set(pairs, augmentations, seed, release_bugs):
    first, second = (
        training_items(pairs, augmentations, seed, release_bugs=release_bugs) for _ in range(2)
    )
    assert first == second


def test_another_seed_is_another_set():
    grid = ((1, 2, 3), (4, 5, 6))
    pairs = [Pair(grid, grid[::-1]), Pair(grid[::-1], grid), A]
    sets = {tuple(training_items(pairs, ALL, seed)) for seed in range(5)}
    assert len(sets) == 5


@given(demonstrations(max_size=4, min_pairs=2), SWITCHES, SEEDS)
def test_items_are_sorted_and_distinct_for_each_number_left_out(pairs, augmentations, seed):
    items = training_items(pairs, augmentations, seed)
    n_one = sum(len(item.demonstrations) == len(pairs) - 1 for item in items)
    for part, leave_n in (items[:n_one], 1), (items[n_one:], 2):
        assert part == sorted(set(part))
        assert {len(item.demonstrations) for item in part} == {len(pairs) - leave_n}
        assert set(initial_items(pairs, leave_n)) <= set(part)


# Selecting

ITEMS = [Item((), pair(color, size)) for size in (1, 2) for color in range(10)]


def encode_odd(item):
    """As if items of even colours were too long."""
    color = item.test.input[0][0]
    return (color, len(item.test.input)) if color % 2 else None


ODD = [encode_odd(item) for item in ITEMS if encode_odd(item)]


@pytest.mark.parametrize("limit", [10, 11, 250])
def test_few_items_keep_their_order(limit):
    assert select_items(ITEMS, encode_odd, limit, seed=3) == ODD


@given(st.integers(1, 9), SEEDS)
def test_many_items_are_drawn_and_shuffled(limit, seed):
    chosen = select_items(ITEMS, encode_odd, limit, seed)
    assert len(chosen) == len(set(chosen)) == limit
    assert set(chosen) <= set(ODD)
    assert select_items(ITEMS, encode_odd, limit, seed) == chosen


def test_every_item_is_drawn_alike():
    counts = Counter(
        item for seed in range(2000) for item in select_items(ITEMS, encode_odd, 3, seed)
    )
    # 600 of 2,000 times each, give or take five standard deviations
    assert set(counts) == set(ODD)
    assert all(abs(count - 600) < 103 for count in counts.values())
    firsts = {select_items(ITEMS, encode_odd, 3, seed)[0] for seed in range(100)}
    assert firsts == set(ODD)


def test_no_more_is_encoded_than_needed():
    asked = []

    def encode(item):
        asked.append(item)
        return item

    assert len(select_items(ITEMS * 10, encode, 5, seed=0)) == 5
    assert len(asked) == 6


def test_nothing_to_select():
    assert select_items([], encode_odd, 5, seed=0) == []
    assert select_items(ITEMS, lambda item: None, 5, seed=0) == []


def test_what_is_encoded_as_nothing_counts():
    assert select_items(ITEMS, lambda item: 0, 5, seed=0) == [0] * 5
