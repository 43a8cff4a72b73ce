"""Test-time training: examples under real models' chat templates, self-edits, how models learn."""

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from arc.method import inner_loop
from arc.method.configurations import MAX_STEPS, Configuration
from arc.method.inner_loop import Trial, adapter_job, encode_item, run_trials, training_set
from arc.method.prediction import predict_in_context
from arc.method.prompts import prediction_prompt
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.rendering import answer_text, demonstrations_text, longest_answer, query_text
from arc.puzzles.tasks import Item
from arc.puzzles.training_sets import training_items
from arc.settings import InnerLoopSettings, PromptSettings
from seal.errors import UserError
from seal.models.untrained import train_tokenizer as train_other_tokenizer
from seal.records import read_jsonl
from seal.run import Run
from tests.arc.item_strategies import items
from tests.arc.policies import (
    FERRY,
    MOTH,
    RuleSampler,
    by_the_rule,
    chat_tokenizer,
    policy_of,
    real_policy,
    small_model,
    task_of,
    unreadable,
)
from tests.arc.strategies import grids
from tests.support.small_jobs import adapter_weights

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
@hypothesis_settings(max_examples=25)
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
@hypothesis_settings(max_examples=20)
@given(grid=grids())
def test_no_answer_is_longer_than_the_longest(tokenizer, grid):
    taken = len(tokenizer(answer_text(grid) + tokenizer.eos_token)["input_ids"])
    assert taken <= longest_answer()


# Training

NONE, BASIC = Augmentations(*[False] * 4), Augmentations(True, False, False, False)
SETTINGS = InnerLoopSettings(
    lora_rank=8, warmup_steps=2, slots=2, max_answer_tokens=30, n_permutations=0
)
WARMING = InnerLoopSettings(lora_rank=4, n_permutations=0)
# Whatever it is shown, the answer is 7; a rule that a model without attention to it could learn
CONSTANT = task_of("bee-0", ((1, 2),), ((3, 1, 2),), ((2, 2), (1, 3)), rule=lambda grid: ((7,),))


def configuration(
    epochs: float = 1e-9, augmentations=NONE, all_tokens=False, learning_rate=1e-2
) -> Configuration:
    """By default one step, which is what a fraction of an epoch comes to."""
    return Configuration(augmentations, all_tokens, learning_rate, epochs)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def trained_ids(run: Run) -> list[str]:
    if not run.path("metrics.jsonl").exists():
        return []
    lines = read_jsonl(run.path("metrics.jsonl"))
    return [line["id"] for line in lines if line["event"] == "adapter"]


class Weights(RuleSampler):
    """Follows the rule, and keeps the weights of every adapter that it was asked with."""

    def __init__(self, answer: Callable = by_the_rule) -> None:
        super().__init__(answer)
        self.by_trial: dict[str, dict[str, torch.Tensor]] = {}

    def complete(self, requests, parameters):
        for adapter in {request.adapter for request in requests} - {None}:
            self.by_trial[adapter.name.replace("--", "/")] = adapter_weights(adapter)
        return super().complete(requests, parameters)


# Jobs


def encoded(task=MOTH, augmentations=NONE, seed=0, **flags):
    policy = policy_of(None)
    return training_set(task, augmentations, policy, InnerLoopSettings(**flags), seed)


def texts(items) -> list[tuple[int, ...]]:
    return [tuple(item.input_ids.tolist()) for item in items]


def test_self_edit_and_flags_reach_the_job():
    items = encoded()
    job = adapter_job(configuration(2.5, learning_rate=3), items, InnerLoopSettings(), seed=1)
    assert (job.learning_rate, job.epochs, job.batch_size) == (3.0, 2.5, 2)
    assert (job.rank, job.alpha, job.schedule, job.warmup_steps) == (128, 16, "cosine", 11)
    assert (job.gradient_accumulation, job.max_grad_norm, job.padding) == (1, 1.0, None)
    flags = InnerLoopSettings(lora_rank=3, lora_alpha=5, warmup_steps=7)
    job = adapter_job(configuration(), items, flags, seed=1)
    assert (job.rank, job.alpha, job.warmup_steps, job.steps) == (3, 5, 7, 1)


