"""Hypothesis strategies of this domain."""

from hypothesis import strategies as st

from arc.puzzles.grids import COLORS, MAX_SIZE, Grid


@st.composite
def grids(draw: st.DrawFn, max_size: int = MAX_SIZE) -> Grid:
    """Any grid of height and width from 1 to `max_size`."""
    sizes = st.integers(1, max_size)
    height, width = draw(sizes), draw(sizes)
    # Bytes are drawn at once, where hundreds of integers would be drawn one by one
    cells = [byte % COLORS for byte in draw(st.binary(min_size=height * width, max_size=900))]
    return tuple(tuple(cells[row * width :][:width]) for row in range(height))
