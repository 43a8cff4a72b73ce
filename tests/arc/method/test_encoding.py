"""Training examples under the chat templates of real models: what is asked, and what is learned."""

from copy import deepcopy
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from arc.method.encoding import encode_item, longest_answer
from arc.method.prompts import prediction_prompt
from arc.puzzles.rendering import answer_text, demonstrations_text, query_text
from arc.puzzles.tasks import Item
from arc.settings import PromptSettings
from seal.errors import UserError
from seal.models.untrained import train_tokenizer as train_other_tokenizer
from tests.arc.item_strategies import items
from tests.arc.policies import MOTH, chat_tokenizer
from tests.arc.strategies import grids

SHIPPED = PromptSettings()
ITEM = Item(MOTH.demonstrations[1:], MOTH.demonstrations[0])
ANSWER = "[[2 1 3]\n [4 5 6]]#"

# As Llama 3.2's: the day in a system message of its own making, contents trimmed
LLAMA = (
    "{{ bos_token }}"
    "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday: {{ date_string }}\n\n"
    "{% if messages[0]['role'] == 'system' %}"
    "{{ messages[0]['content'] | trim }}{% set messages = messages[1:] %}"
    "{% endif %}<|eot_id|>"
    "{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
# As Qwen 2.5's: a line feed after the end of every turn, the assistant's too
QWEN = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe helpful.<|im_end|>\n{% endif %}"
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Gemma 2's: no system message, the assistant has another name
GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for message in messages %}"
    "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n"
    "{{ message.content | trim }}<end_of_turn>{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
# As Qwen 3's: thoughts, if only empty ones, before what the assistant says last
THINKING = QWEN.replace(
    "{{ message.content }}",
    "{% if message.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ message.content }}",
)


def tokenizer_of(template: str, end: str, *others: str, begin: str | None = None):
    """The tests' tokenizer with another template and its special tokens."""
    tokenizer = deepcopy(chat_tokenizer())
    special = {"eos_token": end, "pad_token": end} | ({"bos_token": begin} if begin else {})
    tokenizer.add_special_tokens(special | {"additional_special_tokens": list(others)})
    tokenizer.chat_template = template
    return tokenizer


def llama():
    marks = ("<|start_header_id|>", "<|end_header_id|>")
    return tokenizer_of(LLAMA, "<|eot_id|>", *marks, begin="<|begin_of_text|>")


def qwen():
    return tokenizer_of(QWEN, "<|im_end|>", "<|im_start|>")


TOKENIZERS = {"llama": llama(), "qwen": qwen(), "small": chat_tokenizer()}


each_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


# What is asked, and what is learned


def assert_sound(item, tokenizer, prompts=SHIPPED):
    encoded = encode_item(item, tokenizer, prompts)
    asked = prediction_prompt(item.demonstrations, item.test.input, prompts, tokenizer)
    ids = encoded.input_ids.tolist()
    assert (encoded.input_ids.dtype, encoded.n_prompt) == (np.int32, len(asked))
    # The model is asked in the same tokens that it is trained on
    assert ids[: len(asked)] == asked
    answer = ids[len(asked) :]
    assert tokenizer.decode(answer) == answer_text(item.test.output) + tokenizer.eos_token
    assert answer.index(tokenizer.eos_token_id) == len(answer) - 1

    input_ids, labels = encoded.labelled(loss_on_all_tokens=False)
    assert input_ids.tolist() == ids
    assert labels.tolist() == [-100] * len(asked) + answer
    input_ids, labels = encoded.labelled(loss_on_all_tokens=True)
    assert input_ids.tolist() == labels.tolist() == ids
    return encoded


@each_tokenizer
@settings(max_examples=25)
@given(item=items(6))
def test_labels_are_the_answer_and_its_end_or_everything(tokenizer, item):
    assert_sound(item, tokenizer)


def test_masking_one_loss_leaves_the_other():
    encoded = encode_item(ITEM, chat_tokenizer(), SHIPPED)
    encoded.labelled(loss_on_all_tokens=False)
    assert (encoded.labelled(loss_on_all_tokens=True)[1] >= 0).all()


