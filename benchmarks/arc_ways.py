"""One ARC adapter trained as HF Trainer trains it, and by this repository's engine.

Reads   SEAL_DATA/arc/arc-agi_training_challenges.json and its solutions
Writes  a Markdown table to the terminal and, with --output, everything as JSON
Run     OMP_NUM_THREADS=1 python benchmarks/arc_ways.py --output runs/arc-ways.json

The Trainer pads the two sequences of a step to the longer one and computes logits at every place;
the engine computes no padding, and logits where there is a label. Settings are the paper's
(section 4.2), the steps are the first few of the hand-made configuration. Weights are random.
"""

import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import transformers
from timing import DEFAULT_DATA
from timing.arc_jobs import (
    CONFIGURATIONS,
    RandomPolicy,
    make_job,
    make_tokenizer,
    read_tasks,
    shorten,
)
from timing.hf_trainer import train_with_trainer
from timing.presets import build_model
from transformers import PreTrainedModel

from arc.settings import TARGET_MODULES, InnerLoopSettings
from seal.command_line.arguments import arg
from seal.command_line.flag_values import DEVICE
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.lora import AdapterJob, train_adapters
from seal.lora.packing import pack_sequence
from seal.models.load import find_device

VOCABULARY = 8192
"""With it, the small model's head is to its other layers what Llama-3.2-1B's is: a quarter."""


@dataclass(frozen=True)
class Config:
    data: Path = arg("folder of data", DEFAULT_DATA)
    task: int = arg("which of the paper's 11 training tasks, counted from 0", 0, at_least=0)
    preset: Literal["small", "llama-3.2-1b"] = arg("model of random weights", "small")
    device: str = arg("auto = the last GPU, else the CPU", "auto", form=DEVICE)
    steps: int = arg("optimizer steps of each adapter", 4, at_least=1)
    slots: list[int] = arg("adapters side by side, one row each", [1, 2, 4], at_least=1)
    output: Path | None = arg("JSON file for the measurements", None)


@dataclass(frozen=True)
class Measurement:
    """One row of the table; seconds are per adapter."""

    loss: str
    way: str
    seconds: float
    cpu_seconds: float
    """Of all threads."""
    tokens: int
    """Places that are computed for an adapter."""
    logits: int
    """Places whose logits are."""


def main(config: Config) -> None:
    device = find_device(config.device)
    tasks = read_tasks(config.data, "training")
    if not 0 <= config.task < len(tasks):
        raise UserError(f"--task {config.task}: there are {len(tasks)}, counted from 0")
    policy = RandomPolicy(build_model(config.preset, VOCABULARY, device), make_tokenizer(tasks))
    rows: list[Measurement] = []
    for loss, on_all in (("output tokens", False), ("all tokens", True)):
        configuration = replace(CONFIGURATIONS["oracle"], loss_on_all_tokens=on_all)
        job = make_job(tasks[config.task], configuration, policy, InnerLoopSettings())
        job = shorten(job, config.steps)
        train_engine(policy.model, [shorten(job, 1)], 1)  # kernels are chosen, memory is there
        for way, adapters, (tokens, logits), train in list_ways(config, policy.model, job):
            clocks = time.perf_counter(), time.process_time()
            train()
            seconds = (time.perf_counter() - clocks[0]) / adapters
            cpu_seconds = (time.process_time() - clocks[1]) / adapters
            rows.append(Measurement(loss, way, seconds, cpu_seconds, tokens, logits))
            print_row(rows, device)
    if config.output is not None:
        write_output(config, rows, device)


def list_ways(
    config: Config, model: PreTrainedModel, job: AdapterJob
) -> Iterator[tuple[str, int, tuple[int, int], Callable[[], object]]]:
    """Each way's name, its adapters, the places it computes, and the work to time."""
    lengths = [[len(job.sequences[index][0]) for index in batch] for batch in job.batches()]
    padded = sum(len(batch) * max(batch) for batch in lengths)
    train = partial(train_with_trainer, model, job, TARGET_MODULES, log=False)
    yield "HF Trainer", 1, (padded, padded), train

    packed = [pack_sequence(*job.sequences[index]) for batch in job.batches() for index in batch]
    places = sum(one.real for one in packed), sum(len(one.targets) for one in packed)
    for slots in config.slots:
        way = f"engine, {slots} {'slot' if slots == 1 else 'slots'}"
        yield way, slots, places, partial(train_engine, model, [job] * slots, slots)


def train_engine(model: PreTrainedModel, jobs: Sequence[AdapterJob], slots: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root) / str(number) for number in range(len(jobs))]
        train_adapters(model, jobs, folders, TARGET_MODULES, slots)


def print_row(rows: Sequence[Measurement], device: torch.device) -> None:
    row = rows[-1]
    if len(rows) == 1:
        print(
            "| loss on | way | tokens | logits | seconds per adapter | processor seconds | speed |"
        )
        print("|---" * 7 + "|")
    print(
        f"| {row.loss} | {row.way} | {row.tokens:,} | {row.logits:,} | {row.seconds:.2f} |"
        f" {row.cpu_seconds:.2f} | {speed(rows, row, device):.2f}x |",
        flush=True,
    )


def speed(rows: Sequence[Measurement], row: Measurement, device: torch.device) -> float:
    """How many times as fast as the Trainer under the same loss; on a CPU by processor seconds."""
    clock = "cpu_seconds" if device.type == "cpu" else "seconds"
    trainer = next(other for other in rows if other.loss == row.loss)
    return getattr(trainer, clock) / getattr(row, clock)


def write_output(config: Config, rows: Sequence[Measurement], device: torch.device) -> None:
    record = {
        "preset": config.preset,
        "steps": config.steps,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "rows": [asdict(row) | {"speed": speed(rows, row, device)} for row in rows],
    }
    config.output.parent.mkdir(parents=True, exist_ok=True)
    config.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    run_program(main, Config)
