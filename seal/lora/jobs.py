"""What an adapter is trained on and how: one inner loop of SEAL (paper, section 3.1).

Steps, order, learning rates and loss are those of `transformers.Trainer` with PEFT.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from seal.lora.files import AdapterFolder
from seal.settings import Schedule

IGNORED_LABEL = -100
"""Label of a token that is not a target, as everywhere in transformers."""

Tokens = Sequence[int] | NDArray[np.integer]
TokenSequence = tuple[Tokens, Tokens]
"""Input ids and labels, of equal length; int32 arrays hold a large job in little memory."""


@dataclass(frozen=True)
class PaddingLoss:
    """Learn the padding too, as the SEAL release does by padding every sequence to one length.

    Pads are `token_id`, also as labels; they see the real tokens alone and their positions go on
    counting. "max" computes every pad; "sampled" draws `samples` of them for each step and weights
    them up, which leaves the expected gradient unchanged.
    """

    mode: Literal["max", "sampled"]
    token_id: int
    length: int = 2048
    samples: int = 64

    def __post_init__(self) -> None:
        if self.mode not in ("max", "sampled"):
            raise ValueError(f"padding mode is max or sampled, not {self.mode!r}")
        if self.length < 2 or self.samples < 1:
            raise ValueError("padding needs a length of at least 2 and at least 1 sample")


@dataclass(frozen=True, eq=False)
class AdapterJob:
    """One LoRA adapter to train. Raises ValueError for settings that cannot be carried out.

    `sequences`: pairs (input ids, labels) of equal length, labels -100 where there is no loss. A
    fraction of an epoch is its first steps, their number rounded up. `max_grad_norm` None or 0
    leaves gradients unclipped. `initial_weights`: by the names of an adapter_model.safetensors;
    None draws PEFT's default initialisation (uniform A, zero B) from `seed`, from which each epoch
    is shuffled too, as HF Trainer does. `earlier`: an adapter that acts in the model as if it were
    merged, and is not trained.
    """

    sequences: Sequence[TokenSequence]
    learning_rate: float
    epochs: float
    batch_size: int
    gradient_accumulation: int
    schedule: Schedule
    warmup_steps: int
    max_grad_norm: float | None
    rank: int
    alpha: float
    seed: int
    initial_weights: Mapping[str, torch.Tensor] | None = None
    padding: PaddingLoss | None = None
    earlier: AdapterFolder | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "gradient_accumulation", "rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("epochs", "learning_rate", "alpha"):
            if not (0 < getattr(self, name) < math.inf):
                raise ValueError(f"{name} must be positive and finite, not {getattr(self, name)}")
        for name in ("warmup_steps", "max_grad_norm"):
            if not (getattr(self, name) or 0) >= 0:
                raise ValueError(f"{name} must not be negative, as {getattr(self, name)} is")
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"schedule is one of {get_args(Schedule)}, not {self.schedule!r}")
        if not self.sequences:
            raise ValueError("a job needs at least one sequence")
        for number, (input_ids, labels) in enumerate(self.sequences):
            size = f"sequence {number} has {len(input_ids)} tokens"
            if len(input_ids) != len(labels):
                raise ValueError(f"{size} and {len(labels)} labels")
            if (np.asarray(labels)[1:] == IGNORED_LABEL).all():
                raise ValueError(f"sequence {number} has no label after its first token")
            if self.padding and len(input_ids) > self.padding.length:
                raise ValueError(f"{size}, more than the {self.padding.length} of the padding")

    @property
    def initial_adapter(self) -> AdapterFolder | None:
        """`initial_weights` as an adapter of the job's rank and alpha."""
        if self.initial_weights is None:
            return None
        return AdapterFolder(self.rank, self.alpha / self.rank, self.initial_weights)

    @property
    def steps(self) -> int:
        """How many optimizer steps the job takes."""
        return math.ceil(self.epochs * math.ceil(len(self.sequences) / self._step_size))

    @property
    def tokens(self) -> int:
        """Tokens of text over all steps; padding is not counted."""
        lengths = [len(input_ids) for input_ids, _ in self.sequences]
        return sum(lengths[index] for batch in self.batches() for index in batch)

    def batches(self) -> list[list[int]]:
        """The sequences of each optimizer step, in training order.

        Accumulated batches are one: the loss is a mean over the labels of them all. An epoch's last
        step may be smaller.
        """
        size = self._step_size
        batches = [
            epoch[start : start + size]
            for epoch in map(self._shuffled, range(math.ceil(self.epochs)))
            for start in range(0, len(epoch), size)
        ]
        return batches[: self.steps]

    @property
    def _step_size(self) -> int:
        return self.batch_size * self.gradient_accumulation

    def _shuffled(self, epoch: int) -> list[int]:
        # Accelerate's SeedableRandomSampler, which HF Trainer draws from, reseeds for every epoch
        generator = torch.Generator().manual_seed(self.seed + epoch)
        return torch.randperm(len(self.sequences), generator=generator).tolist()

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The learning rate of optimizer step `step` (from 0) of `steps`, as transformers' own."""
        if step < self.warmup_steps:
            return self.learning_rate * (step / self.warmup_steps)
        if self.schedule == "constant":
            return self.learning_rate
        decay = max(1, steps - self.warmup_steps)
        if self.schedule == "linear":
            return self.learning_rate * max(0.0, (steps - step) / decay)
        progress = (step - self.warmup_steps) / decay
        return self.learning_rate * max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))


@dataclass(frozen=True)
class AdapterResult:
    """How an adapter's training went: one loss, learning rate and gradient norm for each step."""

    losses: list[float]
    """Mean loss per label of the step's batch, before the step."""
    learning_rates: list[float]
    grad_norms: list[float]
    """Norm of the gradient before clipping."""
    tokens: int
    """Tokens of text over all steps; padding is not counted."""
    seconds: float
    """From the adapter's place in a slot to its export; other slots trained meanwhile."""

    @property
    def numbers(self) -> dict[str, float]:
        """What metrics.jsonl says of the adapter."""
        losses = {"first_loss": self.losses[0], "last_loss": self.losses[-1]}
        return {"seconds": self.seconds, "tokens": self.tokens, "steps": len(self.losses), **losses}
