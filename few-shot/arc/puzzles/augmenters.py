"""Augmenters: ways to make another task out of an ARC task by transforming its grids (golden A1).

An augmenter is a value: it compares by what it does. All but RandomTranslateXY are functions from
grid to grid, which know nothing of the item around it.
"""

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, fields
from itertools import chain, compress
from random import Random
from typing import NamedTuple

from arc.puzzles.grids import Grid, transpose
from arc.puzzles.tasks import Item, Pair

Augmenter = Callable[[Grid], Grid]

_MAX_SHIFT = 3


class Augmentations(NamedTuple):
    """The four switches of a self-edit (paper, section 4.2)."""

    basic: bool
    size: bool
    chain: bool
    repeat: bool


@dataclass(frozen=True)
class _Named:
    """`str` gives an augmenter the release's name: its class with the values of its fields."""

    def __str__(self) -> str:
        values = [getattr(self, field.name) for field in fields(self)]
        return f"{type(self).__name__}({_names(values)})"


@dataclass(frozen=True)
class IdentityAugmenter(_Named):
    """The grid itself, as a part of Concat."""

    def __call__(self, grid: Grid) -> Grid:
        return grid


@dataclass(frozen=True)
class Transpose(_Named):
    """Rows become columns."""

    def __call__(self, grid: Grid) -> Grid:
        return transpose(grid)

    @property
    def inverse(self) -> "Transpose":
        """Undoes it: itself."""
        return self


@dataclass(frozen=True)
class Flip(_Named):
    """Rows (axis 0) or columns (axis 1) in reverse order."""

    axis: int

    def __call__(self, grid: Grid) -> Grid:
        return grid[::-1] if self.axis == 0 else tuple(row[::-1] for row in grid)

    @property
    def inverse(self) -> "Flip":
        """Undoes it: itself."""
        return self


@dataclass(frozen=True)
class Rotate(_Named):
    """Turn counter-clockwise by 90, 180 or 270 degrees; other angles raise ValueError when used."""

    degrees: int

    def __call__(self, grid: Grid) -> Grid:
        match self.degrees:
            case 90:
                return transpose(grid)[::-1]
            case 180:
                return tuple(row[::-1] for row in grid[::-1])
            case 270:
                return transpose(grid[::-1])
        raise ValueError(f"a grid cannot be turned by {self.degrees} degrees")

    @property
    def inverse(self) -> "Rotate":
        """Undoes it: the rest of the full turn."""
        return Rotate(360 - self.degrees)


@dataclass(frozen=True)
class Reflect:
    """The grid and its mirror image below (axis 0) or to the right (axis 1); `reverse`: before."""

    axis: int
    reverse: bool

    def __str__(self) -> str:
        return f"Reflect({self.axis}, reverse={self.reverse})"

    def __call__(self, grid: Grid) -> Grid:
        mirrored = Flip(self.axis)(grid)
        return _join((mirrored, grid) if self.reverse else (grid, mirrored), self.axis)


@dataclass(frozen=True)
class IncreaseHeight(_Named):
    """Every row `factor` times in succession."""

    factor: int

    def __call__(self, grid: Grid) -> Grid:
        return tuple(row for row in grid for _ in range(self.factor))


@dataclass(frozen=True)
class IncreaseWidth(_Named):
    """Every column `factor` times in succession."""

    factor: int

    def __call__(self, grid: Grid) -> Grid:
        # zip puts copies of a row cell beside cell, without a loop over cells in Python
        return tuple(tuple(chain(*zip(*[row] * self.factor, strict=True))) for row in grid)


@dataclass(frozen=True)
class IncreaseResolution(_Named):
    """Every cell becomes a block of `factor` x `factor` cells."""

    factor: int

    def __call__(self, grid: Grid) -> Grid:
        return IncreaseHeight(self.factor)(IncreaseWidth(self.factor)(grid))


@dataclass(frozen=True)
class Repeat(_Named):
    """`times` copies below each other (axis 0), side by side (axis 1), or both ways (axis 2)."""

    axis: int
    times: int

    def __call__(self, grid: Grid) -> Grid:
        if self.axis != 0:
            grid = tuple(row * self.times for row in grid)
        return grid if self.axis == 1 else grid * self.times


