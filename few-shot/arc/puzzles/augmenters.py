"""Other tasks out of an ARC task: grids transformed, recoloured, reordered (golden A1, A2, A4)."""

from collections.abc import Callable, Collection, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain, compress
from random import Random
from typing import NamedTuple

from arc.puzzles.grids import COLORS, Grid, transpose
from arc.puzzles.tasks import Item, Pair

_MAX_SHIFT = 3


class Augmentations(NamedTuple):
    """The four switches of a self-edit (paper, section 4.2)."""

    basic: bool
    size: bool
    chain: bool
    repeat: bool


@dataclass(frozen=True)
class Augmenter:
    """A function from grid to grid; compares by its name in the release, the call that makes it."""

    name: str
    transform: Callable[[Grid], Grid] = field(compare=False)

    def __call__(self, grid: Grid) -> Grid:
        return self.transform(grid)

    def __str__(self) -> str:
        return self.name

    @property
    def inverse(self) -> "Augmenter":
        """Undoes a turn or a mirror image; KeyError for what has no inverse."""
        return _INVERSES[self]


# Augmenters have the names of the release's classes


def IdentityAugmenter() -> Augmenter:
    """The grid itself, as a part of Concat."""
    return Augmenter("IdentityAugmenter()", lambda grid: grid)


def Transpose() -> Augmenter:
    """Rows become columns."""
    return Augmenter("Transpose()", transpose)


def Flip(axis: int) -> Augmenter:
    """Rows (axis 0) or columns (axis 1) in reverse order."""
    return Augmenter(
        f"Flip({axis})", lambda grid: grid[::-1] if axis == 0 else tuple(row[::-1] for row in grid)
    )


