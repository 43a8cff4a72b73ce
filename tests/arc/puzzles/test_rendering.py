"""What is rendered reads back; what is not a grid is not a prediction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc.puzzles.rendering import (
    answer_text,
    decode_grid,
    demonstrations_text,
    examples_text,
    grid_text,
    query_text,
)
from arc.puzzles.tasks import Pair
from tests.arc.strategies import grids

GRID = ((1, 2), (3, 4))
PAIRS = [Pair(GRID, ((5,),)), Pair(((0, 9),), GRID)]


def test_the_texts():
    assert grid_text(((7,),)) == "[[7]]"
    assert grid_text(GRID) == "[[1 2]\n [3 4]]"
    assert query_text(GRID) == "[[1 2]\n [3 4]] -> "
    assert answer_text(GRID) == "[[1 2]\n [3 4]]#"


def test_demonstrations():
    assert demonstrations_text([]) == ""
    assert demonstrations_text(PAIRS) == "[[1 2]\n [3 4]] -> [[5]]#\n[[0 9]] -> [[1 2]\n [3 4]]#\n"


def test_examples_of_the_self_edit_prompt():
    assert examples_text(PAIRS) == (
        "Input:\n1 2\n3 4\n\nOutput:\n5\n\nInput:\n0 9\n\nOutput:\n1 2\n3 4\n\n"
    )


@pytest.mark.parametrize("release_bugs", [False, True])
@given(grid=grids())
def test_what_is_rendered_reads_back(release_bugs, grid):
    for text in (grid_text(grid), answer_text(grid), f"Sure!\n```\n{answer_text(grid)}\n```\nDone"):
        assert decode_grid(text, release_bugs) == grid


@pytest.mark.parametrize("release_bugs", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "1 2\n3 4",
        "\n [[1 2]\n [3 4]]##\n\n",
        "[[1  2]\n\t[3   4",
        "[[+1 02]\n [0_3 ٤]]",
        "[[1\u00a02]\r\n[3 4]]",
        "no ``` [[1 2]\n[3 4]] ``` 9 ``` [[5]]",
        "``#`[[1 2]\n[3 4]]",
    ],
)
def test_lenient_reading(text, release_bugs):
    assert decode_grid(text, release_bugs) == GRID


@pytest.mark.parametrize("release_bugs", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "I do not know",
        "The answer is [[1]]",
        "[[1, 2]]",
        "[[1.0]]",
        "[[0x1]]",
        "[[1 2]\n [3]]",
        "[[1 2]\n\n [3 4]]",
        "[\n[1 2]\n[3 4]]",
        "[[1]] -> [[2]]#",
        "```python\n[[1]]```",
        "[[1]]<|eot_id|>",
        f"[[{'9' * 20}]]",
        f"[[{'9' * 6_000}]]",
    ],
)
def test_no_grid_either_way(text, release_bugs):
    assert decode_grid(text, release_bugs) is None


@pytest.mark.parametrize(
    ("text", "released"),
    [
        ("", ((),)),
        (" #", ((),)),
        ("[[]\n[]]", ((), ())),
        ("``````[[1]]", ((),)),
        ("[[1 2]\n [3 4 5 6]]", ((1, 2, 3), (4, 5, 6))),
        ("[[1 2 3 4]\n[]]", ((1, 2), (3, 4))),
        ("10 -1", ((10, -1),)),
        ("127 128 255 256 -128 -129", ((127, -128, -1, 0, -128, 127),)),
        (f"{2**63 - 1} {-(2**63)}", ((-1, 0),)),
        ("0 " * 31, ((0,) * 31,)),
        ("0\n" * 31, ((0,),) * 31),
    ],
)
def test_what_only_the_release_lets_pass(text, released):
    assert decode_grid(text) is None
    assert decode_grid(text, release_bugs=True) == released


@given(st.text("0123456789 \n[]#`-x", max_size=60))
def test_any_text_is_a_grid_or_no_prediction(text):
    """Whatever passes by default, the release reads in the same way."""
    grid = decode_grid(text)
    if grid is not None:
        assert decode_grid(text, release_bugs=True) == grid == decode_grid(answer_text(grid))
