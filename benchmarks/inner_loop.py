"""Seconds per adapter of SEAL's inner loop: the release's way, and this repository's engine.

Reads   SEAL_DATA/seal-release/general-knowledge/data/synthetic_data/eval/base_val.json
Writes  a Markdown table to the terminal and, with --output, everything as JSON
Run     OMP_NUM_THREADS=1 python benchmarks/inner_loop.py --output runs/inner-loop-benchmark.json

Settings of the paper's single-passage experiment (section 4.1): LoRA rank 32, alpha 64 on q_proj
and v_proj, learning rate 1e-3 with linear decay, 10 epochs, batch 1. Weights are random: only time
is measured, and that the engine's weights are the Trainer's.
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
from safetensors.torch import load_file
from timing import DEFAULT_DATA
from timing.hf_trainer import train_with_trainer
from timing.jobs import TARGETS, make_job, read_self_edits, with_padding
from timing.presets import build_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from seal.command_line.arguments import arg
from seal.command_line.flag_values import DEVICE
from seal.command_line.program import run_program
from seal.lora import AdapterJob, train_adapters
from seal.lora.bank import AdapterBank, find_targets
from seal.lora.files import WEIGHTS_FILE
from seal.models.load import find_device
from seal.models.untrained import train_tokenizer


@dataclass(frozen=True)
class Config:
    data: Path = arg("folder of data", DEFAULT_DATA)
    preset: Literal["small", "qwen2.5-7b", "llama-3.2-1b"] = arg("model of random weights", "small")
    device: str = arg("auto = the last GPU, else the CPU", "auto", form=DEVICE)
    adapters: int = arg("adapters that the engine trains in each of its rows", 60, at_least=1)
    slots: list[int] = arg("adapters side by side, one row each", [1, 5, 15, 60], at_least=1)
    release_adapters: int = arg("adapters trained the release's way", 1, at_least=1)
    trainer_adapters: int = arg("adapters trained by HF Trainer without padding", 10, at_least=1)
    output: Path | None = arg("JSON file for the measurements", None)


@dataclass(frozen=True)
class Measurement:
    """One row of the table."""

    way: str
    adapters: int
    work: float
    """How many adapters of average size its adapters amount to."""
    seconds: float
    cpu_seconds: float
    """Processor time of all threads; unlike `seconds`, it hardly depends on what else runs."""


def main(config: Config) -> None:
    device = find_device(config.device)
    self_edits = read_self_edits(config.data, config.adapters)
    tokenizer = train_tokenizer([text for texts in self_edits for text in texts], vocab_size=8192)
    model = build_model(config.preset, len(tokenizer), device)
    jobs = [make_job(texts, tokenizer, seed) for seed, texts in enumerate(self_edits)]
    train_engine(model, jobs[:1], slots=1)  # kernels are chosen, memory is there

    measurements: list[Measurement] = []
    for way, adapters, work, train in list_ways(config, model, jobs, tokenizer):
        clocks = time.perf_counter(), time.process_time()
        train()
        seconds, cpu_seconds = time.perf_counter() - clocks[0], time.process_time() - clocks[1]
        measurements.append(Measurement(way, adapters, work, seconds, cpu_seconds))
        print_row(measurements, device)
    distance = compare_weights(model, jobs[0])
    print(f"\nEngine's and Trainer's weights are apart by {distance:.1e} of what training changed")
    if config.output is not None:
        write_output(config, measurements, jobs, distance, device)


def list_ways(
    config: Config,
    model: PreTrainedModel,
    jobs: Sequence[AdapterJob],
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[tuple[str, int, float, Callable[[], object]]]:
    """Each row's name, number of adapters, their work, and the call to time; release first."""
    steps = [len(job.batches()) for job in jobs]
    tokens = [sum(len(ids) for ids, _ in job.sequences) for job in jobs]
    few, some = config.release_adapters, config.trainer_adapters

    padded = [with_padding(job, tokenizer, "max") for job in jobs[:few]]
    # Padded to one length, every step costs the same; otherwise tokens are what costs
    work = sum(steps[:few]) / sum(steps) * len(jobs)
    way = "release: HF Trainer, padded to 2,048, one at a time"
    yield way, few, work, partial(train_one_by_one, model, padded)

    work = sum(tokens[:some]) / sum(tokens) * len(jobs)
    way = "HF Trainer without padding, one at a time"
    yield way, some, work, partial(train_one_by_one, model, jobs[:some])

    for slots in config.slots:
        way = f"engine, {slots} {'slot' if slots == 1 else 'slots'}"
        yield way, len(jobs), len(jobs), partial(train_engine, model, jobs, slots)

    sampled = [with_padding(job, tokenizer, "sampled") for job in jobs]
    slots = max(config.slots)
    way = f"engine, {slots} slots, loss on sampled padding"
    yield way, len(jobs), len(jobs), partial(train_engine, model, sampled, slots)


