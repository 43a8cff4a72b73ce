"""Panels of a task, in a terminal and as a PNG."""

import io
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from matplotlib.image import imread

from arc.puzzles.tasks import Pair, Task
from arc.show.png import draw_panels
from arc.show.terminal import PALETTE, Panel, task_panels, terminal_grid, terminal_row, wants_color
from tests.arc.strategies import grids

GRID = ((1, 2, 2), (0, 0, 9))
TASK = Task("a-0", (Pair(GRID, ((3,),)), Pair(((4,),), GRID)), ((5, 6),), ((7,),))


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


# Panels


def test_a_task_in_rows():
    rows = task_panels(TASK, [((7,),), None])
    assert [[panel.caption for panel in row] for row in rows] == [
        ["input 1", "output 1"],
        ["input 2", "output 2"],
        ["test input", "attempt 1, right", "attempt 2, wrong", "target"],
    ]
    assert [panel.grid for panel in rows[-1]] == [((5, 6),), ((7,),), None, ((7,),)]


def test_without_target_nothing_is_right_or_wrong():
    rows = task_panels(Task("a-0", (), ((5,),), None), [None, ((1,),)])
    assert [[panel.caption for panel in row] for row in rows] == [
        ["test input", "attempt 1", "attempt 2"]
    ]


# Terminal


def test_plain_grid():
    assert terminal_grid(GRID, color=False) == ["1 2 2 ", "0 0 9 "]


def test_colored_grid():
    blue, red = "\x1b[97;48;2;0;116;217m", "\x1b[30;48;2;255;65;54m"
    assert terminal_grid(GRID)[0] == f"{blue}1 \x1b[0m{red}2 2 \x1b[0m"


def test_every_color_has_its_own_background():
    [line] = terminal_grid((tuple(range(10)),))
    backgrounds = re.findall(r"48;2;(\d+);(\d+);(\d+)m", line)
    assert [tuple(map(int, background)) for background in backgrounds] == list(PALETTE)


def test_cells_beyond_the_colors_keep_the_width():
    assert terminal_grid(((44, -128, 1),), color=False) == ["? ? 1 "]
    assert without_escapes(terminal_grid(((44, -128, 1),))[0]) == "? ? 1 "


@given(grids())
def test_color_changes_no_text(grid):
    plain = terminal_grid(grid, color=False)
    assert [without_escapes(line) for line in terminal_grid(grid)] == plain
    assert {len(line) for line in plain} == {2 * len(grid[0])}


@pytest.mark.parametrize("color", [False, True])
def test_panels_side_by_side(color):
    panels = [Panel("in", GRID), Panel("a caption", ((3,),)), Panel("x", None), Panel("y", ((),))]
    text = terminal_row(panels, color)
    assert without_escapes(text).split("\n") == [
        "in       a caption   x        y",
        "1 2 2    3           (none)   (none)",
        # Trailing blanks go, but for those on a colour
        "0 0 9 " if color else "0 0 9",
    ]


@pytest.mark.parametrize(
    ("terminal", "no_color", "expected"),
    [(True, None, True), (True, "", True), (True, "1", False), (False, None, False)],
)
def test_color_is_for_terminals(monkeypatch, terminal, no_color, expected):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    assert wants_color(stream) is expected


# PNG


def test_a_png_shows_the_cells_in_their_colors(tmp_path):
    path = tmp_path / "a.png"
    draw_panels(task_panels(TASK, [((44, -1),), None]), path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    # 8 is in no grid
    assert {*pixels_by_color(path)} & {*PALETTE} == {*PALETTE} - {PALETTE[8]}


def test_all_grids_have_one_scale(tmp_path):
    path = tmp_path / "a.png"
    draw_panels([[Panel("a", ((2,),) * 4), Panel("b", ((4,),) * 2)]], path)
    pixels = pixels_by_color(path)
    assert pixels[PALETTE[2]] == pytest.approx(2 * pixels[PALETTE[4]], rel=0.02)


def test_large_figures_stay_bounded(tmp_path):
    path = tmp_path / "a.png"
    full = ((1,) * 30,) * 30
    draw_panels([[Panel("in", full), Panel("out", full)]] * 10, path)
    height, width = imread(path).shape[:2]
    assert 4_000 < height < 8_000
    assert width < 2_000


def pixels_by_color(path: Path) -> Counter[tuple[int, ...]]:
    colors = (imread(path)[..., :3] * 255).round().astype(int).reshape(-1, 3)
    return Counter(map(tuple, colors.tolist()))
