"""How long it takes to start a step's operations, which no GPU makes any faster."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from arc.settings import TARGET_MODULES
from seal.loop.policy import Policy
from seal.lora import AdapterJob, train_adapters
from seal.lora import train as lora
from seal.sampling import SampleRequest, SamplingParameters
from timing.arc_jobs import CALLS, RandomPolicy
from timing.part_clock import PartClock
from timing.presets import build_model

STEPS = 24
VIEWS = 12
"""Answers side by side per adapter; the paper's tasks have 7 to 23."""


@dataclass(frozen=True)
class Launch:
    """Processor seconds of steps of Llama-3.2-1B's layers with hardly anything to compute."""

    slots: int
    training: float
    """Of one optimizer step of all slots."""
    answering: float
    """Of one token of all answers, in this process."""


def measure_launches(slots: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> list[Launch]:
    """One measurement for each number of adapters side by side."""
    model = build_model("llama-3.2-1b-layers", len(tokenizer), torch.device("cpu"))
    policy = RandomPolicy(model, tokenizer)
    _measure(policy, 1)  # memory is there
    return [_measure(policy, count) for count in slots]


def _measure(policy: Policy, slots: int) -> Launch:
    ids = list(range(4))
    job = AdapterJob(
        [(ids, ids)] * 2,
        learning_rate=1e-4,
        epochs=STEPS,
        batch_size=2,
        gradient_accumulation=1,
        schedule="cosine",
        warmup_steps=0,
        max_grad_norm=1.0,
        rank=8,
        alpha=16,
        seed=0,
    )
    clock = PartClock(torch.device("cpu"))
    calls = CALLS | {(lora, "add_gradients"): "optimizer"}
    with tempfile.TemporaryDirectory() as root, clock.watching(calls):
        folders = [Path(root) / str(number) for number in range(slots)]
        train_adapters(policy.model, [job] * slots, folders, TARGET_MODULES, slots)
        requests = [SampleRequest(ids, adapter=folder) for folder in folders for _ in range(VIEWS)]
        answers = policy.sampler.complete(requests, SamplingParameters(STEPS))
    training = clock.cpu_seconds["optimizer"] + clock.cpu_seconds["packing"]
    tokens = max(answer.n_tokens for answer in answers)
    return Launch(slots, training / job.steps, clock.cpu_seconds["model, answering"] / tokens)
