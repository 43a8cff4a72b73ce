"""Pre-train a small model from nothing, so that the method can be seen to learn on a CPU.

What it is trained on is up to its domain; see `small_world/pretraining.py` in either tree.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import LambdaLR
from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from seal.errors import UserError
from seal.lora.jobs import IGNORED_LABEL, TokenSequence
from seal.models.folders import build_once
from seal.models.untrained import random_model, save_model
from seal.records import read_text, write_text
from seal.report.tables import markdown_table
from seal.run import Run
from seal.sampling import Sampler, SampleRequest, SamplingParameters
from seal.training.sft import SftRow, encode_example

WeightedBatch = tuple[float, Sequence[TokenSequence]]
"""The weight of a batch's mean loss in the step's loss, and the sequences of its forward pass."""
Skill = dict[str, Any]
"""What a model can do, as its domain measures it."""

# Heads of 32: the narrowest that vLLM serves on a CPU
SIZE = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "tie_word_embeddings": True,
}
_WARMUP = 100
_STEPS_COUNTED = 20


@dataclass(frozen=True)
class Curriculum(ABC):
    """What a domain writes so that a small model learns its world."""

    seed: int
    steps: int
    tokenizer: PreTrainedTokenizerFast = field(kw_only=True)
    card: ClassVar[Path]
    """A Jinja template that extends `model_card.md` beside this module."""
    size: ClassVar[dict[str, Any]]
    """Fields of the model's config beside SIZE."""

    @abstractmethod
    def batches(self, step: int) -> Iterable[WeightedBatch]:
        """The batches of a step, from 0; they depend on the fields and the step alone."""

    @abstractmethod
    def optimizers(self, model: PreTrainedModel) -> list[torch.optim.Optimizer]:
        """New optimizers of all weights, with the highest learning rates."""

    @abstractmethod
    def measure(self, model: PreTrainedModel) -> Skill:
        """What the model can do."""

    @staticmethod
    @abstractmethod
    def describe(skill: Skill) -> str:
        """The skill in one line."""

    @abstractmethod
    def card_values(self, skill: Skill) -> dict[str, Any]:
        """What the card's template names; `shares` become a table there, `skill`."""

    def new_model(self, **size: Any) -> PreTrainedModel:
        """A Llama with random weights; `size` overrides fields of its config."""
        # Not a Qwen2: transformers 5.17 splits text for each as Qwen2 does, whatever its tokenizer
        return random_model(LlamaForCausalLM, self.tokenizer, self.seed, **SIZE | self.size | size)


def pretrain(run: Run, curriculum: Curriculum, measure_every: int, **size: Any) -> Skill:
    """Train, or go on where the run was stopped; writes RUN/model and returns the final skill.

    Learning rates rise in a straight line, then fall to 0 along a cosine. Every `measure_every`
    steps, and at the end, the skill is measured and RUN/checkpoint.pt replaced. Equal arguments
    give equal weights on one machine, stopped in between or not. `size` is that of `new_model`.
    """
    model = curriculum.new_model(**size)
    optimizers = curriculum.optimizers(model)
    checkpoint, steps = run.path("checkpoint.pt"), curriculum.steps
    done = 0
    if checkpoint.exists():
        try:
            state = torch.load(checkpoint, weights_only=True)
            model.load_state_dict(state["model"])
            for optimizer, own in zip(optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(own)
            done = state["steps"]
        except Exception as error:  # a damaged file: whatever its reader stumbles on
            problem = f"{checkpoint} does not read ({type(error).__name__})"
            raise UserError(f"{problem}; delete it to begin the training again") from error
    schedules = [
        LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps), last_epoch=done - 1)
        for optimizer in optimizers
    ]
    skill: Skill = {}
    with run.progress(steps, "pre-training") as bar:
        bar.update(done)
        for step in range(done, steps):
            losses, tokens = _backward(model, curriculum, step)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
            bar.update()
            if (step + 1) % measure_every == 0 or step + 1 == steps:
                skill = curriculum.measure(model)
                run.metric("skill", step=step + 1, losses=losses, tokens=tokens, **skill)
                shown = " ".join(f"{loss:.2f}" for loss in losses)
                run.say(f"step {step + 1}: {curriculum.describe(skill)}; losses {shown}")
                own = [optimizer.state_dict() for optimizer in optimizers]
                state = {"model": model.state_dict(), "optimizers": own, "steps": step + 1}
                torch.save(state, partial := checkpoint.with_suffix(".tmp"))
                partial.replace(checkpoint)
    skill = skill or curriculum.measure(model)

    def write(folder: Path) -> None:
        save_model(folder, model, curriculum.tokenizer)
        write_text(folder / "README.md", format_card(model, curriculum, skill))

    build_once(run.path("model"), write)
    return skill


