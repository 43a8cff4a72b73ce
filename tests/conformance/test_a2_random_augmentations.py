"""Random augmentations: the release's translation, bugs and all, and its frequencies of colours."""

from collections import Counter
from math import sqrt
from random import Random

import pytest

from arc.puzzles.augmenters import RandomTranslateXY, draw_colors
from arc.puzzles.grids import COLORS
from arc.puzzles.tasks import Item
from tests.conformance.arc_records import item_of, sha256
from tests.conformance.golden import golden
from tests.conformance.release_random import ReleaseRandom

DRAWS = 5_000
SIDES = ("input", "output")


def test_the_releases_translations():
    records = golden("a2_translate_seed0")
    for record in records:
        item = item_of(record["id"])
        translated = RandomTranslateXY()(item, ReleaseRandom(), release_bugs=True)
        assert sha256(translated) == record["result_sha256"], record["id"]
    assert records


def test_the_releases_shifts_are_cyclic_and_apart():
    """What release_bugs stands for: input and output shifts that no common shift explains."""
    apart = 0
    for record in golden("a2_translate_seed0"):
        for example in record["examples"]:
            shapes = [example[f"{side}_shape"] for side in SIDES]
            shifts = [set(map(tuple, example[f"{side}_shift_candidates"])) for side in SIDES]
            assert all(any(max(shift) < 4 for shift in candidates) for candidates in shifts)
            apart += shapes[0] == shapes[1] and shifts[0].isdisjoint(shifts[1])
    assert apart > 0


def test_by_default_one_shift_explains_the_item():
    for record in golden("a2_translate_seed0"):
        item = item_of(record["id"])
        translated = RandomTranslateXY()(item, Random(0))
        assert common_shifts(item, translated), record["id"]


def common_shifts(item: Item, translated: Item) -> list[tuple[int, int]]:
    """The (down, right) below 4 and below every size that turn all grids into the translated."""
    grids = [grid for pair in (*item.demonstrations, item.test) for grid in pair]
    found = [grid for pair in (*translated.demonstrations, translated.test) for grid in pair]
    height, width = min(map(len, grids)), min(len(grid[0]) for grid in grids)
    return [
        (down, right)
        for down in range(min(4, height))
        for right in range(min(4, width))
        if all(
            after[(y + down) % len(before)][(x + right) % len(row)] == cell
            for before, after in zip(grids, found, strict=True)
            for y, row in enumerate(before)
            for x, cell in enumerate(row)
        )
    ]


def test_frequencies_of_colors():
    """All frequencies that do not depend on the order in which colours are visited."""
    records = golden("a2_permute_colors_distribution")
    for record in records:
        used, rng = set(record["used_nonzero_colors"]), Random(0)
        draws = [draw_colors(used, rng) for _ in range(DRAWS)]
        assert record["zero_always_fixed"] and all(table[0] == 0 for table in draws)
        assert record["always_injective"]
        assert all(len({table[color] for color in used}) == len(used) for table in draws)

        unused_before = sum(used.isdisjoint(table[color] for color in used) for table in draws)
        expected = record["P_no_new_color_was_used_before"]
        assert agree(unused_before, expected, record["n_draws"]), record["id"]
        fixed = Counter(str(sum(table[color] == color for color in used)) for table in draws)
        expected = record["distribution_number_of_fixed_colors"]
        for number in fixed | expected:
            frequency = expected.get(number, 0)
            assert agree(fixed[number], frequency, record["n_draws"]), (record["id"], number)
        assert agree_on_average(used, draws, record), record["id"]
    assert records


def agree_on_average(used: set[int], draws: list[list[int]], record: dict) -> bool:
    """How often a used colour becomes itself, another used one, or an unused one."""
    expected, found = Counter(), Counter()
    for mapping, frequency in record["P_map"].items():
        expected[kind(used, *map(int, mapping.split("->")))] += frequency
    for table in draws:
        found.update(kind(used, color, table[color]) for color in used)
    n_draws = record["n_draws"]
    return all(
        agree(found[key] / len(used), expected[key] / len(used), n_draws)
        for key in found | expected
    )


def kind(used: set[int], color: int, new: int) -> str:
    return "itself" if new == color else "used" if new in used else "unused"


def agree(count: float, frequency: float, n_draws: int) -> bool:
    """Whether DRAWS draws with `count` hits and `n_draws` with `frequency` may be of one kind."""
    pooled = (count + frequency * n_draws) / (DRAWS + n_draws)
    deviation = sqrt(pooled * (1 - pooled) * (1 / DRAWS + 1 / n_draws))
    return abs(count / DRAWS - frequency) <= 5 * deviation + 1e-12


@pytest.mark.parametrize("used", [set(range(1, size)) for size in range(1, COLORS + 1)])
def test_colors_never_collide(used):
    """Also where no record looks."""
    for seed in range(100):
        table = draw_colors(used | {0}, Random(seed))
        assert table[0] == 0 and len({table[color] for color in used}) == len(used)
