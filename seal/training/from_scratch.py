"""Pre-train a small model from nothing, so that the method can be seen to learn on a CPU.

What it is trained on, its domain says; see `pretrain_small_model.py` in either tree.
"""

import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from seal.lora.jobs import IGNORED_LABEL, TokenSequence
from seal.models.load import hide_progress_in_logs
from seal.records import write_text
from seal.run import Run

WeightedBatch = tuple[float, Sequence[TokenSequence]]
"""Sequences of one forward pass, after the weight of their mean loss in the step's loss."""

_WARMUP = 100
_CARD = """---
license: mit
library_name: transformers
---

# {title}

A Llama of {weights} weights, on which both loops of SEAL (Self-Adapting Language Models, arXiv
2506.10943) can be seen to learn within minutes on a CPU, with the programs that serve real models.

## How it was made

    python {program} --seed {seed} --pretraining_steps {steps}

From random weights, on about {tokens} tokens. {made_of}

## What it can do

{can}

## What it cannot do

{cannot}

## Licence

MIT, as the repository that it belongs to: use, change and share it freely.
"""
_STEPS_COUNTED = 20


@dataclass(frozen=True)
class Curriculum:
    """What a model is trained on, how long, and how its progress is seen."""

    steps: int
    batches: Callable[[int], Iterable[WeightedBatch]]
    """The batches of a step, from 0; they depend on nothing else."""
    measure_every: int
    measure: Callable[[], dict[str, Any]]
    """What the model can do."""
    describe: Callable[[dict[str, Any]], str]
    """That in one line."""


def new_llama(
    tokenizer: PreTrainedTokenizerBase, seed: int, **configuration: Any
) -> PreTrainedModel:
    """A Llama with random weights for the tokenizer's vocabulary.

    Not a Qwen2: transformers 5.17 splits text as Qwen2 does for every Qwen2, whatever the tokenizer
    in its folder.
    """
    end = tokenizer.eos_token_id
    special = {"vocab_size": len(tokenizer), "eos_token_id": end, "pad_token_id": end}
    config = LlamaConfig(**configuration | special, bos_token_id=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=end)
    return model


def train_from_scratch(
    run: Run,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    optimizers: Sequence[torch.optim.Optimizer],
    curriculum: Curriculum,
    model_card: Callable[[dict[str, Any]], str],
) -> dict[str, Any]:
    """Train, or go on where the run was stopped; writes RUN/model and returns the final skill.

    What `model_card` says of that skill becomes the model's README.md. The optimizers' learning
    rates are the highest ones: they rise in a straight line, then fall to 0 along a cosine.
    RUN/checkpoint.pt is replaced whenever the skill is measured. Equal arguments give equal weights
    on one machine, stopped in between or not.
    """
    checkpoint, steps = run.path("checkpoint.pt"), curriculum.steps
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    done = _restore(checkpoint, model, optimizers)
    skill: dict[str, Any] = {}
    with run.progress(steps, "pre-training") as bar:
        bar.update(done)
        for step in range(done, steps):
            losses, tokens = _train_step(model, optimizers, curriculum, step, tokenizer)
            bar.update()
            if (step + 1) % curriculum.measure_every == 0 or step + 1 == steps:
                skill = curriculum.measure()
                run.metric("skill", step=step + 1, losses=losses, tokens=tokens, **skill)
                shown = " ".join(f"{loss:.2f}" for loss in losses)
                run.say(f"step {step + 1}: {curriculum.describe(skill)}; losses {shown}")
                _save(checkpoint, model, optimizers, step + 1)
    skill = skill or curriculum.measure()
    _write_model(run.path("model"), model, tokenizer, model_card(skill))
    return skill


def training_facts(model: PreTrainedModel, curriculum: Curriculum) -> dict[str, str]:
    """What every model card says: how many weights, steps and tokens; two digits of the large ones.

    Tokens are counted in a few steps, evenly spread, as if the others had as many.
    """
    counted = range(0, curriculum.steps, math.ceil(curriculum.steps / _STEPS_COUNTED))
    batches = [batch for step in counted for _, batch in curriculum.batches(step)]
    tokens = sum(len(ids) for batch in batches for ids, _ in batch)
    return {
        "weights": _two_digits(sum(weights.numel() for weights in model.parameters())),
        "steps": str(curriculum.steps),
        "tokens": _two_digits(tokens * curriculum.steps / len(counted)),
    }


def _two_digits(number: float) -> str:
    return f"{float(f'{number:.2g}'):,.0f}"


def format_card(
    title: str, program: str, facts: Mapping[str, str], *, made_of: str, can: str, cannot: str
) -> str:
    """The README.md of a small model, with a hub's front matter.

    `facts` are those of `training_facts` and the seed; the texts are what only its domain can say.
    """
    return _CARD.format(
        title=title, program=program, made_of=made_of, can=can, cannot=cannot, **facts
    )


def learning_rate_factor(step: int, steps: int) -> float:
    """The share of the highest learning rate at a step, from 0."""
    if step < _WARMUP:
        return (step + 1) / _WARMUP
    progress = (step - _WARMUP) / max(1, steps - _WARMUP)
    return 0.5 * (1 + math.cos(math.pi * progress))


def _train_step(
    model: PreTrainedModel,
    optimizers: Sequence[torch.optim.Optimizer],
    curriculum: Curriculum,
    step: int,
    tokenizer: PreTrainedTokenizerBase,
) -> tuple[list[float], int]:
    """One step of the optimizers; returns the losses of its batches and their number of tokens."""
    model.train()
    losses, tokens = [], 0
    for weight, sequences in curriculum.batches(step):
        input_ids, labels = _pad(sequences, tokenizer.pad_token_id)
        # Causal, and padded on the right: no real token sees padding
        loss = model(input_ids=input_ids, labels=labels).loss
        (weight * loss).backward()
        losses.append(loss.item())
        tokens += sum(len(ids) for ids, _ in sequences)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * learning_rate_factor(step, curriculum.steps)
        optimizer.step()
        optimizer.zero_grad()
    return losses, tokens


def _pad(sequences: Sequence[TokenSequence], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Input ids and labels, [sequences, longest]."""
    longest = max(len(ids) for ids, _ in sequences)
    rows = [[*ids, *[pad] * (longest - len(ids))] for ids, _ in sequences]
    labels = [[*own, *[IGNORED_LABEL] * (longest - len(own))] for _, own in sequences]
    return torch.tensor(rows), torch.tensor(labels)


def _restore(
    path: Path, model: PreTrainedModel, optimizers: Sequence[torch.optim.Optimizer]
) -> int:
    """Load a checkpoint if there is one; the number of steps that are done."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, own in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(own)
    return state["steps"]


def _save(
    path: Path,
    model: PreTrainedModel,
    optimizers: Sequence[torch.optim.Optimizer],
    steps: int,
) -> None:
    partial = path.with_suffix(".tmp")
    own = [optimizer.state_dict() for optimizer in optimizers]
    torch.save({"model": model.state_dict(), "optimizers": own, "steps": steps}, partial)
    partial.replace(path)


def _write_model(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, model_card: str
) -> None:
    if folder.exists():  # the run was stopped after this
        return
    hide_progress_in_logs()
    partial = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    write_text(partial / "README.md", model_card)
    partial.rename(folder)
