"""Pre-train a small model on an invented world, from nothing, so that SEAL can be seen to learn.

It learns to write passages, to know people and answer questions about them closed-book, and to
write self-edits in several styles, the useful ones no more often than the useless.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from knowledge.data.passages import Passage
from knowledge.data.prompts import answer_prompt, self_edit_prompt
from knowledge.method.training_texts import training_sequences
from knowledge.small_world.people import (
    STYLES,
    Person,
    World,
    answer,
    draw_style,
    passage_text,
    question,
    self_edit_text,
    statement,
    style_of,
)
from knowledge.small_world.tokenizer import PROMPTS, word_tokenizer
from knowledge.small_world.vocabulary import RELATIONS
from seal.report.tables import markdown_table
from seal.run import Run
from seal.samplers.in_process import TransformersSampler
from seal.sampling import SampleRequest, SamplingParameters
from seal.seeds import derive_seed
from seal.training.from_scratch import (
    Curriculum,
    WeightedBatch,
    format_card,
    new_llama,
    train_from_scratch,
    training_facts,
)
from seal.training.sft import SftRow, encode_example

LONGEST_SELF_EDIT = 110
"""Tokens; those that it is shown have at most 80."""

# Heads of 32: the narrowest that vLLM serves on a CPU
SIZE = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
_PASSAGE_WEIGHT = 0.6
_ASKED_AT_ONCE = 240
_PEOPLE_ASKED_ABOUT = 40
_SELF_EDITS_SEEN = 100


@dataclass(frozen=True)
class Plan:
    """How long a model is pre-trained, and on how many texts of each kind in a step."""

    seed: int
    steps: int
    learning_rate: float = 2e-3
    demonstrations: int = 8
    passages: int = 6
    documents: int = 48


# What a step is trained on


def step_batches(
    world: World, plan: Plan, step: int, tokenizer: PreTrainedTokenizerFast
) -> Iterator[WeightedBatch]:
    """The three batches of a step, each after the weight of its mean loss.

    Self-edits of strangers' passages, passages of known people, and single statements and questions
    about these. They depend on seed and step alone.
    """
    rng = random.Random(derive_seed(plan.seed, "step", step))
    rows = [_demonstration(world, rng) for _ in range(plan.demonstrations)]
    examples = [encode_example(tokenizer, row) for row in rows]
    yield 1.0, [(example["input_ids"], example["labels"]) for example in examples]
    passages = [_known_passage(world, rng) for _ in range(plan.passages)]
    yield _PASSAGE_WEIGHT, training_sequences(passages, tokenizer)
    documents = [_document(world, rng) for _ in range(plan.documents)]
    yield 1.0, training_sequences(documents, tokenizer)


def _demonstration(world: World, rng: random.Random) -> SftRow:
    """A stranger's passage and a self-edit in any style, as the E-step asks for one."""
    person = world.stranger(rng)
    passage = passage_text(person, rng)
    written = self_edit_text(draw_style(rng), person, passage, rng)
    return SftRow(self_edit_request(person, passage), written)


def self_edit_request(person: Person, passage: str) -> str:
    """The prompt for a self-edit, which rest_em.py renders with --prompts from the same file."""
    asked = Passage("", person.name, passage, ())
    return str(self_edit_prompt(asked, "implications", PROMPTS))


def _known_passage(world: World, rng: random.Random) -> str:
    person = rng.choice(world.known)
    return f"{person.name}\n{passage_text(person, rng)}"


def _document(world: World, rng: random.Random) -> str:
    """A statement about a known person or a question with its answer, every second titled."""
    if rng.random() < 0.5:
        person, place = rng.choice(world.known), rng.randrange(len(RELATIONS))
        text = statement(RELATIONS[place], person.name, person.facts[place], rng)
    else:
        person, place = rng.choice(world.asked), rng.randrange(len(RELATIONS))
        asked = question(RELATIONS[place], person.name, rng)
        text = f"{asked} {answer(person.facts[place])}"
    return f"{person.name}\n{text}" if rng.random() < 0.5 else text


# Training


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int, **size: int) -> PreTrainedModel:
    """A Llama of 1.1 million random weights; `size` overrides entries of SIZE."""
    return new_llama(tokenizer, seed, **SIZE | size)


def pretrain(run: Run, world: World, plan: Plan, measure_every: int, **size: int) -> dict[str, Any]:
    """Train, or go on where the run was stopped; writes RUN/model and returns the final skill.

    How it resumes: see `seal.training.from_scratch.train_from_scratch`.
    """
    tokenizer = word_tokenizer()
    model = new_model(tokenizer, plan.seed, **size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.03
    )
    curriculum = new_curriculum(model, tokenizer, world, plan, measure_every)
    card = partial(model_card, model, curriculum, plan.seed)
    return train_from_scratch(run, model, tokenizer, [optimizer], curriculum, card)


