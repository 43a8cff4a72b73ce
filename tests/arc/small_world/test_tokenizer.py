"""The small model's tokens: a cell each with its place, and nothing is lost on the way."""

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arc.method.configurations import to_json
from arc.method.inner_loop import encode_item
from arc.method.prompts import check_prompts, prediction_prompt, self_edit_prompt
from arc.puzzles.grids import COLORS, Grid
from arc.puzzles.rendering import answer_text, examples_text, query_text
from arc.puzzles.tasks import Item, Pair, Task
from arc.small_world.format_model import random_configuration
from arc.small_world.pretraining import SMALL_PROMPTS
from arc.small_world.rules import RULE_WORDS
from arc.small_world.tokenizer import (
    ARROW,
    CANVAS,
    END,
    EPOCHS,
    LEARNING_RATES,
    MODE,
    ROLE_TOKENS,
    UNKNOWN,
    cell_token,
    small_tokenizer,
)
from tests.arc.item_strategies import demonstrations, items
from tests.arc.strategies import grids

TOKENIZER = small_tokenizer()
ON_CANVAS = grids(CANVAS)
PLACES = [*product(range(CANVAS), range(CANVAS), range(COLORS))]
BEYOND = grids(30).filter(lambda grid: max(len(grid), len(grid[0])) > CANVAS)


def tokens(text: str) -> list[str]:
    return TOKENIZER.tokenize(text)


def decoded(text: str) -> str:
    return TOKENIZER.decode(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def cells(grid: Grid) -> list[str]:
    return [
        cell_token(row, column, color)
        for row, colors in enumerate(grid)
        for column, color in enumerate(colors)
    ]


# Grids


@given(ON_CANVAS)
def test_a_cell_is_one_token_that_says_where_it_is(grid):
    assert tokens(answer_text(grid)) == [*cells(grid), END]
    assert tokens(query_text(grid)) == [*cells(grid), ARROW]


@given(ON_CANVAS | BEYOND)
def test_grids_survive(grid):
    for text in (answer_text(grid), query_text(grid)):
        assert decoded(text) == text
        assert UNKNOWN not in tokens(text)


@given(BEYOND)
def test_from_the_first_cell_beyond_the_canvas_on_tokens_are_colors(grid):
    *found, end = tokens(answer_text(grid))
    n_placed = min(len(grid[0]), CANVAS) if len(grid[0]) > CANVAS else CANVAS * len(grid[0])
    assert end == END and found[:n_placed] == cells_within(grid)[:n_placed]
    placed = {cell_token(*place) for place in PLACES}
    assert placed.isdisjoint(found[n_placed:])
    assert [int(token[-1]) for token in found] == [color for row in grid for color in row]


def cells_within(grid: Grid) -> list[str]:
    return cells(tuple(row[:CANVAS] for row in grid[:CANVAS]))


@given(demonstrations(CANVAS))
def test_a_prompt_for_a_self_edit_shows_grids_in_the_same_tokens(pairs):
    expected = [
        token for pair in pairs for token in (*cells(pair.input), ARROW, *cells(pair.output), END)
    ]
    assert tokens(examples_text(pairs)) == expected


@settings(max_examples=30)
@given(items(CANVAS))
def test_examples_can_be_encoded(item: Item):
    encoded = encode_item(item, TOKENIZER, SMALL_PROMPTS)
    assert TOKENIZER.unk_token_id not in encoded.input_ids
    names = TOKENIZER.convert_ids_to_tokens(encoded.input_ids.tolist())
    assert [name for name in names if name in ROLE_TOKENS] == [*ROLE_TOKENS]


# Self-edits


def test_self_edits_survive_with_a_token_for_each_choice():
    rng = random.Random(0)
    lengths = set()
    for _ in range(200):
        text = to_json(random_configuration(rng, LEARNING_RATES, EPOCHS))
        assert decoded(text) == text
        assert UNKNOWN not in tokens(text)
        lengths.add(len(tokens(text)))
    # 7 choices, and what stands around them
    assert lengths == {2 * 7 + 1}


def test_self_edits_differ_in_their_choices_alone():
    rng = random.Random(0)
    written = [
        tokens(to_json(random_configuration(rng, LEARNING_RATES, EPOCHS))) for _ in range(200)
    ]
    variants = [len({*column}) for column in zip(*written, strict=True)]
    assert sorted(n for n in variants if n > 1) == sorted(
        [2] * 5 + [len(LEARNING_RATES), len(EPOCHS)]
    )


# Prompts


@given(demonstrations(CANVAS), ON_CANVAS)
def test_prompts_have_no_unknown_token(pairs, grid):
    task = Task("moth-0", pairs, grid, None)
    asked = [
        self_edit_prompt(task, SMALL_PROMPTS, TOKENIZER),
        prediction_prompt(pairs, grid, SMALL_PROMPTS, TOKENIZER),
    ]
    for prompt in asked:
        assert TOKENIZER.unk_token_id not in prompt
        assert TOKENIZER.convert_ids_to_tokens(prompt[-1]) == ROLE_TOKENS[-1]
    # What tells them apart
    assert TOKENIZER.convert_tokens_to_ids(MODE) in asked[0]
    assert TOKENIZER.convert_tokens_to_ids(MODE) not in asked[1]


def test_prompts_can_be_loaded():
    check_prompts(SMALL_PROMPTS)


# Words


def test_every_word_has_a_token():
    for word in (MODE, *RULE_WORDS):
        assert tokens(word) == [word]


@pytest.mark.parametrize("text", ["moth", "[[a b]]", "{}"])
def test_other_words_are_unknown(text):
    assert UNKNOWN in tokens(text)


@given(st.text(max_size=20))
def test_any_text_can_be_encoded(text):
    assert all(isinstance(number, int) for number in TOKENIZER(text)["input_ids"])


def test_tokens_are_told_apart():
    vocabulary = TOKENIZER.get_vocab()
    assert sorted(vocabulary.values()) == list(range(len(TOKENIZER)))
    assert {cell_token(*place) for place in PLACES} <= vocabulary.keys()


def test_a_pair_ends_where_the_next_begins():
    pair = Pair(((1, 2),), ((3,), (4,)))
    item = Item((pair, pair), pair)
    names = TOKENIZER.convert_ids_to_tokens(
        encode_item(item, TOKENIZER, SMALL_PROMPTS).input_ids.tolist()
    )
    end_of_turn = TOKENIZER.eos_token
    shown = [*cells(pair.input), ARROW, *cells(pair.output), END]
    assert names == [
        *(ROLE_TOKENS[0], *shown, *shown, end_of_turn),
        *(ROLE_TOKENS[1], *cells(pair.input), ARROW, end_of_turn),
        *(ROLE_TOKENS[2], *cells(pair.output), END, end_of_turn),
    ]
