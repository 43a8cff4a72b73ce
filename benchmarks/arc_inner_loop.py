"""Where the time of an inner loop on an ARC task goes: the model, or the Python around it.

Reads   SEAL_DATA/arc/arc-agi_training_challenges.json and its solutions
Writes  Markdown tables to the terminal and, with --output, everything as JSON
Run     OMP_NUM_THREADS=1 python benchmarks/arc_inner_loop.py --output runs/arc-inner-loop.json

First an estimate for Llama-3.2-1B, whole inner loops: what is done in Python is done and timed; of
what a GPU does, operations and bytes are counted. Then inner loops that are run from end to end on
a model of random weights, cut short so that a CPU takes minutes.
"""

import json
import platform
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import torch
import transformers
from timing import DEFAULT_DATA
from timing.arc_costs import Shape, Speed, answering_seconds, shape_of, training_seconds
from timing.arc_jobs import (
    CALLS,
    CONFIGURATIONS,
    SEED,
    RandomPolicy,
    make_job,
    make_tokenizer,
    read_tasks,
    shorten,
)
from timing.arc_launches import Launch, measure_launches
from timing.part_clock import PartClock
from timing.presets import build_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from arc.method import prediction
from arc.method.configurations import Configuration
from arc.puzzles.rendering import answer_text
from arc.puzzles.tasks import Task
from arc.settings import InnerLoopSettings
from seal.command_line.arguments import arg
from seal.command_line.flag_values import DEVICE
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.lora import train as lora
from seal.lora import train_adapters
from seal.lora.bank import AdapterBank, find_targets
from seal.lora.files import read_adapter
from seal.models.load import find_device
from seal.sampling import Completion, SampleRequest, SamplingParameters

REAL_PRESET = "llama-3.2-1b"
MAX_TOKENS = 8192
ADAPTER_TRIES = 5
PYTHON_PARTS = (
    *("items", "tokens", "job", "packing"),
    *("adapter drawn", "adapter written", "adapter read", "prompts", "vote"),
)


@dataclass(frozen=True)
class Config:
    data: Path = arg("folder of data", DEFAULT_DATA)
    split: Literal["training", "evaluation"] = arg("which of the paper's tasks", "training")
    tasks_limit: int | None = arg("how many of them; default: all", None, at_least=1)
    tflops: float = arg("assumed of the GPU: 1e12 operations a second", 300.0, above=0)
    bandwidth: float = arg("assumed of the GPU: 1e12 bytes a second from its memory", 2.0, above=0)
    preset: Literal["small", "llama-3.2-1b"] = arg("model of the inner loops that are run", "small")
    device: str = arg("where they run: auto = the last GPU, else the CPU", "auto", form=DEVICE)
    loops: int = arg("tasks whose inner loops are run; 0: none", 2, at_least=0)
    max_items: int = arg("training examples of those (release: 250)", 8, at_least=1)
    steps: int | None = arg("optimizer steps of those, at most; default: all", None, at_least=1)
    max_answer_tokens: int = arg(
        "tokens per answer of those, as random weights never end", 32, at_least=1
    )
    slots: list[int] = arg(
        "adapters side by side, where starting operations is timed", [1, 2, 4, 8], at_least=1
    )
    output: Path | None = arg("JSON file for the measurements", None)


@dataclass(frozen=True)
class Loop:
    """One inner loop with the answers that follow; seconds by part are of the processor."""

    configuration: str
    task: str
    items: int
    """Trained on."""
    steps: int
    tokens: int
    """Over all steps."""
    parts: Mapping[str, float]
    wall_seconds: Mapping[str, float]
    training_seconds: float = 0.0
    """Estimated, as the next; 0 where the model was run."""
    answering_seconds: float = 0.0

    @property
    def python_seconds(self) -> float:
        return sum(self.parts.get(part, 0.0) for part in PYTHON_PARTS)

    @property
    def seconds(self) -> float:
        """One part after the other; in fact some overlap."""
        return self.python_seconds + self.training_seconds + self.answering_seconds


def main(config: Config) -> None:
    if config.tasks_limit is not None and config.tasks_limit < 1:
        raise UserError("--tasks_limit must be at least 1")
    device = find_device(config.device)
    tasks = read_tasks(config.data, config.split)[: config.tasks_limit]
    tokenizer = make_tokenizer(tasks)

    adapter = measure_adapter()
    estimates = list(estimate_loops(config, tasks, tokenizer, adapter))
    print_estimates(estimates)
    launches = measure_launches(config.slots, tokenizer)
    print_launches(launches, estimates)
    measured = []
    if config.loops:
        policy = RandomPolicy(build_model(config.preset, len(tokenizer), device), tokenizer)
        measured = list(run_loops(config, policy, tasks[: config.loops]))
        print_loops(config, measured, device)
    if config.output is not None:
        write_output(config, device, estimates, launches, measured)