@dataclass(frozen=True)
class Chain:
    """One augmenter after the other, from left to right."""

    augmenters: tuple[Augmenter, ...]

    def __str__(self) -> str:
        return f"Chain([{_names(self.augmenters)}])"

    def __call__(self, grid: Grid) -> Grid:
        for augmenter in self.augmenters:
            grid = augmenter(grid)
        return grid


@dataclass(frozen=True)
class Concat:
    """What several augmenters make of one grid, below each other (axis 0) or side by side (axis 1).

    Raises ValueError where their grids do not fit together.
    """

    augmenters: tuple[Augmenter, ...]
    axis: int

    def __str__(self) -> str:
        return f"Concat(({_names(self.augmenters)}), axis={self.axis})"

    def __call__(self, grid: Grid) -> Grid:
        return _join(tuple(augmenter(grid) for augmenter in self.augmenters), self.axis)


@dataclass(frozen=True)
class RandomTranslateXY(_Named):
    """A random cyclic shift by 0 to 3 cells down and to the right; what leaves comes in again."""

    def __call__(self, item: Item, rng: Random, *, release_bugs: bool = False) -> Item:
        """Shift all grids of `item` alike, by less than the smallest height and width in it.

        The release draws one shift for a pair's input and one for its output, each below that
        grid's size, and starts every pair of every item in the same state of the generator. So
        outputs move against inputs, small grids against larger ones, and all items of a task alike
        (golden A2, A4).
        """
        if release_bugs:
            shifted = [_shift_apart(pair, copy(rng)) for pair in item.pairs]
        else:
            down, right = _draw_shift([grid for pair in item.pairs for grid in pair], rng)
            shifted = [Pair(*(_shift(grid, down, right) for grid in pair)) for pair in item.pairs]
        return Item(tuple(shifted[:-1]), shifted[-1])


InvertibleAugmenter = Transpose | Flip | Rotate
INVERTIBLE = (Transpose(), Flip(0), Flip(1), Rotate(90), Rotate(180))
"""The transforms of test-time views, in the release's order (golden A5)."""

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


def transform_pair(pair: Pair, augmenter: Augmenter) -> Pair:
    """Input and output, transformed alike."""
    return Pair(augmenter(pair.input), augmenter(pair.output))


def augmenters_for(augmentations: Augmentations) -> list[Augmenter | RandomTranslateXY]:
    """The augmenters that the switches stand for, in the release's order (golden A7)."""
    families = Augmentations(basic=_BASIC, size=_SIZE, chain=_CHAIN, repeat=_REPEAT)
    return list(chain.from_iterable(compress(families, augmentations)))


def _names(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _join(grids: tuple[Grid, ...], axis: int) -> Grid:
    if len({len(grid[0]) if axis == 0 else len(grid) for grid in grids}) > 1:
        sizes = ", ".join(f"{len(grid)} x {len(grid[0])}" for grid in grids)
        raise ValueError(f"grids of {sizes} do not fit together along axis {axis}")
    if axis == 0:
        return sum(grids, ())
    return tuple(sum(rows, ()) for rows in zip(*grids, strict=True))


def _shift_apart(pair: Pair, rng: Random) -> Pair:
    return Pair(*(_shift(grid, *_draw_shift([grid], rng)) for grid in pair))


def _draw_shift(grids: list[Grid], rng: Random) -> tuple[int, int]:
    """How far down and to the right, each less than the smallest size in `grids`."""
    height, width = min(map(len, grids)), min(len(grid[0]) for grid in grids)
    return rng.randrange(min(height, _MAX_SHIFT + 1)), rng.randrange(min(width, _MAX_SHIFT + 1))


def _shift(grid: Grid, down: int, right: int) -> Grid:
    # A slice from -0 on would be the whole grid, hence from size - shift
    start, first = len(grid) - down, len(grid[0]) - right
    return tuple(row[first:] + row[:first] for row in grid[start:] + grid[:start])
