"""What a small model is pre-trained on, so that SEAL can be seen to learn: an invented world.

It learns to write passages, to answer questions about people closed-book, and to write self-edits
in several styles: useful and useless ones.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from knowledge.data.passages import Passage
from knowledge.data.prompts import answer_prompt, self_edit_prompt
from knowledge.method.self_edits import SelfEdit
from knowledge.method.training_texts import training_sequences
from knowledge.settings import AnswerSettings, SelfEditSettings
from knowledge.small_world.people import (
    RELATIONS,
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
from seal.samplers.in_process import TransformersSampler
from seal.sampling import SampleRequest, SamplingParameters
from seal.seeds import derive_seed
from seal.training.from_scratch import Curriculum, Skill, WeightedBatch, encode_rows, share_right
from seal.training.sft import SftRow

LONGEST_SELF_EDIT = 110
"""Tokens; those in pre-training have at most 80."""
ORACLE, PASSAGE_REPEATED = "oracle", "passage-repeated"

_PASSAGE_WEIGHT = 0.6
_ASKED_AT_ONCE = 240
_PEOPLE_ASKED_ABOUT = 40
_SELF_EDITS_SEEN = 100


@dataclass(frozen=True)
class Lessons(Curriculum):
    """In each step self-edits about strangers, passages about known people, and documents on these.

    For a Llama of 1.1 million weights.
    """

    card: ClassVar[Path] = Path(__file__).with_name("model_card.md")
    size: ClassVar[dict[str, Any]] = {"intermediate_size": 512, "max_position_embeddings": 512}
    world: World
    learning_rate: float = 2e-3
    demonstrations: int = 8
    passages: int = 6
    documents: int = 48
    tokenizer: PreTrainedTokenizerFast = field(default_factory=word_tokenizer, kw_only=True)

    def batches(self, step: int) -> Iterator[WeightedBatch]:
        rng = random.Random(derive_seed(self.seed, "step", step))
        rows = [_demonstration(self.world, rng) for _ in range(self.demonstrations)]
        yield 1.0, encode_rows(self.tokenizer, rows)
        passages = [_known_passage(self.world, rng) for _ in range(self.passages)]
        yield _PASSAGE_WEIGHT, training_sequences(passages, self.tokenizer)
        documents = [_document(self.world, rng) for _ in range(self.documents)]
        yield 1.0, training_sequences(documents, self.tokenizer)

    def optimizers(self, model: PreTrainedModel) -> list[torch.optim.Optimizer]:
        settings = {"lr": self.learning_rate, "betas": (0.9, 0.98), "weight_decay": 0.03}
        return [torch.optim.AdamW(model.parameters(), **settings)]

    def measure(self, model: PreTrainedModel) -> Skill:
        """Share of closed-book questions answered rightly, and of self-edits in each style.

        The questions are about known people, counted apart: "asked" people had questions in
        training, "unasked" ones only passages and statements.
        """
        sampler = TransformersSampler(model, self.tokenizer, max_batch=_ASKED_AT_ONCE)
        rng = random.Random(derive_seed(self.seed, "skill"))
        known = {}
        for name, people in [("asked", self.world.asked), ("unasked", self.world.unasked)]:
            asked = []
            for person in rng.sample(people, min(len(people), _PEOPLE_ASKED_ABOUT)):
                for relation, value in zip(RELATIONS, person.facts, strict=True):
                    text = question(relation, person.name, rng)
                    prompt = answer_prompt(person.name, text, AnswerSettings(prompts=PROMPTS))
                    asked.append((prompt, answer(value)))
            known[name] = share_right(sampler, asked, max_new_tokens=4)
        strangers = self.world.training
        people = rng.sample(strangers, min(len(strangers), _SELF_EDITS_SEEN))
        requests = [
            SampleRequest(self_edit_request(person, passage_text(person, rng)), seed=number)
            for number, person in enumerate(people)
        ]
        parameters = SamplingParameters(max_new_tokens=LONGEST_SELF_EDIT, temperature=1.0)
        written = sampler.complete(requests, parameters)
        found = [style_of(text.text, person) for text, person in zip(written, people, strict=True)]
        styles = {style: found.count(style) / len(found) for style in STYLES}
        return {"known": known, "styles": styles}

    @staticmethod
    def describe(skill: Skill) -> str:
        known = ", ".join(f"{name} {share:.2f}" for name, share in skill["known"].items())
        styles = ", ".join(f"{style} {share:.2f}" for style, share in skill["styles"].items())
        return f"known people closed-book: {known}; self-edits: {styles}"

    def card_values(self, skill: Skill) -> dict[str, Any]:
        said, known = "right answers, closed-book: on people", skill["known"]
        styles = {f"self-edits in the style {name}": n for name, n in skill["styles"].items()}
        shares = {
            f"{said} with questions in training": known["asked"],
            f"{said} without questions in training": known["unasked"],
        }
        numbers = {"people": _PEOPLE_ASKED_ABOUT, "self_edits": _SELF_EDITS_SEEN}
        return {**numbers, "shares": shares | styles}


def _demonstration(world: World, rng: random.Random) -> SftRow:
    """A stranger's passage and a self-edit in any style, in the form that the E-step asks for."""
    person = world.stranger(rng)
    passage = passage_text(person, rng)
    written = self_edit_text(draw_style(rng), person, passage, rng)
    return SftRow(self_edit_request(person, passage), written)