# The estimate


def measure_adapter() -> dict[str, float]:
    """Processor seconds to draw, write and read an adapter of the real model's size: medians.

    The weights of the model itself are not needed and stay unwritten memory.
    """
    settings = InnerLoopSettings()
    model = build_model(REAL_PRESET, 0, torch.device("meta")).to_empty(device="cpu")
    names = find_targets(model, settings.target_modules)
    bank = AdapterBank(model, names, slots=1, rank=settings.lora_rank)
    tries = []
    for _ in range(ADAPTER_TRIES):
        with tempfile.TemporaryDirectory() as root:
            tries.append(_handle_adapter(Path(root) / "adapter", model, bank))
    return {part: median(found[part] for found in tries) for part in tries[0]}


def _handle_adapter(folder: Path, model: PreTrainedModel, bank: AdapterBank) -> dict[str, float]:
    settings = InnerLoopSettings()
    clock = PartClock(torch.device("cpu"))
    with clock.watching(CALLS):
        bank.initialise(0, rank=bank.rank, alpha=settings.lora_alpha, seed=SEED)
        lora.write_adapter(
            folder,
            bank.export(0, bank.rank),
            rank=bank.rank,
            alpha=settings.lora_alpha,
            target_modules=settings.target_modules,
            base_model=REAL_PRESET,
        )
        with clock.part("adapter read"):
            loaded = read_adapter(folder)
            names = find_targets(model, settings.target_modules)
            other = AdapterBank(model, names, slots=1, rank=bank.rank, dtype=model.dtype)
            other.load(0, loaded)
    return dict(clock.cpu_seconds)


def estimate_loops(
    config: Config,
    tasks: Sequence[Task],
    tokenizer: PreTrainedTokenizerBase,
    adapter: Mapping[str, float],
) -> Iterator[Loop]:
    """Whole inner loops of the real model, one by one; Python's part is done and timed."""
    settings = InnerLoopSettings()
    speed = Speed(config.tflops * 1e12, config.bandwidth * 1e12)
    model = build_model(REAL_PRESET, 0, torch.device("meta"))
    shape = shape_of(model, settings.target_modules, settings.lora_rank)
    for name, configuration in CONFIGURATIONS.items():
        for task in tasks:
            yield _estimate_loop(name, configuration, task, tokenizer, shape, speed, adapter)


def _estimate_loop(
    name: str,
    configuration: Configuration,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    shape: Shape,
    speed: Speed,
    adapter: Mapping[str, float],
) -> Loop:
    settings = InnerLoopSettings()
    policy = _AnsweringPolicy(tokenizer, right_answers(task, settings))
    clock = PartClock(torch.device("cpu"))
    with clock.watching(CALLS):
        job = make_job(task, configuration, policy, settings)
        with clock.part("packing"):
            for batch in job.batches():
                packed = [lora.pack_sequence(*job.sequences[i]) for i in batch]
                lora.pack_batches([(0, packed)], MAX_TOKENS, torch.device("cpu"))
        (solution,) = prediction.solve(policy, [(task, None)], settings, SEED)
    if task.target not in solution.attempts:
        raise RuntimeError(f"right answers to {task.id} were voted down")
    answers = [len(ids) + 1 for ids in tokenizer(policy.answers)["input_ids"]]
    return Loop(
        name,
        task.id,
        items=len(job.sequences),
        steps=job.steps,
        tokens=job.tokens,
        parts=dict(clock.cpu_seconds) | adapter,
        wall_seconds=dict(clock.seconds),
        training_seconds=training_seconds(job, shape, speed),
        answering_seconds=answering_seconds(policy.asked, answers, shape, speed),
    )