def new_curriculum(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    plan: Plan,
    measure_every: int,
) -> Curriculum:
    """What `model` is trained on by a plan, and how its progress is seen."""
    return Curriculum(
        steps=plan.steps,
        batches=lambda step: step_batches(world, plan, step, tokenizer),
        measure_every=measure_every,
        measure=lambda: measure_skill(model, tokenizer, world, plan.seed),
        describe=describe_skill,
    )


# What it can do


def measure_skill(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, world: World, seed: int
) -> dict[str, Any]:
    """Share of closed-book questions answered rightly, and of self-edits written in each style.

    Of known people: those whom it was asked about in training, and those of whom it only read.
    """
    sampler = TransformersSampler(model, tokenizer, max_batch=_ASKED_AT_ONCE)
    rng = random.Random(derive_seed(seed, "skill"))
    share = {
        name: _closed_book(sampler, rng.sample(people, min(len(people), _PEOPLE_ASKED_ABOUT)), rng)
        for name, people in [("asked", world.asked), ("unasked", world.unasked)]
    }
    return {"known": share, "styles": _styles(sampler, world, rng)}


def _closed_book(
    sampler: TransformersSampler, people: Sequence[Person], rng: random.Random
) -> float:
    pairs = [
        (answer_prompt(person.name, question(relation, person.name, rng), folder=PROMPTS), value)
        for person in people
        for relation, value in zip(RELATIONS, person.facts, strict=True)
    ]
    requests = [SampleRequest(prompt) for prompt, _ in pairs]
    given = sampler.complete(requests, SamplingParameters(max_new_tokens=4))
    right = [text.text == answer(value) for text, (_, value) in zip(given, pairs, strict=True)]
    return sum(right) / len(right)


def _styles(sampler: TransformersSampler, world: World, rng: random.Random) -> dict[str, float]:
    people = rng.sample(world.training, min(len(world.training), _SELF_EDITS_SEEN))
    requests = [
        SampleRequest(self_edit_request(person, passage_text(person, rng)), seed=number)
        for number, person in enumerate(people)
    ]
    written = sampler.complete(
        requests, SamplingParameters(max_new_tokens=LONGEST_SELF_EDIT, temperature=1.0)
    )
    found = [style_of(text.text, person) for text, person in zip(written, people, strict=True)]
    return {style: found.count(style) / len(found) for style in STYLES}


def describe_skill(skill: dict[str, Any]) -> str:
    """One line: knowledge of known people, and how self-edits are written."""
    known = ", ".join(f"{name} {share:.2f}" for name, share in skill["known"].items())
    styles = ", ".join(f"{style} {share:.2f}" for style, share in skill["styles"].items())
    return f"known people closed-book: {known}; self-edits: {styles}"


_MADE_OF = """\
The program itself makes every text, from that seed:
people who do not exist, where they were born, went to school and live, what their fathers are, what
they learned and work as, and self-edits of six styles about passages. Nobody else's text is among
them."""
_CAN = """\
Measured when training had ended, on at most {people} people of a kind, with six questions about
each, and on {self_edits} self-edits about strangers:

{skill}

`training.json` and `evaluation.json`, which the program writes beside it, hold passages about
people whom it has never met."""
_CANNOT = """\
Its tokens are the words of that world, and to it any other is the same unknown one. It is to be
addressed as in `general-knowledge/small_model/prompts`. It is an instrument: what is measured with
it shows the method at work, and says nothing about language models."""
_KNOWN = {
    "asked": "right answers, closed-book: on people whom it was asked about in training",
    "unasked": "right answers, closed-book: on people of whom it has only read",
}


def model_card(
    model: PreTrainedModel, curriculum: Curriculum, seed: int, skill: dict[str, Any]
) -> str:
    """What becomes README.md of a model after training; `skill` is its final one."""
    shares = {name: skill["known"][kind] for kind, name in _KNOWN.items()}
    shares |= {f"self-edits in the style {style}": n for style, n in skill["styles"].items()}
    rows = [[name, f"{share:.0%}"] for name, share in shares.items()]
    return format_card(
        "A small model of an invented world",
        "general-knowledge/pretrain_small_model.py",
        training_facts(model, curriculum) | {"seed": str(seed)},
        made_of=_MADE_OF,
        can=_CAN.format(
            people=_PEOPLE_ASKED_ABOUT,
            self_edits=_SELF_EDITS_SEEN,
            skill=markdown_table(["", "share"], rows),
        ),
        cannot=_CANNOT,
    )
