"""Invented ARC-like tasks on small grids; a small model can learn their few kinds of rules."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arc.puzzles.grids import COLORS, as_grid
from arc.puzzles.tasks import Pair, Task

Grids = NDArray[np.int64]
"""Grids of one size, [grids, height, width], or any further axes before the last two."""


class Rule(NamedTuple):
    """Turns every input grid of a task into its output grid."""

    name: tuple[str, ...]
    """The kind of rule and its colours, in words of `RULE_WORDS`."""
    apply: Callable[[Grids], Grids]
    colors: tuple[int, ...] = ()
    """Colours that every input must have for the rule to show."""


def _transposed(grids: Grids) -> Grids:
    return grids.swapaxes(-1, -2)


_TURNS: dict[str, Callable[[Grids], Grids]] = {
    "flip-rows": lambda grids: grids[..., ::-1, :],
    "flip-columns": lambda grids: grids[..., ::-1],
    "turn-left": lambda grids: _transposed(grids)[..., ::-1, :],
    "turn-half": lambda grids: grids[..., ::-1, ::-1],
    "turn-right": lambda grids: _transposed(grids)[..., ::-1],
    "transpose": _transposed,
    "anti-transpose": lambda grids: _transposed(grids)[..., ::-1, ::-1],
}
_ROLLS: dict[str, Callable[[Grids], Grids]] = {
    "roll-down": lambda grids: np.roll(grids, 1, -2),
    "roll-up": lambda grids: np.roll(grids, -1, -2),
    "roll-right": lambda grids: np.roll(grids, 1, -1),
    "roll-left": lambda grids: np.roll(grids, -1, -1),
}
_FIRST, _LAST, _ALL = slice(0, 1), slice(-1, None), slice(None)
# Places that are painted: pairs of rows and columns
_PAINTED = {
    "top-row": [(_FIRST, _ALL)],
    "bottom-row": [(_LAST, _ALL)],
    "left-column": [(_ALL, _FIRST)],
    "right-column": [(_ALL, _LAST)],
    "corners": [(rows, columns) for rows in (_FIRST, _LAST) for columns in (_FIRST, _LAST)],
    "frame": [(_FIRST, _ALL), (_LAST, _ALL), (_ALL, _FIRST), (_ALL, _LAST)],
}
_RECOLORINGS = ("replace", "swap")
RULE_WORDS = (
    *(*_TURNS, *_ROLLS, *_PAINTED, *_RECOLORINGS),
    *(f"color-{color}" for color in range(COLORS)),
)
"""All words of rules' names."""


def draw_rule(rng: np.random.Generator) -> Rule:
    """A turn or flip (40%), a recolouring (30%), a cyclic shift (20%) or painted cells (10%)."""
    kind = rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])
    if kind == 1:
        return _recoloring(rng)
    if kind == 3:
        return _painting(rng)
    rules = _TURNS if kind == 0 else _ROLLS
    name = str(rng.choice(list(rules)))
    return Rule((name,), rules[name])


def _recoloring(rng: np.random.Generator) -> Rule:
    name = str(rng.choice(_RECOLORINGS))
    old, new = map(int, rng.choice(COLORS, 2, replace=False))
    table, seen = np.arange(COLORS), (old,)
    table[old] = new
    if name == "swap":
        table[new], seen = old, (old, new)
    return Rule((name, f"color-{old}", f"color-{new}"), lambda grids: table[grids], seen)


def _painting(rng: np.random.Generator) -> Rule:
    name, color = str(rng.choice(list(_PAINTED))), int(rng.integers(1, COLORS))

    def paint(grids: Grids) -> Grids:
        painted = grids.copy()
        for rows, columns in _PAINTED[name]:
            painted[..., rows, columns] = color
        return painted

    return Rule((name, f"color-{color}"), paint)


def draw_grids(rule: Rule, n: int, height: int, width: int, rng: np.random.Generator) -> Grids:
    """`n` input grids in three to seven colours, with those of the rule among them."""
    palette = rng.choice(COLORS, rng.integers(3, 8), replace=False)
    grids = palette[rng.integers(len(palette), size=(n, height, width))]
    # A cell for each colour, so that none overwrites another
    places = rng.permuted(np.tile(np.arange(height * width), (n, 1)), axis=1)
    for place, color in zip(places.T, rule.colors, strict=False):
        grids.reshape(n, -1)[np.arange(n), place] = color
    return grids


def invented_task(id: str, rng: np.random.Generator, n: int = 3, size: int = 3) -> Task:
    """A task with `n` demonstrations on grids of `size` x `size`."""
    rule = draw_rule(rng)
    *demonstrations, test = solved(rule, draw_grids(rule, n + 1, size, size, rng))
    return Task(id, tuple(demonstrations), test.input, test.output)


def solved(rule: Rule, inputs: Grids) -> list[Pair]:
    """Each of the input grids [grids, height, width] with its output."""
    pairs = zip(inputs.tolist(), rule.apply(inputs).tolist(), strict=True)
    return [Pair(as_grid(given), as_grid(told)) for given, told in pairs]