def encode_rows(tokenizer: PreTrainedTokenizerFast, rows: Iterable[SftRow]) -> list[TokenSequence]:
    """Each row as the M-step has it, with the loss on its completion."""
    examples = [encode_example(tokenizer, row) for row in rows]
    return [(example["input_ids"], example["labels"]) for example in examples]


def share_right(
    sampler: Sampler, asked: Sequence[tuple[str | Sequence[int], str]], max_new_tokens: int
) -> float:
    """The share of prompts that are continued, decoded greedily, with exactly their answer."""
    requests = [SampleRequest(prompt) for prompt, _ in asked]
    given = sampler.complete(requests, SamplingParameters(max_new_tokens=max_new_tokens))
    right = [text.text == answer for text, (_, answer) in zip(given, asked, strict=True)]
    return sum(right) / len(right)


def training_facts(model: PreTrainedModel, curriculum: Curriculum) -> dict[str, str]:
    """What every model card says: how many weights, steps and tokens; two digits of the large ones.

    Tokens are counted in a few steps, evenly spread, as if the other steps had equally many.
    """
    counted = range(0, curriculum.steps, math.ceil(curriculum.steps / _STEPS_COUNTED))
    batches = [batch for step in counted for _, batch in curriculum.batches(step)]
    tokens = sum(len(ids) for batch in batches for ids, _ in batch)
    facts = {
        "weights": sum(weights.numel() for weights in model.parameters()),
        "tokens": tokens * curriculum.steps / len(counted),
    }
    rounded = {name: f"{float(f'{fact:.2g}'):,.0f}" for name, fact in facts.items()}
    return {**rounded, "steps": str(curriculum.steps)}


def format_card(model: PreTrainedModel, curriculum: Curriculum, skill: Skill) -> str:
    """The README.md of a small model, with a hub's front matter; `skill` is its final one."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    values = curriculum.card_values(skill)
    shares = [[name, f"{share:.0%}"] for name, share in values["shares"].items()]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.from_string(read_text(curriculum.card)).render(
        **training_facts(model, curriculum),
        **values,
        seed=curriculum.seed,
        skill=markdown_table(["", "share"], shares),
    )


def learning_rate_factor(step: int, steps: int) -> float:
    """The share of the highest learning rate at a step, from 0."""
    if step < _WARMUP:
        return (step + 1) / _WARMUP
    progress = (step - _WARMUP) / max(1, steps - _WARMUP)
    return 0.5 * (1 + math.cos(math.pi * progress))


def _backward(model: PreTrainedModel, curriculum: Curriculum, step: int) -> tuple[list[float], int]:
    """The gradients of one step; returns the losses of its batches and their number of tokens."""
    model.train()
    pad = curriculum.tokenizer.pad_token_id
    losses, tokens = [], 0
    for weight, sequences in curriculum.batches(step):
        ids, labels = zip(*sequences, strict=True)
        # Causal, and padded on the right: no real token sees padding
        loss = model(input_ids=_padded(ids, pad), labels=_padded(labels, IGNORED_LABEL)).loss
        (weight * loss).backward()
        losses.append(loss.item())
        tokens += sum(map(len, ids))
    return losses, tokens


def _padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """The rows as one tensor [rows, longest]."""
    tensors = [torch.tensor(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)
