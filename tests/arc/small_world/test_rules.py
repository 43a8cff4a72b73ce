"""Invented tasks: rules do what their names say, and every task shows its rule."""

from collections import Counter

import numpy as np
import pytest

from arc.puzzles.augmenters import Augmenter, Chain, Flip, Rotate, Transpose
from arc.puzzles.grids import COLORS, Grid, as_grid
from arc.small_world.rules import RULE_WORDS, Rule, draw_grids, draw_rule, invented_task

N_RULES = 2000
TURNS: dict[str, Augmenter] = {
    "flip-rows": Flip(0),
    "flip-columns": Flip(1),
    "turn-left": Rotate(90),
    "turn-half": Rotate(180),
    "turn-right": Rotate(270),
    "transpose": Transpose(),
    "anti-transpose": Chain((Transpose(), Rotate(180))),
}
# What becomes of the grid of these digits, row by row
EXAMPLE = "012/345/678"
MOVED = {
    "roll-down": "678/012/345",
    "roll-up": "345/678/012",
    "roll-right": "201/534/867",
    "roll-left": "120/453/786",
}
PAINTED = {
    "top-row": "###/345/678",
    "bottom-row": "012/345/###",
    "left-column": "#12/#45/#78",
    "right-column": "01#/34#/67#",
    "corners": "#1#/345/#7#",
    "frame": "###/#4#/###",
}
COLOR_WORDS = [f"color-{color}" for color in range(COLORS)]


def rules() -> dict[tuple[str, ...], Rule]:
    """Very many rules by name: all kinds are among them."""
    rng = np.random.default_rng(0)
    return {rule.name: rule for rule in (draw_rule(rng) for _ in range(N_RULES))}


RULES = rules()


def grid_of(text: str, color: int = 0) -> Grid:
    return tuple(tuple(map(int, row)) for row in text.replace("#", str(color)).split("/"))


def applied(rule: Rule, grid: Grid) -> Grid:
    """Of the last of several grids, since rules take all of a task at once."""
    grids = np.array([np.zeros_like(grid), grid])
    before = grids.copy()
    changed = rule.apply(grids)
    assert (grids == before).all(), "the input must stay as it is"
    return as_grid(changed[-1].tolist())


def test_every_word_is_of_some_rule():
    assert {word for name in RULES for word in name} == {*RULE_WORDS}
    assert len({*RULE_WORDS}) == len(RULE_WORDS)


@pytest.mark.parametrize("name", TURNS)
def test_turns_are_those_of_the_augmenters(name):
    for grid in (grid_of(EXAMPLE), grid_of("0123/4567")):
        assert applied(RULES[name,], grid) == TURNS[name](grid)


@pytest.mark.parametrize("name", MOVED)
def test_cells_are_shifted_in_a_circle(name):
    assert applied(RULES[name,], grid_of(EXAMPLE)) == grid_of(MOVED[name])


@pytest.mark.parametrize("name", PAINTED)
def test_cells_are_painted(name):
    colors = [words[1] for words in RULES if words[0] == name]
    # Black is what paper is before it is painted
    assert set(colors) <= set(COLOR_WORDS[1:]) and len(colors) > 1
    for color in colors:
        expected = grid_of(PAINTED[name], COLOR_WORDS.index(color))
        assert applied(RULES[name, color], grid_of(EXAMPLE)) == expected


@pytest.mark.parametrize("name", ["replace", "swap"])
def test_colors_are_changed(name):
    chosen = [words[1:] for words in RULES if words[0] == name]
    assert len(chosen) > 50
    for old, new in chosen:
        before, after = COLOR_WORDS.index(old), COLOR_WORDS.index(new)
        assert before != after
        table = {before: after, after: before} if name == "swap" else {before: after}
        rule, grid = RULES[name, old, new], grid_of("0123/4567/8999")
        assert applied(rule, grid) == tuple(tuple(table.get(c, c) for c in row) for row in grid)


def test_kinds_are_as_frequent_as_said():
    rng = np.random.default_rng(1)
    names = [draw_rule(rng).name[0] for _ in range(N_RULES)]
    kinds = Counter(
        "turn"
        if name in TURNS
        else "roll"
        if name in MOVED
        else "paint"
        if name in PAINTED
        else "recolor"
        for name in names
    )
    expected = {"turn": 0.4, "recolor": 0.3, "roll": 0.2, "paint": 0.1}
    assert {kind: n / N_RULES for kind, n in kinds.items()} == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize("seed", range(20))
def test_every_grid_shows_what_a_rule_changes(seed):
    rng = np.random.default_rng(seed)
    rule = draw_rule(rng)
    grids = draw_grids(rule, 50, 2, 4, rng)
    assert grids.shape == (50, 2, 4)
    assert all({*rule.colors} <= {*np.unique(grid).tolist()} for grid in grids)
    # A palette of three to seven, and the rule's own
    assert 3 <= len(np.unique(grids)) <= 7 + len(rule.colors)


@pytest.mark.parametrize("seed", range(20))
def test_a_task_has_one_rule(seed):
    task = invented_task("moth-0", np.random.default_rng(seed))
    assert task.id == "moth-0"
    pairs = [*((pair.input, pair.output) for pair in task.demonstrations)]
    pairs.append((task.test_input, task.target))
    assert len(pairs) == 4
    assert all(len(grid) == 3 == len(grid[0]) for pair in pairs for grid in pair)
    fitting = [r for r in RULES.values() if all(applied(r, given) == told for given, told in pairs)]
    assert fitting


def test_tasks_depend_on_the_generator_alone():
    def drawn(seed: int) -> list:
        rng = np.random.default_rng(seed)
        return [invented_task(str(n), rng, n=2, size=4) for n in range(3)]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert len(drawn(0)[0].demonstrations) == 2 and len(drawn(0)[0].test_input) == 4