def train_one_by_one(model: PreTrainedModel, jobs: Sequence[AdapterJob]) -> None:
    for job in jobs:
        train_with_trainer(model, job, TARGETS, log=False)


def train_engine(
    model: PreTrainedModel, jobs: Sequence[AdapterJob], slots: int
) -> list[dict[str, torch.Tensor]]:
    """Train and export `jobs`; returns the weights that the folders hold."""
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root) / str(number) for number in range(len(jobs))]
        train_adapters(model, jobs, folders, TARGETS, slots)
        return [load_file(folder / WEIGHTS_FILE) for folder in folders]


def compare_weights(model: PreTrainedModel, job: AdapterJob) -> float:
    """How far the engine's adapter is from the Trainer's, as a share of the way both have gone.

    In norms over all weights: single ones whose gradient is nearly zero go where rounding sends
    them, since Adam makes steps of equal length of all gradients.
    """
    bank = AdapterBank(model, find_targets(model, TARGETS), slots=1, rank=job.rank)
    bank.initialise(0, rank=job.rank, alpha=job.alpha, seed=job.seed)
    start = bank.export(0, job.rank)
    job = replace(job, initial_weights=start)
    (ours,) = train_engine(model, [job], slots=1)
    reference = train_with_trainer(model, job, TARGETS, log=False).weights
    apart = sum((ours[name] - reference[name].cpu()).square().sum() for name in start)
    gone = sum((reference[name].cpu() - start[name]).square().sum() for name in start)
    return float((apart / gone).sqrt())


def print_row(measurements: Sequence[Measurement], device: torch.device) -> None:
    release, row = measurements[0], measurements[-1]
    if row is release:
        print("| way | adapters timed | seconds per adapter | processor seconds | speed |")
        print("|---|---|---|---|---|")
    speed = cost(release, device) / cost(row, device)
    times = f"{row.seconds / row.work:.2f} | {row.cpu_seconds / row.work:.2f}"
    print(f"| {row.way} | {row.adapters} | {times} | {speed:.1f}x |", flush=True)


def cost(row: Measurement, device: torch.device) -> float:
    """What ways are compared by: seconds per adapter, on a CPU those of the processor."""
    return (row.cpu_seconds if device.type == "cpu" else row.seconds) / row.work


def write_output(
    config: Config,
    measurements: Sequence[Measurement],
    jobs: Sequence[AdapterJob],
    distance: float,
    device: torch.device,
) -> None:
    lengths = [len(ids) for job in jobs for ids, _ in job.sequences]
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    record = {
        "preset": config.preset,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "gpu": gpu,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "sequences_per_adapter": len(lengths) / len(jobs),
        "tokens_per_sequence": sum(lengths) / len(lengths),
        "distance_to_trainer": distance,
        "rows": [
            asdict(row) | {"speed": cost(measurements[0], device) / cost(row, device)}
            for row in measurements
        ],
    }
    config.output.parent.mkdir(parents=True, exist_ok=True)
    config.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    run_program(main, Config)
