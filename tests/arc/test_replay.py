"""Replay: predictions of the tasks' own demonstrations, drawn by the seed, each seldom twice."""

from collections import Counter
from dataclasses import replace

from arc.encoding import encode_item
from arc.rendering import grid_text
from arc.replay import replay_rows
from arc.settings import InnerLoopSettings
from arc.tasks import Item
from arc.training_sets import initial_items
from seal.sft import SftRow, encode_example
from tests.arc.policies import FERRY, MOTH, chat_tokenizer
from tests.data import REPOSITORY

# Prompts without wording: what is in them is demonstrations
SETTINGS = InnerLoopSettings(prompts=REPOSITORY / "few-shot" / "small_model" / "prompts")
EVERYTHING = 1000


def rows_of(tasks, n, seed=0, settings=SETTINGS) -> list[SftRow]:
    return replay_rows(tasks, n, settings, chat_tokenizer(), seed)


def tokens(row: SftRow) -> tuple[int, ...]:
    return tuple(encode_example(chat_tokenizer(), row)["input_ids"])


def item_tokens(item: Item) -> tuple[int, ...]:
    return tuple(encode_item(item, chat_tokenizer(), SETTINGS).input_ids.tolist())


def test_demonstrations_are_predicted_from_others_as_in_the_inner_loop():
    found = {tokens(row) for row in rows_of([MOTH, FERRY], EVERYTHING)}
    plain = [
        item
        for task in (MOTH, FERRY)
        for leave_n in (1, 2)
        for item in initial_items(task.demonstrations, leave_n)
    ]
    # There are also some in another order, and nothing else: no other grids, no other colours
    assert {item_tokens(item) for item in plain} <= found
    assert {sorted_pairs(found_tokens) for found_tokens in found} == {
        sorted_pairs(item_tokens(item)) for item in plain
    }


def sorted_pairs(ids: tuple[int, ...]) -> tuple[str, ...]:
    """Demonstrations in a fixed order, then question and answer."""
    system, question = chat_tokenizer().decode(list(ids)).split("<|user|>")
    demonstrations = system.removeprefix("<|system|>").removesuffix("<|end_of_turn|>")
    return (*sorted(demonstrations.split("#\n")), question)


def test_no_test_input_is_shown():
    shown = [chat_tokenizer().decode(tokens(row)) for row in rows_of([MOTH], EVERYTHING)]
    assert any(grid_text(MOTH.demonstrations[0].output) in text for text in shown)
    hidden = [grid_text(grid) for grid in (MOTH.test_input, MOTH.target)]
    assert not any(grid in text for grid in hidden for text in shown)


def test_a_draw_depends_on_the_seed_and_repeats_nothing_before_all_were_drawn():
    everything = [tokens(row) for row in rows_of([MOTH, FERRY], EVERYTHING)]
    n = len({*everything})
    assert max(Counter(everything).values()) - min(Counter(everything).values()) <= 1
    some = [tokens(row) for row in rows_of([MOTH, FERRY], n - 1)]
    assert len({*some}) == n - 1
    assert rows_of([MOTH, FERRY], 5) == rows_of([MOTH, FERRY], 5)
    assert rows_of([MOTH, FERRY], 5) != rows_of([MOTH, FERRY], 5, seed=1)
    assert rows_of([MOTH], 0) == []


def test_test_inputs_of_one_task_give_its_demonstrations_once():
    twin = replace(MOTH, id="moth-1", test_input=((9,),))
    both = {tokens(row) for row in rows_of([MOTH, twin], EVERYTHING)}
    plain = [item_tokens(i) for n in (1, 2) for i in initial_items(MOTH.demonstrations, n)]
    counted = Counter(tokens(row) for row in rows_of([MOTH, twin], len(both)))
    assert all(counted[item] == 1 for item in plain)


def test_what_is_too_long_for_an_adapter_is_left_out():
    lengths = sorted({len(tokens(row)) for row in rows_of([MOTH], EVERYTHING)})
    settings = replace(SETTINGS, max_length=lengths[-1])
    found = {len(tokens(row)) for row in rows_of([MOTH], EVERYTHING, settings=settings)}
    assert max(found) == lengths[-2]
    assert rows_of([MOTH], 5, settings=replace(SETTINGS, max_length=1)) == []
