"""ReST-EM on real ARC tasks with a small model: the command line, and what it must leave."""

import random
from pathlib import Path
from unittest import mock

from arc.method.configurations import Configuration, parse_self_edit
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.tasks import Task, load_tasks, select_tasks
from arc.settings import PromptSettings
from arc.small_world.format_model import save_small_model
from seal.records import read_json, read_jsonl
from tests.programs.programs import flag_words
from tests.support.data import shared_data

PROGRAM = "few-shot/rest_em.py"
TASK_IDS = ("44f52bb0", "6150a2bd")
"""The two smallest of the release's training tasks. The first has two test inputs with one cell to
predict in each, so that a small model solves it now and then."""


def write_prompts(folder: Path) -> Path:
    """Prompt files of a line each: most of what the shipped ones cost a small model is wording."""
    folder.mkdir()
    (folder / "self-edit.txt").write_text("{examples}How to train?\n")
    (folder / "predict.txt").write_text("[[system]]\n{demonstrations}\n[[prompt]]\n{query}\n")
    return folder


def challenges() -> Path:
    """ARC's training tasks; the calling test is skipped where they are absent."""
    return shared_data("arc/arc-agi_training_challenges.json")


def write_task_ids(folder: Path) -> Path:
    """A file for --task_ids."""
    path = folder / "task_ids.txt"
    path.write_text("\n".join(TASK_IDS))
    return path


def arc_tasks(folder: Path) -> list[Task]:
    """The tasks that are run, with their targets."""
    return select_tasks(load_tasks(challenges()), str(write_task_ids(folder)), None, 0)


def arc_model(folder: Path) -> Path:
    """A small model in `folder`/model for the prompts in `folder`/prompts.

    Its self-edits are such that about every third inner loop solves a task of one cell.
    """
    prompts = PromptSettings(prompts=write_prompts(folder / "prompts"))
    with mock.patch("arc.small_world.format_model.random_configuration", _hopeful_configuration):
        return save_small_model(folder / "model", arc_tasks(folder), prompts, format_steps=100)


def _hopeful_configuration(rng: random.Random) -> Configuration:
    """Mostly without augmentations: they permute the colours, of which a small model learns two."""
    augmented = rng.random() < 0.2
    return Configuration(
        augmentations=Augmentations(*(augmented and rng.random() < 0.5 for _ in range(4))),
        loss_on_all_tokens=rng.random() < 0.1,
        learning_rate=rng.choice((0.03, 0.01)),
        epochs=rng.choice((3, 4)),
    )


def small_settings(folder: Path) -> dict[str, object]:
    """Flags for the model in `folder` that every program with an inner loop has."""
    return {
        "model": folder / "model",
        "prompts": folder / "prompts",
        "dtype": "float32",
        "sampler": "transformers",
        "n_permutations": 0,
        "max_answer_tokens": 26,  # a grid of 3 x 3
        "max_items": 12,
        "warmup_steps": 2,
        "lora_rank": 8,
        "lora_alpha": 64,
        "slots": 3,
    }


def rest_em_arguments(folder: Path, run_dir: Path, **flags: object) -> list[str]:
    """A command line for the program and the model in `folder`; `flags` override small settings."""
    settings = (
        small_settings(folder)
        | {
            "tasks": challenges(),
            "task_ids": write_task_ids(folder),
            "run_dir": run_dir,
            "temperature": 1.2,  # so that some self-edits are invalid
            "max_attempts": 3,
            "sft_epochs": 2,
        }
        | flags
    )
    return flag_words(settings)


