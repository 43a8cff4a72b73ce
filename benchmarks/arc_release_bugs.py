"""How often the release's defects matter on real ARC tasks: dummy adapters, and misread answers.

Reads   SEAL_DATA/arc/arc-agi_training_challenges.json
        --without and --with_bugs: two folders of few-shot/run_inner_loop.py, equal but for
        --release_bugs
Writes  two Markdown tables to the terminal
Run     python benchmarks/arc_release_bugs.py

The first table says how many of all choices of switches ask for more than 375 steps, by epochs: the
release gives them an adapter that is trained for none. Translations, the third defect, are counted
by arc_training_sets.py.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from timing import DEFAULT_DATA

from arc.method.configurations import Configuration, check_steps
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.tasks import load_tasks, select_tasks
from arc.puzzles.training_sets import training_items
from arc.settings import InnerLoopSettings
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.records import read_jsonl

EPOCHS = range(1, 11)


@dataclass(frozen=True)
class Config:
    data: Path = arg("folder of data", DEFAULT_DATA)
    without: Path | None = arg("run folder without --release_bugs", None)
    with_bugs: Path | None = arg("run folder with it", None)


def main(config: Config) -> None:
    if (config.without is None) != (config.with_bugs is None):
        raise UserError("--without and --with_bugs go together; give both or none")
    challenges = config.data / "arc/arc-agi_training_challenges.json"
    tasks = select_tasks(load_tasks(challenges), "paper-training", None, 0)
    # The limit of tokens is left out, as it depends on the tokenizer
    limit = InnerLoopSettings().max_items
    sizes = [
        min(limit, len(training_items(task.demonstrations, Augmentations(*switches), seed=0)))
        for task in tasks
        for switches in product([False, True], repeat=4)
    ]
    print(f"{len(tasks)} tasks x 16 choices of switches\n\n| epochs | no training |\n|---:|---:|")
    for epochs in EPOCHS:
        asked = Configuration(Augmentations(True, True, True, True), True, 1e-4, epochs)
        refused = [check_steps(asked, size) is not None for size in sizes]
        print(f"| {epochs} | {sum(refused) / len(refused):.0%} |")
    if config.without is not None:
        compare(config.without, config.with_bugs)


def compare(without: Path, with_bugs: Path) -> None:
    """Print what the two runs make of the same self-edits."""
    rows = []
    for folder in (without, with_bugs):
        tries = [record for record in read_jsonl(folder / "predictions.jsonl") if "votes" in record]
        views = sum(record["n_views"] for record in tries)
        read = sum(vote["n"] for record in tries for vote in record["votes"])
        rewards = read_jsonl(folder / "rewards.jsonl")
        rejected = [reward for reward in rewards if reward["rejected"]]
        rows.append(
            [
                f"{read / views:.1%} of {views}",
                f"{sum(reward['reward'] for reward in rewards):.0f} of {len(rewards)}",
                f"{sum(reward['reward'] for reward in rejected):.0f} of {len(rejected)}",
            ]
        )
    print("\n| | without | with the defects |\n|---|---:|---:|")
    names = ["answers read as a grid", "self-edits rewarded", "of those that were not trained"]
    for name, ours, theirs in zip(names, *rows, strict=True):
        print(f"| {name} | {ours} | {theirs} |")


if __name__ == "__main__":
    run_program(main, Config)
