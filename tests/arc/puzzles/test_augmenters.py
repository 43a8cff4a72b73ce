"""Augmenters: sizes, names, inverses, shifts, and colours, on grids of all kinds."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc.puzzles.augmenters import (
    INVERTIBLE,
    Augmentations,
    Chain,
    Concat,
    Flip,
    IdentityAugmenter,
    IncreaseHeight,
    IncreaseResolution,
    IncreaseWidth,
    RandomTranslateXY,
    Reflect,
    Repeat,
    Rotate,
    Transpose,
    augmenters_for,
    draw_colors,
    permute_colors,
    shuffle,
)
from arc.puzzles.tasks import Item, Pair
from tests.arc.item_strategies import items
from tests.arc.strategies import grids

GRID = ((1, 2, 3), (4, 5, 6))
ALL = Augmentations(basic=True, size=True, chain=True, repeat=True)


@pytest.mark.parametrize(
    ("augmenter", "expected"),
    [
        (IdentityAugmenter(), GRID),
        (Transpose(), ((1, 4), (2, 5), (3, 6))),
        (Flip(0), ((4, 5, 6), (1, 2, 3))),
        (Flip(1), ((3, 2, 1), (6, 5, 4))),
        (Rotate(90), ((3, 6), (2, 5), (1, 4))),
        (Rotate(180), ((6, 5, 4), (3, 2, 1))),
        (Rotate(270), ((4, 1), (5, 2), (6, 3))),
        (Reflect(0, reverse=False), (*GRID, (4, 5, 6), (1, 2, 3))),
        (Reflect(0, reverse=True), ((4, 5, 6), (1, 2, 3), *GRID)),
        (Reflect(1, reverse=False), ((1, 2, 3, 3, 2, 1), (4, 5, 6, 6, 5, 4))),
        (Reflect(1, reverse=True), ((3, 2, 1, 1, 2, 3), (6, 5, 4, 4, 5, 6))),
        (IncreaseHeight(2), ((1, 2, 3), (1, 2, 3), (4, 5, 6), (4, 5, 6))),
        (IncreaseWidth(2), ((1, 1, 2, 2, 3, 3), (4, 4, 5, 5, 6, 6))),
        (IncreaseResolution(2), ((1, 1, 2, 2, 3, 3),) * 2 + ((4, 4, 5, 5, 6, 6),) * 2),
        (Repeat(0, 2), GRID * 2),
        (Repeat(1, 2), ((1, 2, 3, 1, 2, 3), (4, 5, 6, 4, 5, 6))),
        (Repeat(2, 2), ((1, 2, 3, 1, 2, 3), (4, 5, 6, 4, 5, 6)) * 2),
        (Chain((Flip(1), Transpose())), ((3, 6), (2, 5), (1, 4))),
        (Concat((IdentityAugmenter(), Flip(0)), axis=0), (*GRID, (4, 5, 6), (1, 2, 3))),
        (Concat((Flip(1), IdentityAugmenter()), axis=1), ((3, 2, 1, 1, 2, 3), (6, 5, 4, 4, 5, 6))),
    ],
    ids=str,
)
def test_grids(augmenter, expected):
    assert augmenter(GRID) == expected


def test_what_cannot_be_joined_or_turned():
    for axis in (0, 1):
        with pytest.raises(ValueError, match=f"2 x 3, 3 x 2 do not fit together along axis {axis}"):
            Concat((IdentityAugmenter(), Transpose()), axis)(GRID)
    with pytest.raises(ValueError, match="45 degrees"):
        Rotate(45)(GRID)


SIZES = {
    Repeat(0, 3): (3, 1),
    Repeat(1, 3): (1, 3),
    Repeat(2, 3): (3, 3),
    IncreaseHeight(3): (3, 1),
    IncreaseWidth(3): (1, 3),
    IncreaseResolution(3): (3, 3),
    Reflect(0, reverse=True): (2, 1),
    Reflect(1, reverse=False): (1, 2),
    Flip(0): (1, 1),
    Rotate(180): (1, 1),
}


@given(grids())
def test_sizes(grid):
    for augmenter, (down, right) in SIZES.items():
        found = augmenter(grid)
        assert len(found) == down * len(grid)
        assert {len(row) for row in found} == {right * len(grid[0])}


@given(grids())
def test_inverses(grid):
    for augmenter in (*INVERTIBLE, Rotate(270)):
        assert augmenter.inverse(augmenter(grid)) == grid
        assert augmenter(augmenter.inverse(grid)) == grid
        assert augmenter.inverse.inverse == augmenter


@given(grids())
def test_turns_are_made_of_quarter_turns(grid):
    quarter = Rotate(90)
    assert Rotate(180)(grid) == quarter(quarter(grid))
    assert Rotate(270)(grid) == quarter(Rotate(180)(grid))
    assert Transpose()(grid) == quarter(Flip(1)(grid))


# Self-edits

BASIC = [
    "Rotate(90)",
    "Rotate(270)",
    "Rotate(180)",
    "Flip(0)",
    "Flip(1)",
    "Reflect(0, reverse=True)",
    "Reflect(1, reverse=True)",
    "Reflect(0, reverse=False)",
    "Reflect(1, reverse=False)",
    "RandomTranslateXY()",
    "Transpose()",
]
SIZE = ["IncreaseResolution(2)", "IncreaseHeight(2)", "IncreaseWidth(2)"]
CHAIN = [
    f"Chain([{turn}, IncreaseResolution(2)])"
    for turn in ("Rotate(90)", "Rotate(270)", "Rotate(180)", "Flip(0)", "Flip(1)", "Transpose()")
]
REPEAT = ["Repeat(0, 2)", "Repeat(1, 2)", "Repeat(2, 2)"]


@pytest.mark.parametrize(
    ("augmentations", "expected"),
    [
        (Augmentations(False, False, False, False), []),
        (Augmentations(True, False, False, False), BASIC),
        (Augmentations(False, True, False, False), SIZE),
        (Augmentations(False, False, True, False), CHAIN),
        (Augmentations(False, False, False, True), REPEAT),
        (ALL, BASIC + SIZE + CHAIN + REPEAT),
    ],
)
def test_switches(augmentations, expected):
    assert list(map(str, augmenters_for(augmentations))) == expected


# Translation


@given(items(max_size=6), st.integers(0, 2**32))
def test_translation_moves_all_grids_alike(item, seed):
    translated = RandomTranslateXY()(item, Random(seed))
    before, after = grids_of(item), grids_of(translated)
    assert any(
        after == [shifted(grid, down, right) for grid in before]
        for down in range(min(4, *map(len, before)))
        for right in range(min(4, *(len(grid[0]) for grid in before)))
    )


@given(items(max_size=6), st.integers(0, 2**32))
def test_the_releases_translation_shifts_every_grid_cyclically(item, seed):
    rng = Random(seed)
    translated = RandomTranslateXY()(item, rng, release_bugs=True)
    for before, after in zip(grids_of(item), grids_of(translated), strict=True):
        assert after in [
            shifted(before, down, right)
            for down in range(min(4, len(before)))
            for right in range(min(4, len(before[0])))
        ]
    # The same draws for the next item
    assert RandomTranslateXY()(item, rng, release_bugs=True) == translated


def test_all_shifts_occur():
    grid = tuple(tuple(range(row, row + 5)) for row in range(5))
    item = Item((), Pair(grid, grid))
    found = {RandomTranslateXY()(item, Random(seed)).test.input for seed in range(300)}
    assert found == {shifted(grid, down, right) for down in range(4) for right in range(4)}


def shifted(grid, down, right):
    height, width = len(grid), len(grid[0])
    return tuple(
        tuple(grid[(y - down) % height][(x - right) % width] for x in range(width))
        for y in range(height)
    )


def grids_of(item):
    return [grid for pair in (*item.demonstrations, item.test) for grid in pair]


# Permutations


@given(st.sets(st.integers(0, 9)), st.integers(0, 2**32))
def test_drawn_colors(used, seed):
    table = draw_colors(used, Random(seed))
    assert table[0] == 0
    assert len({table[color] for color in used}) == len(used)
    colored = used - {0}
    kept = {color for color in colored if table[color] in colored}
    n_missing = max(0, len(colored) - (9 - len(colored)))
    # Each missing colour keeps one colour in use, or two that trade places
    assert n_missing <= len(kept) <= 2 * n_missing
    assert all(table[table[color]] == color for color in kept)


@given(items(max_size=6), st.integers(0, 2**32))
def test_new_colors_are_one_injective_map(item, seed):
    found = permute_colors(item, Random(seed))
    pairs = {
        cells
        for before, after in zip(grids_of(item), grids_of(found), strict=True)
        for rows in zip(before, after, strict=True)
        for cells in zip(*rows, strict=True)
    }
    assert len({old for old, _ in pairs}) == len({new for _, new in pairs}) == len(pairs)
    assert all((old == 0) == (new == 0) for old, new in pairs)


@given(items(max_size=3), st.integers(0, 2**32))
def test_shuffled_demonstrations_are_the_same_ones(item, seed):
    assert sorted(shuffle(item.demonstrations, Random(seed))) == sorted(item.demonstrations)
