"""Pools of invented tasks that a small model fails in context and can learn at test time.

The paper too chooses tasks that hand-made test-time training solves (section 4.2): on a task that
is solved without training, or by no training, all self-edits earn the same reward.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from arc.method.configurations import Configuration, load_oracle
from arc.method.inner_loop import Trial, run_trials
from arc.method.prediction import predict_in_context
from arc.puzzles.tasks import Task
from arc.settings import TREE, InnerLoopSettings, PolicySettings
from arc.small_world.pretraining import SMALL_PROMPTS
from arc.small_world.rules import invented_task
from seal.command_line.arguments import parse_arguments
from seal.errors import UserError
from seal.loop.policy import Policy, open_policy
from seal.records import to_json, write_text
from seal.run import Run
from seal.seeds import derive_seed

SMALL_ORACLE = TREE / "small_model" / "oracle.json"
"""The hand-made configuration for small models."""

_MOST_CANDIDATES = 25
"""Per task that is wanted. A model that learns well needs about seven."""
_SLOTFULS = 4
"""How often a batch of candidates fills the slots."""
_TRIES = (1, 2)
"""Each candidate is tried with two seeds, of the views and of the adapter."""


class SmallModelSettings(PolicySettings, InnerLoopSettings):
    """How a small model is asked and trained."""


def small_model_settings(model: Path) -> SmallModelSettings:
    """What the preset says, for the model in a folder."""
    words = ["--config", str(TREE / "presets" / "small.yaml"), "--model", str(model)]
    # The preset names the folder of prompts as it is seen from the repository's root
    return replace(parse_arguments(SmallModelSettings, words), prompts=SMALL_PROMPTS.prompts)


def make_pools(
    run: Run, settings: SmallModelSettings, sizes: Mapping[str, int], seed: int
) -> dict[str, dict[str, int]]:
    """Write RUN/POOL_challenges.json and RUN/POOL_solutions.json for each pool of `sizes`.

    Returns each pool's counts. Tries that the run holds are not repeated. Raises UserError for a
    model that can learn too few tasks.
    """
    oracle, counts, log = load_oracle(SMALL_ORACLE), {}, run.path("vllm.log")
    with open_policy(settings.model, settings, log, settings.lora_rank, settings.slots) as policy:
        for name, size in sizes.items():
            part = run.part(name)
            tasks, counts[name] = fill_pool(part, name, size, policy, oracle, settings, seed)
            write_tasks(run.folder, name, tasks)
    return counts


def fill_pool(
    run: Run,
    name: str,
    size: int,
    policy: Policy,
    oracle: Configuration,
    settings: InnerLoopSettings,
    seed: int,
) -> tuple[list[Task], dict[str, int]]:
    """The first `size` tasks that pass, and how many of all candidates passed each test.

    Candidates derive from the seed, the pool's name and their number, so that pools share none.
    """
    batch = _SLOTFULS * settings.slots
    found: list[Task] = []
    counts = Counter(candidates=0)
    while len(found) < size:
        first = counts["candidates"]
        if first >= _MOST_CANDIDATES * size:
            raise UserError(
                f"{policy.name}: of {first:,} tasks it can learn {len(found)} at test time, {size}"
                " are wanted; train it longer"
            )
        tasks = [candidate(name, number, seed) for number in range(first, first + batch)]
        counts["candidates"] += batch
        for number in _TRIES:
            tried = derive_seed(seed, f"{name}/try", number)
            part = run.part(f"try-{number}")
            if tasks:
                outcomes = predict_in_context(part, tasks, policy, settings, tried)
                tasks = [outcome.task for outcome in outcomes if not outcome.correct]
            counts[f"failed_in_context_{number}"] += len(tasks)
            trials = [Trial(f"{task.id}/oracle", task, oracle) for task in tasks]
            outcomes = run_trials(part, trials, policy, settings, tried)
            tasks = [outcome.task for outcome in outcomes if outcome.correct]
            counts[f"solved_by_training_{number}"] += len(tasks)
        found += tasks
        run.say(f"{name}: {len(found)} tasks of {counts['candidates']} candidates, {size} wanted")
    return found[:size], dict(counts)


def candidate(pool: str, number: int, seed: int) -> Task:
    """A new task, before any test of it."""
    name = f"{pool}-{number}"
    return invented_task(f"{name}-0", np.random.default_rng(derive_seed(seed, name)))


def write_tasks(folder: Path, name: str, tasks: Sequence[Task]) -> None:
    """The tasks as Kaggle's challenges and solutions files, a task a line; see `load_tasks`."""
    named = {task.id.rpartition("-")[0]: task for task in tasks}
    challenges = {
        id: {
            "train": [pair._asdict() for pair in task.demonstrations],
            "test": [{"input": task.test_input}],
        }
        for id, task in named.items()
    }
    _write_lines(folder / f"{name}_challenges.json", challenges)
    _write_lines(folder / f"{name}_solutions.json", {k: [t.target] for k, t in named.items()})


def _write_lines(path: Path, entries: Mapping[str, Any]) -> None:
    lines = ",\n".join(f"{to_json(name)}: {to_json(entry)}" for name, entry in entries.items())
    write_text(path, "{\n" + lines + "\n}\n")