def check_run_folder(
    run_dir: Path, tasks: list[Task], *, k: int, rounds: int, trained_again: bool = False
) -> None:
    """Assert that every file of a finished run is there, complete, and agrees with the others.

    `trained_again`: the run was killed, so that some adapters may have been trained twice.
    """
    results = read_json(run_dir / "results.json")["rounds"]
    assert [entry["round"] for entry in results] == list(range(1, rounds + 1))
    assert (run_dir / "rounds.png").read_bytes().startswith(b"\x89PNG")
    policies = [read_json(run_dir / "config.json")["model"]]
    for entry in results:
        folder = run_dir / f"round-{entry['round']}"
        check_round(folder, entry, tasks, k)
        if entry["n_rewarded"]:
            job = read_json(folder / "sft" / "job.json")
            assert job["model"] == policies[-1], "each round goes on from the one before"
            policies.append(str(folder / "sft" / "model"))
    trained = [e for e in read_jsonl(run_dir / "metrics.jsonl") if e["event"] == "adapter"]
    adapters = sum(entry["n_inner_loops"] for entry in results)
    assert len(trained) >= adapters if trained_again else len(trained) == adapters
    # On average: an adapter's first and last step may see different examples
    assert sum(event["last_loss"] - event["first_loss"] for event in trained) < 0


def check_round(folder: Path, entry: dict, tasks: list[Task], k: int) -> None:
    """Assert that the records of a round give its results, reward by reward."""
    self_edits = read_jsonl(folder / "self_edits.jsonl")
    predictions = {record["id"]: record for record in read_jsonl(folder / "predictions.jsonl")}
    rewards = read_jsonl(folder / "rewards.jsonl")
    ids = [f"{task.id}/{number}" for task in tasks for number in range(k)]
    assert [self_edit["id"] for self_edit in self_edits] == ids
    assert [reward["id"] for reward in rewards] == ids
    assert len(predictions) == len(read_jsonl(folder / "predictions.jsonl"))
    parsed = {record["id"]: parse_self_edit(record["text"]) for record in self_edits}
    targets = {task.id: task.target for task in tasks}
    for reward in rewards:
        said = parsed[reward["id"]]
        if not isinstance(said, Configuration):
            assert (reward["trial_id"], reward["rejected"]) == (None, said.reason)
            assert reward["reward"] == 0
            continue
        trial = predictions[reward["trial_id"]]
        assert parsed[trial["id"]] == said, "self-edits that say the same share an inner loop"
        assert trial["task_id"] == reward["task_id"]
        assert reward["rejected"] == trial.get("rejection", {}).get("reason")
        assert reward["reward"] == (targets[reward["task_id"]] in grids(trial))
    trials = {reward["trial_id"] for reward in rewards} - {None}
    in_context = {f"{task.id}/in-context" for task in tasks}
    assert predictions.keys() == trials | in_context
    rewarded = [reward["id"] for reward in rewards if reward["reward"]]
    tried = [record for record in predictions.values() if "rejection" not in record]
    for record in tried:
        assert len(record["attempts"]) in (0, 2)
        assert sum(vote["n"] for vote in record["votes"]) <= record["n_views"]
    views = {(record["task_id"], record["n_views"]) for record in tried}
    assert len(views) == len(tasks), "every policy and adapter sees a task from the same views"
    solved = [targets[id.split("/")[0]] in grids(predictions[id]) for id in sorted(in_context)]
    assert entry["n_tasks"] == len(tasks) and entry["n_self_edits"] == len(ids)
    assert entry["n_inner_loops"] == len(tried) - len(tasks)
    assert entry["n_rejected"] == sum(reward["rejected"] is not None for reward in rewards)
    assert entry["in_context_success_rate"] == round(sum(solved) / len(tasks), 4)
    assert entry["success_rate"] == round(len(rewarded) / len(ids), 4)
    assert entry["n_rewarded"] == entry["n_selected"] == len(rewarded)
    assert not (folder / "adapters").exists(), "adapters are removed once they have predicted"
    assert (folder / "sft" / "model" / "model.safetensors").exists() == bool(rewarded)
    if rewarded:
        rows = read_jsonl(folder / "sft" / "rows.jsonl")
        texts = {record["id"]: record["text"] for record in self_edits}
        assert [row["completion"] for row in rows] == [texts[id].strip() for id in rewarded]


def grids(record: dict) -> list[tuple]:
    """The attempts of a record of predictions.jsonl, as targets are written."""
    return [tuple(map(tuple, grid)) for grid in record["attempts"]]