class _AnsweringPolicy(Policy):
    """Gives prepared answers, without a model."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, answers: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.answers = list(answers)
        self.asked: list[int] = []
        """Tokens of each prompt."""
        self.sampler = self

    def complete(
        self, requests: Sequence[SampleRequest], parameters: SamplingParameters
    ) -> list[Completion]:
        self.asked = [len(request.prompt) for request in requests]
        return [Completion(answer, "stop", (1,)) for answer in self.answers]


def right_answers(task: Task, settings: InnerLoopSettings) -> list[str]:
    """What a policy that has learned the task answers to each of its views."""
    views = prediction.task_views(task, settings, SEED)
    inverters = [view.inverter for view in views]
    return [
        answer_text(task.target if inverter is None else inverter.inverse(task.target))
        for inverter in inverters
    ]


def print_estimates(loops: Sequence[Loop]) -> None:
    print("Llama-3.2-1B on a GPU, estimated, and processor seconds in Python, measured:\n")
    print("| configuration, task | items | steps | tokens | training | answering ", end="")
    print("".join(f"| {part} " for part in PYTHON_PARTS), end="")
    print("| Python's share | largest part |")
    print("|---" * (8 + len(PYTHON_PARTS)) + "|")
    for loop in loops:
        parts = {part: loop.parts[part] for part in PYTHON_PARTS}
        largest = max(parts, key=parts.__getitem__)
        cells = [
            f"{loop.configuration} {loop.task}",
            loop.items,
            loop.steps,
            f"{loop.tokens:,}",
            f"{loop.training_seconds:.2f}",
            f"{loop.answering_seconds:.2f}",
            *(f"{seconds:.3f}" for seconds in parts.values()),
            f"{loop.python_seconds / loop.seconds:.1%}",
            f"{parts[largest] / loop.seconds:.1%} {largest}",
        ]
        print("|", " | ".join(map(str, cells)), "|")


def print_launches(launches: Sequence[Launch], loops: Sequence[Loop]) -> None:
    print("\nStarting the operations of a step, beside what the GPU then computes; milliseconds:\n")
    print("| slots | to start a training step | the GPU: median | least | a token of the answers |")
    print("|---" * 5 + "|")
    per_step = [loop.training_seconds / loop.steps for loop in loops]
    for launch in launches:
        computed = [1e3 * launch.slots * value for value in (median(per_step), min(per_step))]
        print(
            f"| {launch.slots} | {1e3 * launch.training:.0f} | {computed[0]:.0f} |"
            f" {computed[1]:.0f} | {1e3 * launch.answering:.1f} |"
        )


# Inner loops that are run


def run_loops(config: Config, policy: Policy, tasks: Sequence[Task]) -> Iterator[Loop]:
    """Train, write, read and answer, one adapter at a time."""
    settings = InnerLoopSettings(
        max_items=config.max_items, max_answer_tokens=config.max_answer_tokens
    )
    for name, configuration in CONFIGURATIONS.items():
        for task in tasks:
            clock = PartClock(policy.model.device)
            with tempfile.TemporaryDirectory() as root, clock.watching(CALLS):
                folder = Path(root) / "adapter"
                job = shorten(make_job(task, configuration, policy, settings), config.steps)
                with clock.part("rest"):
                    train_adapters(policy.model, [job], [folder], settings.target_modules, slots=1)
                    prediction.solve(policy, [(task, folder)], settings, SEED)
            yield Loop(
                name,
                task.id,
                items=len(job.sequences),
                steps=job.steps,
                tokens=job.tokens,
                parts=dict(clock.cpu_seconds),
                wall_seconds=dict(clock.seconds),
            )


def print_loops(config: Config, loops: Sequence[Loop], device: torch.device) -> None:
    print(
        f"\nRun with --preset {config.preset} on {device}, at most {config.max_items} items and"
        f" {config.max_answer_tokens} tokens an answer; processor seconds, in all and by part:\n"
    )
    print("| part | processor seconds | share | seconds | share |")
    print("|---" * 5 + "|")
    cpu = _sum(loop.parts for loop in loops)
    wall = _sum(loop.wall_seconds for loop in loops)
    for part, seconds in cpu.most_common():
        print(
            f"| {part} | {seconds:.3f} | {seconds / cpu.total():.1%} |"
            f" {wall[part]:.3f} | {wall[part] / wall.total():.1%} |"
        )


def _sum(parts: Iterable[Mapping[str, float]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in parts:
        total.update(one)
    return total


def write_output(
    config: Config,
    device: torch.device,
    estimates: Sequence[Loop],
    launches: Sequence[Launch],
    measured: Sequence[Loop],
) -> None:
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    record = {
        "config": {name: str(value) for name, value in asdict(config).items()},
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "gpu": gpu,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "estimates": [asdict(loop) for loop in estimates],
        "launches": [asdict(launch) for launch in launches],
        "loops": [asdict(loop) for loop in measured],
    }
    config.output.parent.mkdir(parents=True, exist_ok=True)
    config.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    run_program(main, Config)