def Rotate(degrees: int) -> Augmenter:
    """Turn counter-clockwise by 90, 180 or 270 degrees; other angles raise ValueError when used."""

    def turn(grid: Grid) -> Grid:
        if degrees not in (90, 180, 270):
            raise ValueError(f"a grid cannot be turned by {degrees} degrees")
        for _ in range(degrees // 90):
            grid = transpose(grid)[::-1]
        return grid

    return Augmenter(f"Rotate({degrees})", turn)


def Reflect(axis: int, reverse: bool) -> Augmenter:
    """The grid and its mirror image below (axis 0) or to the right (axis 1); `reverse`: before."""
    parts = (Flip(axis), IdentityAugmenter()) if reverse else (IdentityAugmenter(), Flip(axis))
    return Augmenter(f"Reflect({axis}, reverse={reverse})", Concat(parts, axis))


def IncreaseHeight(factor: int) -> Augmenter:
    """Every row `factor` times in succession."""
    return Augmenter(
        f"IncreaseHeight({factor})", lambda grid: tuple(row for row in grid for _ in range(factor))
    )


def IncreaseWidth(factor: int) -> Augmenter:
    """Every column `factor` times in succession."""
    stretch = Chain((Transpose(), IncreaseHeight(factor), Transpose()))
    return Augmenter(f"IncreaseWidth({factor})", stretch)


def IncreaseResolution(factor: int) -> Augmenter:
    """Every cell becomes a block of `factor` x `factor` cells."""
    both = Chain((IncreaseWidth(factor), IncreaseHeight(factor)))
    return Augmenter(f"IncreaseResolution({factor})", both)


def Repeat(axis: int, times: int) -> Augmenter:
    """`times` copies below each other (axis 0), side by side (axis 1), or both ways (axis 2)."""
    down, right = 1 if axis == 1 else times, 1 if axis == 0 else times
    return Augmenter(
        f"Repeat({axis}, {times})", lambda grid: tuple(row * right for row in grid) * down
    )


def Chain(augmenters: tuple[Augmenter, ...]) -> Augmenter:
    """One augmenter after the other, from left to right."""
    names = ", ".join(map(str, augmenters))
    return Augmenter(
        f"Chain([{names}])",
        lambda grid: reduce(lambda made, augmenter: augmenter(made), augmenters, grid),
    )


def Concat(augmenters: tuple[Augmenter, ...], axis: int) -> Augmenter:
    """What several augmenters make of one grid, below each other (axis 0) or side by side (axis 1).

    Raises ValueError where their grids do not fit together.
    """
    names = ", ".join(map(str, augmenters))
    return Augmenter(
        f"Concat(({names}), axis={axis})",
        lambda grid: _join([augmenter(grid) for augmenter in augmenters], axis),
    )


@dataclass(frozen=True)
class RandomTranslateXY:
    """A random cyclic shift by 0 to 3 cells down and to the right; what leaves comes in again."""

    def __call__(self, item: Item, rng: Random, *, release_bugs: bool = False) -> Item:
        """Shift all grids of `item` alike, by less than the smallest height and width in it.

        The release draws one shift for a pair's input and one for its output, each below that
        grid's size, and starts every pair of every item in the same state of the generator. So
        outputs move against inputs, small grids against larger ones, and all items of a task alike
        (golden A2, A4).
        """
        if release_bugs:
            shifted = []
            for pair in item.pairs:
                same_state = copy(rng)
                shifted += [*_shift([pair.input], same_state), *_shift([pair.output], same_state)]
        else:
            shifted = _shift([grid for pair in item.pairs for grid in pair], rng)
        *demonstrations, test = map(Pair, shifted[::2], shifted[1::2])
        return Item(tuple(demonstrations), test)


INVERTIBLE = (Transpose(), Flip(0), Flip(1), Rotate(90), Rotate(180))
"""The transforms of test-time views, in the release's order (golden A5)."""

_INVERSES = {augmenter: augmenter for augmenter in INVERTIBLE}
_INVERSES |= {Rotate(90): Rotate(270), Rotate(270): Rotate(90)}
_TURNS = (Rotate(90), Rotate(270), Rotate(180), Flip(0), Flip(1))
_BASIC = (
    *_TURNS,
    *(Reflect(axis, reverse) for reverse in (True, False) for axis in (0, 1)),
    RandomTranslateXY(),
    Transpose(),
)
_SIZE = (IncreaseResolution(2), IncreaseHeight(2), IncreaseWidth(2))
_CHAIN = tuple(Chain((turn, IncreaseResolution(2))) for turn in (*_TURNS, Transpose()))
_REPEAT = (Repeat(0, 2), Repeat(1, 2), Repeat(2, 2))


def augmenters_for(augmentations: Augmentations) -> list[Augmenter | RandomTranslateXY]:
    """The augmenters that the switches stand for, in the release's order (golden A7)."""
    families = Augmentations(basic=_BASIC, size=_SIZE, chain=_CHAIN, repeat=_REPEAT)
    return list(chain.from_iterable(compress(families, augmentations)))


def transform_pair(pair: Pair, augmenter: Augmenter) -> Pair:
    """Input and output, transformed alike."""
    return Pair(augmenter(pair.input), augmenter(pair.output))


def shuffle(demonstrations: tuple[Pair, ...], rng: Random) -> tuple[Pair, ...]:
    """The demonstrations in a uniformly random order."""
    return tuple(rng.sample(demonstrations, len(demonstrations)))


def permute_colors(item: Item, rng: Random) -> Item:
    """All grids of `item` in new colours, by one draw of `draw_colors`."""
    # Most rows occur several times, so each is recoloured once and then shared
    rows = set().union(*(grid for pair in item.pairs for grid in pair))
    table = draw_colors(set().union(*rows), rng)
    recolored = {row: tuple([table[color] for color in row]) for row in rows}
    *demonstrations, test = (
        Pair(*(tuple([recolored[row] for row in grid]) for grid in pair)) for pair in item.pairs
    )
    return Item(tuple(demonstrations), test)


def draw_colors(used: Collection[int], rng: Random) -> list[int]:
    """What becomes of each of the colours 0-9 in a grid of the `used` ones; 0 stays 0.

    Used colours become unused ones. Where n unused colours are missing, n used ones trade places
    with used colours that are not yet paired, or stay what they are.
    """
    unpaired = sorted(set(used) - {0})
    rng.shuffle(unpaired)
    unused = [color for color in range(1, COLORS) if color not in unpaired]
    table = list(range(COLORS))
    for color in unpaired[: max(0, len(unpaired) - len(unused))]:
        if color in unpaired:
            partner = rng.choice(unpaired)
            table[color], table[partner] = partner, color
            unpaired = [other for other in unpaired if other not in (color, partner)]
    for color, new_color in zip(unpaired, rng.sample(unused, len(unpaired)), strict=True):
        table[color] = new_color
    return table


def _join(grids: Sequence[Grid], axis: int) -> Grid:
    if len({len(grid[0]) if axis == 0 else len(grid) for grid in grids}) > 1:
        sizes = ", ".join(f"{len(grid)} x {len(grid[0])}" for grid in grids)
        raise ValueError(f"grids of {sizes} do not fit together along axis {axis}")
    if axis == 0:
        return sum(grids, ())
    return tuple(sum(rows, ()) for rows in zip(*grids, strict=True))


def _shift(grids: Sequence[Grid], rng: Random) -> list[Grid]:
    """All by one draw: down and to the right, each less than the smallest size in `grids`."""
    height, width = min(map(len, grids)), min(len(grid[0]) for grid in grids)
    down, right = (rng.randrange(min(size, _MAX_SHIFT + 1)) for size in (height, width))
    # A slice from -0 on would be the whole grid, hence from size - shift
    return [
        tuple(
            row[len(row) - right :] + row[: len(row) - right]
            for row in grid[len(grid) - down :] + grid[: len(grid) - down]
        )
        for grid in grids
    ]
