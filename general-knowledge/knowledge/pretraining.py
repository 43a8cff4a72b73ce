"""Pre-train a small model on an invented world, from nothing, so that SEAL can be seen to learn.

It learns to write passages, to know people and answer questions about them closed-book, and to
write self-edits in several styles, the useful ones no more often than the useless.
"""

import math
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from knowledge.invented_words import RELATIONS
from knowledge.invented_world import (
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
from knowledge.passages import Passage
from knowledge.prompts import answer_prompt, self_edit_prompt
from knowledge.sequences import training_sequences
from knowledge.word_tokenizer import PROMPTS, word_tokenizer
from seal.lora_jobs import IGNORED_LABEL, TokenSequence
from seal.models import hide_progress_in_logs
from seal.records import write_text
from seal.run import Run
from seal.sampling import SampleRequest, SamplingParameters
from seal.seeds import derive_seed
from seal.sft import SftRow, encode_example
from seal.transformers_sampler import TransformersSampler

LONGEST_SELF_EDIT = 110
"""Tokens; those that it is shown have at most 80."""

# Heads of 32: the narrowest that vLLM serves on a CPU. A Llama, since transformers 5.17 splits text
# as Qwen2 does for every Qwen2, whatever the tokenizer in its folder
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
_WARMUP = 100
_ASKED_AT_ONCE = 240


@dataclass(frozen=True)
class Plan:
    """How long a model is pre-trained, and on how many texts of each kind in a step."""

    seed: int
    steps: int
    learning_rate: float = 2e-3
    demonstrations: int = 8
    passages: int = 6
    documents: int = 48

    def learning_rate_at(self, step: int) -> float:
        """Up in a straight line, then down to 0 along a cosine."""
        if step < _WARMUP:
            return self.learning_rate * (step + 1) / _WARMUP
        progress = (step - _WARMUP) / max(1, self.steps - _WARMUP)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


# What a step is trained on


def step_batches(
    world: World, plan: Plan, step: int, tokenizer: PreTrainedTokenizerFast
) -> Iterator[tuple[float, list[TokenSequence]]]:
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
    end = tokenizer.eos_token_id
    special = {"vocab_size": len(tokenizer), "eos_token_id": end, "pad_token_id": end}
    config = LlamaConfig(**SIZE | special | size, bos_token_id=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=end)
    return model


def pretrain(run: Run, world: World, plan: Plan, measure_every: int, **size: int) -> dict[str, Any]:
    """Train, or go on where the run was stopped; writes RUN/model and returns the final skill.

    RUN/checkpoint.pt is replaced, and the skill measured, every `measure_every` steps. Equal
    arguments give equal weights on one machine, stopped in between or not.
    """
    tokenizer = word_tokenizer()
    model = new_model(tokenizer, plan.seed, **size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.03
    )
    checkpoint = run.path("checkpoint.pt")
    done = _restore(checkpoint, model, optimizer)
    skill: dict[str, Any] = {}
    with run.progress(plan.steps, "pre-training") as bar:
        bar.update(done)
        for step in range(done, plan.steps):
            losses, tokens = _train_step(model, optimizer, world, plan, step, tokenizer)
            bar.update()
            if (step + 1) % measure_every == 0 or step + 1 == plan.steps:
                skill = measure_skill(model, tokenizer, world, plan.seed)
                run.metric("skill", step=step + 1, losses=losses, tokens=tokens, **skill)
                run.say(f"step {step + 1}: {describe_skill(skill)}; losses {_join(losses)}")
                _save(checkpoint, model, optimizer, step + 1)
    skill = skill or measure_skill(model, tokenizer, world, plan.seed)
    _write_model(run.path("model"), model, tokenizer)
    return skill


def _train_step(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    world: World,
    plan: Plan,
    step: int,
    tokenizer: PreTrainedTokenizerFast,
) -> tuple[list[float], int]:
    """One optimizer step; returns the losses of its batches and how many tokens they had."""
    model.train()
    losses, tokens = [], 0
    for weight, sequences in step_batches(world, plan, step, tokenizer):
        input_ids, labels = _pad(sequences, tokenizer.pad_token_id)
        # Causal, and padded on the right: no real token sees padding
        loss = model(input_ids=input_ids, labels=labels).loss
        (weight * loss).backward()
        losses.append(loss.item())
        tokens += sum(len(ids) for ids, _ in sequences)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = plan.learning_rate_at(step)
    optimizer.step()
    optimizer.zero_grad()
    return losses, tokens


def _pad(sequences: Sequence[TokenSequence], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Input ids and labels, [sequences, longest]."""
    longest = max(len(ids) for ids, _ in sequences)
    rows = [[*ids, *[pad] * (longest - len(ids))] for ids, _ in sequences]
    labels = [[*own, *[IGNORED_LABEL] * (longest - len(own))] for _, own in sequences]
    return torch.tensor(rows), torch.tensor(labels)


def _restore(path: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> int:
    """Load a checkpoint if there is one; the number of steps that are done."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["steps"]


def _save(path: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, steps: int) -> None:
    partial = path.with_suffix(".tmp")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "steps": steps}
    torch.save(state, partial)
    partial.replace(path)


def _write_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    if folder.exists():  # the run was stopped after this
        return
    hide_progress_in_logs()
    partial = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    write_text(partial / "README.md", MODEL_CARD)
    partial.rename(folder)


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
        name: _closed_book(sampler, rng.sample(people, min(len(people), 40)), rng)
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
    people = rng.sample(world.training, min(len(world.training), 100))
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


def _join(losses: Sequence[float]) -> str:
    return " ".join(f"{loss:.2f}" for loss in losses)


MODEL_CARD = """# A small model of an invented world

A Llama of 1.1 million weights, trained from nothing by `general-knowledge/pretrain_small_model.py`
on people who do not exist: where they were born, went to school and live, what their fathers are,
what they learned and work as. Its tokens are the words of that world; it knows no other.

It is an instrument: on it both loops of SEAL can be seen to learn within minutes on a CPU, with the
programs that serve real models. What is measured with it says nothing about language models.

`training.json` and `evaluation.json`, which the program writes beside it, hold passages about
people whom it has never met.
"""
