"""Other colours, and another order of the demonstrations, for the same rule (golden A2, A4)."""

from collections.abc import Collection
from random import Random

from arc.puzzles.grids import COLORS
from arc.puzzles.tasks import Item, Pair


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