@pytest.mark.parametrize("all_tokens", [False, True])
def test_the_strategy_decides_which_tokens_are_learned(all_tokens):
    items = encoded()
    job = adapter_job(configuration(all_tokens=all_tokens), items, SETTINGS, seed=1)
    assert len(job.sequences) == len(items)
    for (input_ids, labels), item in zip(job.sequences, items, strict=True):
        learned = 0 if all_tokens else item.n_prompt
        assert (input_ids == item.input_ids).all()
        assert (labels[:learned] == -100).all()
        assert (labels[learned:] == input_ids[learned:]).all()


def test_jobs_of_all_self_edits_and_tasks_start_alike_for_equal_repeats():
    def seed_of(task, repeat, run_seed=1, **changes):
        job = adapter_job(configuration(**changes), encoded(task), SETTINGS, run_seed, repeat)
        return job.seed

    first = seed_of(MOTH, 0)
    assert seed_of(FERRY, 0, epochs=3, all_tokens=True) == first
    assert first not in (seed_of(MOTH, 1), seed_of(MOTH, 0, run_seed=2))


def test_the_flag_and_the_rule_agree_on_the_most_steps():
    assert InnerLoopSettings(max_steps=MAX_STEPS) == InnerLoopSettings()


def test_a_training_set_holds_no_more_than_the_most_items():
    everything = encoded(augmentations=BASIC, max_items=10_000)
    assert len(everything) == len(training_items(MOTH.demonstrations, BASIC, seed=0))
    some = encoded(augmentations=BASIC, max_items=5)
    assert len(some) == 5
    assert set(texts(some)) < set(texts(everything))


def test_examples_as_long_as_the_limit_are_left_out():
    everything = texts(encoded())
    lengths = sorted(set(map(len, everything)))
    assert len(lengths) > 1
    for limit in (lengths[0], lengths[-1], lengths[-1] + 1):
        kept = texts(encoded(max_length=limit))
        assert kept == [tokens for tokens in everything if len(tokens) < limit]


def test_training_sets_depend_on_task_augmentations_and_seed_alone():
    def some(augmentations=BASIC, **changes):
        return texts(encoded(augmentations=augmentations, max_items=20, **changes))

    assert some() == some()
    assert some() != some(seed=1)
    assert some() != some(augmentations=NONE)
    assert some() != some(task=FERRY)


def test_defects_of_the_release_reach_the_training_set():
    sound, defect = (
        encoded(augmentations=BASIC, release_bugs=flag, max_items=20) for flag in (False, True)
    )
    assert texts(sound) != texts(defect)
    assert texts(encoded()) == texts(encoded(release_bugs=True))


# Trials


def test_adapters_start_from_the_same_weights_whatever_the_task(run):
    sampler = Weights()
    trials = [
        Trial("moth-0/0", MOTH, configuration()),
        Trial("ferry-0/0", FERRY, configuration(augmentations=BASIC, all_tokens=True)),
        Trial("moth-0/1", MOTH, configuration(), repeat=1),
    ]
    # The first step of a warm-up has the learning rate 0, so one step leaves the adapter as it was
    run_trials(run, trials, policy_of(sampler, small_model()), WARMING, seed=0)
    first, other_task, other_repeat = (sampler.by_trial[trial.id] for trial in trials)
    assert all(torch.equal(first[name], other_task[name]) for name in first)
    down = [name for name in first if "lora_A" in name]
    assert len(down) == 2 * len(WARMING.target_modules)
    assert all(first[name].any() and not first[name].equal(other_repeat[name]) for name in down)


def test_every_trial_is_solved_with_its_own_adapter_and_says_so_in_order(run):
    sampler = Weights(
        lambda query, request: (by_the_rule if "0--1" in request.adapter.name else unreadable)(
            query, request
        )
    )
    trials = [
        Trial(f"{task.id}/{number}", task, configuration(number + 1))
        for number in range(2)
        for task in (MOTH, FERRY)
    ]
    outcomes = run_trials(run, trials, policy_of(sampler, small_model()), SETTINGS, seed=0)
    assert [(o.id, o.task, o.correct) for o in outcomes] == [
        ("moth-0/0", MOTH, False),
        ("ferry-0/0", FERRY, False),
        ("moth-0/1", MOTH, True),
        ("ferry-0/1", FERRY, True),
    ]
    assert sorted(sampler.by_trial) == sorted(trained_ids(run)) == sorted(t.id for t in trials)