def self_edit_request(person: Person, passage: str) -> str:
    """The prompt for a self-edit; rest_em.py renders it from the same file, given by --prompts."""
    asked = Passage("", person.name, passage, ())
    return str(self_edit_prompt(asked, SelfEditSettings(prompts=PROMPTS)))


def _known_passage(world: World, rng: random.Random) -> str:
    person = rng.choice(world.known)
    return f"{person.name}\n{passage_text(person, rng)}"


def _document(world: World, rng: random.Random) -> str:
    """A statement about a known person, or a question with its answer; half have the name above."""
    if rng.random() < 0.5:
        person, place = rng.choice(world.known), rng.randrange(len(RELATIONS))
        text = statement(RELATIONS[place], person.name, person.facts[place], rng)
    else:
        person, place = rng.choice(world.asked), rng.randrange(len(RELATIONS))
        asked = question(RELATIONS[place], person.name, rng)
        text = f"{asked} {answer(person.facts[place])}"
    return f"{person.name}\n{text}" if rng.random() < 0.5 else text


# With which a policy's own self-edits are compared


def reference_self_edits(
    people: Sequence[Person], passages: Sequence[Passage], seed: int
) -> dict[str, list[SelfEdit]]:
    """One self-edit per person and kind; `passages` are those of `passage_records(people)`.

    `eval_single_passage.py` reads them with --self_edit_files. ORACLE has all questions about the
    person with the right answers: an upper bound. PASSAGE_REPEATED has the passage in place of each
    of its lines: equally many training sequences that say nothing new. Lines are never split
    further (golden rule G1): they have no line break, no dashes and no numbered question.
    """
    tokenizer = word_tokenizer()
    self_edits: dict[str, list[SelfEdit]] = {ORACLE: [], PASSAGE_REPEATED: []}
    for person, passage in zip(people, passages, strict=True):
        rng = random.Random(derive_seed(seed, f"{person.name}/{ORACLE}"))
        asked = self_edit_text("question-answer", person, passage.context, rng)
        repeated = "\n".join(passage.context for _ in asked.splitlines())
        for kind, text in [(ORACLE, asked), (PASSAGE_REPEATED, repeated)]:
            id, n_tokens = f"{passage.id}/{kind}/0", len(tokenizer(text)["input_ids"])
            self_edits[kind].append(SelfEdit(id, passage.id, kind, text, "stop", n_tokens))
    return self_edits
