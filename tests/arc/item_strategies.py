"""Hypothesis strategies of demonstrations and items."""

from hypothesis import strategies as st

from arc.puzzles.tasks import Item, Pair
from tests.arc.strategies import grids


def demonstrations(
    max_size: int, min_pairs: int = 1, max_pairs: int = 4
) -> st.SearchStrategy[tuple[Pair, ...]]:
    """Pairs of grids of up to `max_size` rows and columns; some may be alike."""
    pairs = st.builds(Pair, grids(max_size), grids(max_size))
    return st.lists(pairs, min_size=min_pairs, max_size=max_pairs).map(tuple)


def items(max_size: int) -> st.SearchStrategy[Item]:
    """A pair with up to three demonstrations."""
    pairs = demonstrations(max_size, min_pairs=1)
    return pairs.map(lambda chosen: Item(chosen[1:], chosen[0]))