def test_a_run_that_has_them_trains_and_asks_nothing(run):
    trials = [Trial("moth-0/0", MOTH, configuration()), Trial("moth-0/1", MOTH, configuration(99))]
    settings = InnerLoopSettings(lora_rank=2, n_permutations=0, max_steps=10)
    first = run_trials(run, trials, policy_of(Weights(), small_model()), settings, seed=0)
    again = Weights(unreadable)
    policy = policy_of(again, model=None)
    assert run_trials(Run(run.folder), trials, policy, settings, seed=0) == first
    assert again.calls == [] and trained_ids(run) == ["moth-0/0"]


def test_too_many_steps_are_recorded_and_neither_trained_nor_asked(run):
    n_items = len(encoded())
    settings = InnerLoopSettings(lora_rank=2, n_permutations=0, max_steps=n_items)
    trials = [
        Trial("moth-0/0", MOTH, configuration(2)),
        Trial("moth-0/1", MOTH, configuration(3)),
    ]
    sampler = Weights()
    fits, too_long = run_trials(run, trials, policy_of(sampler, small_model()), settings, seed=0)
    assert fits.rejection is None and fits.correct and fits.n_views > 0
    assert (too_long.rejection.kind, too_long.rejection.reason) == (
        "dummy",
        f"more than {n_items} steps",
    )
    assert (too_long.attempts, too_long.n_views, too_long.correct) == ((), 0, False)
    assert trained_ids(run) == ["moth-0/0"]
    assert all(request.adapter for call in sampler.calls for request in call)


def test_an_empty_training_set_is_recorded(run):
    settings = InnerLoopSettings(n_permutations=0, max_length=3)
    trials = [Trial("moth-0/0", MOTH, configuration())]
    (outcome,) = run_trials(run, trials, policy_of(Weights()), settings, seed=0)
    assert (outcome.rejection.kind, outcome.rejection.reason) == ("invalid", "empty training set")


def test_self_edits_that_train_on_the_same_share_the_tokens(run, monkeypatch):
    made = []

    def counted(task, augmentations, policy, settings, seed):
        made.append((task.id, augmentations, seed))
        return training_set(task, augmentations, policy, settings, seed)

    monkeypatch.setattr(inner_loop, "training_set", counted)
    trials = [
        Trial("moth-0/0", MOTH, configuration()),
        Trial("moth-0/1", MOTH, configuration(learning_rate=1e-3, all_tokens=True)),
        Trial("moth-0/2", MOTH, configuration(augmentations=BASIC)),
        Trial("ferry-0/0", FERRY, configuration()),
        Trial("ferry-0/1", FERRY, configuration(), repeat=1),
    ]
    run_trials(run, trials, policy_of(Weights(), small_model()), SETTINGS, seed=0)
    assert [(task, augmentations) for task, augmentations, _ in made] == [
        ("moth-0", NONE),
        ("moth-0", BASIC),
        ("ferry-0", NONE),
        ("ferry-0", NONE),
    ]
    seeds = [seed for *_, seed in made]
    # One seed for all of a task, so that self-edits differ in what they say alone
    assert seeds[0] == seeds[1] and len(set(seeds)) == 3


def test_a_model_learns_to_solve_a_task(run):
    policy = real_policy()
    (before,) = predict_in_context(run, [CONSTANT], policy, SETTINGS, seed=0)
    trials = [
        Trial("bee-0/0", CONSTANT, configuration(20)),
        Trial("bee-0/1", CONSTANT, configuration(1, learning_rate=1e-7)),
    ]
    learned, unmoved = run_trials(run, trials, policy, SETTINGS, seed=0)
    assert (before.correct, learned.correct, unmoved.correct) == (False, True, False)
    assert learned.attempts[0] == ((7,),)
    assert learned.n_decoded > before.n_decoded


@pytest.mark.parametrize("learning_rate", [1e30, 1e300])
def test_an_adapter_that_diverges_solves_nothing_and_ends_no_run(run, learning_rate):
    trials = [Trial("bee-0/0", CONSTANT, configuration(3, learning_rate=learning_rate))]
    (outcome,) = run_trials(run, trials, real_policy(), SETTINGS, seed=0)
    assert (outcome.correct, outcome.rejection) == (False, None)