def test_llamas_tokens_word_by_word():
    encoded = assert_sound(ITEM, llama())
    text = llama().decode(encoded.input_ids)
    assert text.startswith(
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday: 26 Jul 2024\n\nEach "
    )
    # The template trims what the messages end with
    assert text.endswith(
        f"{demonstrations_text(ITEM.demonstrations).rstrip()}<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n[[1 2 3]\n [4 5 6]] -><|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{ANSWER}<|eot_id|>"
    )
    assert text.count("<|begin_of_text|>") == 1


def test_qwens_tokens_end_with_the_turn_and_not_with_the_line_feed_after_it():
    text = qwen().decode(assert_sound(ITEM, qwen()).input_ids)
    assert "Be helpful" not in text
    assert text.endswith(
        f"{query_text(ITEM.test.input)}<|im_end|>\n<|im_start|>assistant\n{ANSWER}<|im_end|>"
    )


@pytest.mark.parametrize("year", [1999, 2033])
def test_the_day_does_not_matter(monkeypatch, year):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(year, 5, 17)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    tokenizer = llama()
    assert datetime.now().year != year
    shown = tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert str(year) in shown  # this clock is the one that the template would ask
    encoded = encode_item(ITEM, tokenizer, SHIPPED)
    assert str(year) not in tokenizer.decode(encoded.input_ids)
    assert_sound(ITEM, tokenizer)


# What cannot be used


def refusal(tokenizer, prompts=SHIPPED) -> str:
    with pytest.raises(UserError) as raised:
        encode_item(ITEM, tokenizer, prompts)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_template_that_refuses_system_messages_needs_another_prompt_file(tmp_path):
    tokenizer = tokenizer_of(GEMMA, "<end_of_turn>", "<start_of_turn>", begin="<bos>")
    message = refusal(tokenizer)
    assert message.startswith(str(SHIPPED.prompt_folder / "predict.txt"))
    assert "no system role" in message and "remove [[system]]" in message
    (tmp_path / "predict.txt").write_text("Go on.\n{demonstrations}{query}\n")
    assert_sound(ITEM, tokenizer, PromptSettings(prompts=tmp_path))


@pytest.mark.parametrize(
    "tokenizer",
    [
        # The base model's end of text, which is not how an assistant's turn ends
        tokenizer_of(QWEN, "<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        tokenizer_of(THINKING, "<|im_end|>", "<|im_start|>"),
        # A generation prompt that the assistant's turn does not begin with
        tokenizer_of(QWEN.replace("assistant\n", "assistant\n\n"), "<|im_end|>", "<|im_start|>"),
        tokenizer_of(
            QWEN.replace("message.content", "message.content | replace('#', '')"), "<|im_end|>"
        ),
    ],
    ids=["other end", "thoughts", "other beginning", "other answer"],
)
def test_a_template_that_does_not_add_answer_and_end_is_refused(tokenizer):
    message = refusal(tokenizer)
    assert "does not write an answer as its text" in message and tokenizer.eos_token in message


def test_a_base_model_has_no_template():
    tokenizer = deepcopy(chat_tokenizer())
    tokenizer.chat_template = None
    assert "has no chat template" in refusal(tokenizer)


def test_a_tokenizer_that_loses_blanks_is_refused():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>", "<|im_end|>"])
    tokenizer.train_from_iterator([demonstrations_text(MOTH.demonstrations)], trainer)
    lossy = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", chat_template=QWEN
    )
    assert "does not give grids back" in refusal(lossy)


# The longest answer


@pytest.mark.parametrize(
    "tokenizer",
    [
        *TOKENIZERS.values(),
        # Without a token for each digit, cells of some colours take fewer tokens than others
        train_other_tokenizer([answer_text(((7,) * 30,) * 30)], 300),
    ],
)
@settings(max_examples=20)
@given(grid=grids())
def test_no_answer_is_longer_than_the_longest(tokenizer, grid):
    taken = len(tokenizer(answer_text(grid) + tokenizer.eos_token)["input_ids"])
    assert taken <= longest_answer()
