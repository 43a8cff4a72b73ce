"""The small model for trials: its tokenizer loses nothing, and it learns how self-edits look."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arc.method.configurations import check_steps, parse_self_edit, to_json
from arc.method.inner_loop import encode_item
from arc.method.prompts import self_edit_prompt
from arc.puzzles.rendering import answer_text
from arc.puzzles.tasks import Item
from arc.settings import InnerLoopSettings, PromptSettings
from arc.small_world.format_model import random_configuration, save_small_model
from seal.models.load import load_model, load_tokenizer
from tests.arc.item_strategies import items
from tests.arc.policies import MOTH, chat_tokenizer, task_of
from tests.arc.strategies import grids

SHIPPED = PromptSettings()
BEE = task_of("bee-0", ((1,),), ((2,),), ((3,),))
ITEM = Item(MOTH.demonstrations[1:], MOTH.demonstrations[0])


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    """Prompts of few words: training takes as long as they are."""
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "self-edit.txt").write_text("How?\n{examples}")
    (folder / "predict.txt").write_text("{demonstrations}{query}")
    return PromptSettings(prompts=folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, prompts):
    """Model folders by seed, steps, and attempt."""
    folder = tmp_path_factory.mktemp("models")
    asked = [(0, 1, "a"), (0, 1, "b"), (1, 1, "a"), (0, 30, "a")]
    return {
        key: save_small_model(folder / "-".join(map(str, key)), [BEE, MOTH], prompts, *key[:2])
        for key in asked
    }


# Tokens


@given(st.text())
def test_any_text_survives(text):
    ids = chat_tokenizer()(text, add_special_tokens=False)["input_ids"]
    assert chat_tokenizer().decode(ids) == text


@given(grids(8))
def test_digits_and_blanks_stand_alone(grid):
    tokens = chat_tokenizer().tokenize(answer_text(grid))
    assert sum(token.isdigit() for token in tokens) == sum(map(len, grid))
    assert all(token.isdigit() or not any(map(str.isdigit, token)) for token in tokens)
    assert sum(token == "Ġ" for token in tokens) >= sum(len(row) - 1 for row in grid)


@settings(max_examples=20)
@given(items(5))
def test_examples_can_be_encoded(item: Item):
    tokenizer = chat_tokenizer()
    encoded = encode_item(item, tokenizer, SHIPPED)
    roles = [tokenizer.convert_tokens_to_ids(f"<|{role}|>") for role in ("system", "user")]
    # Each role is one token, and each of the three turns has one end
    assert encoded.input_ids[0] == roles[0] and (encoded.input_ids == roles[1]).sum() == 1
    assert (encoded.input_ids == tokenizer.eos_token_id).sum() == 3
    assert encoded.input_ids[-1] == tokenizer.eos_token_id


# What it is shown


def test_random_configurations_can_be_trained_on_the_largest_training_set():
    rng = random.Random(0)
    found = [random_configuration(rng) for _ in range(300)]
    largest = InnerLoopSettings().max_items
    assert not any(check_steps(configuration, largest) for configuration in found)
    assert len({configuration.epochs for configuration in found}) > 1
    for place in range(4):
        assert {configuration.augmentations[place] for configuration in found} == {False, True}
    assert {configuration.loss_on_all_tokens for configuration in found} == {False, True}
    assert [parse_self_edit(to_json(configuration)) for configuration in found] == found


# The folder


def test_equal_arguments_give_equal_folders(folders):
    def content(*key):
        return {path.name: path.read_bytes() for path in folders[key].iterdir()}

    assert content(0, 1, "a") == content(0, 1, "b")
    assert content(0, 1, "a")["model.safetensors"] != content(1, 1, "a")["model.safetensors"]
    assert "trainer" not in content(0, 30, "a")


def test_the_folder_is_what_programs_load(folders):
    folder = folders[0, 30, "a"]
    tokenizer, model = load_tokenizer(str(folder)), load_model(str(folder), "float32", "cpu")
    assert model.config.vocab_size == len(tokenizer) <= 512
    assert model.config.eos_token_id == model.generation_config.eos_token_id
    assert model.config.eos_token_id == tokenizer.eos_token_id
    # A chat model whose turns end as its template says
    assert encode_item(ITEM, tokenizer, SHIPPED).input_ids[-1] == tokenizer.eos_token_id


def mean_loss(folder, prompts, text: str) -> float:
    tokenizer, model = load_tokenizer(str(folder)), load_model(str(folder), "float32", "cpu")
    prompt = self_edit_prompt(BEE, prompts, tokenizer)
    answer = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(answer)))


def test_it_learns_how_self_edits_look(folders, prompts):
    self_edit = to_json(random_configuration(random.Random("not among those it was shown")))
    before, after = (mean_loss(folders[0, steps, "a"], prompts, self_edit) for steps in (1, 30))
    assert after < before / 2
    # It is their form that became likelier, not any text of the same characters
    other = mean_loss(folders[0, 30, "a"], prompts, self_edit[::-1])
    assert other > 2 * after
