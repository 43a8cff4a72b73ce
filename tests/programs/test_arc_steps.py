"""Every few-shot program runs on the example tasks, with files of one as input of the next."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from arc.method.configurations import Configuration, load_oracle, parse_self_edit, to_json
from arc.method.knobs import format_knobs, knob_shares
from arc.method.prediction import solution_of, task_views
from arc.method.prompts import prediction_prompt
from arc.puzzles.tasks import load_tasks
from arc.settings import PredictionSettings
from seal.models.load import load_model, load_tokenizer
from seal.records import read_json, read_jsonl, write_json, write_jsonl
from tests.programs.arc_run import write_prompts
from tests.programs.programs import call_program
from tests.support.data import REPOSITORY

EXAMPLES = REPOSITORY / "few-shot" / "examples"
# Three test inputs, one of which is to become a single cell
TASKS = ["color-of-three-corners-0", "swap-two-colors-0", "swap-two-colors-1"]
ONE_CELL = TASKS[0]
SMALL = {
    "dtype": "float32",
    "sampler": "transformers",
    "max_answer_tokens": 62,  # a grid of 5 x 5
    "n_permutations": 0,
}
INNER_LOOP = {"lora_rank": 8, "lora_alpha": 64, "warmup_steps": 2, "max_items": 8, "slots": 3}
SAMPLING = {"temperature": 0.5, "max_attempts": 3}
PLAIN = {
    "data_generation": {
        f"use_{name}_augmentations": False for name in ("basic", "size", "chain", "repeat")
    },
    "training": {
        "strategy": "train_using_output_tokens",
        "learning_rate": 0.03,
        "num_train_epochs": 4,
    },
}
# So long and so slow that every seed and processor ends with an answer of one cell to every view
THOROUGH = PLAIN | {"training": PLAIN["training"] | {"learning_rate": 0.01, "num_train_epochs": 12}}


def run(program: str, switches: tuple[str, ...] = (), **flags: object) -> None:
    call_program(f"few-shot/{program}.py", switches, **flags)


@pytest.fixture(scope="module")
def basics(tmp_path_factory) -> dict[str, object]:
    """Flags of all programs: model, prompts, tasks."""
    folder = tmp_path_factory.mktemp("basics")
    ids = folder / "ids.txt"
    ids.write_text("color-of-three-corners  # one cell\nswap-two-colors\n")
    flags = {"prompts": write_prompts(folder / "prompts"), "tasks": EXAMPLES, "task_ids": ids}
    run("make_small_model", output=folder / "model", **flags)
    return {"model": folder / "model", **flags}


@pytest.fixture(scope="module")
def self_edits(basics, tmp_path_factory) -> Path:
    run_dir = tmp_path_factory.mktemp("self-edits")
    sampling = {name: SMALL[name] for name in ("dtype", "sampler")} | SAMPLING
    run("generate_self_edits", run_dir=run_dir, k=3, **basics, **sampling)
    records = read_jsonl(run_dir / "self_edits.jsonl")
    assert [record["id"] for record in records] == [f"{t}/{n}" for t in TASKS for n in range(3)]
    valid = [isinstance(parse_self_edit(r["text"]), Configuration) for r in records]
    results = read_json(run_dir / "results.json")
    assert results["n_rejected"] == sum(results["rejected"].values()) == 9 - sum(valid)
    assert sum(valid) > 4, "the small model knows how self-edits look"
    return run_dir / "self_edits.jsonl"


@pytest.fixture(scope="module")
def rewards(basics, self_edits, tmp_path_factory) -> Path:
    """The folder of a run_inner_loop.py run on the self-edits."""
    run_dir = tmp_path_factory.mktemp("rewards")
    run(
        "run_inner_loop",
        run_dir=run_dir,
        self_edits=self_edits,
        k=3,
        **basics,
        **SMALL,
        **INNER_LOOP,
    )
    return run_dir


def write_self_edits(path: Path, *texts: str) -> Path:
    """The same self-edits for every task."""
    rows = [
        {"id": f"{task}/{number}", "task_id": task, "text": text}
        for task in TASKS
        for number, text in enumerate(texts)
    ]
    write_jsonl(path, rows)
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    """What a run found, without what it notes about its starts."""
    noted = {"environment.json", "log.txt", "metrics.jsonl", "config.json"}
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in noted and path.suffix != ".diff"
    ]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_small_model_is_made_once(basics, capsys):
    before = files_of(basics["model"])
    flags = {name: basics[name] for name in ("prompts", "tasks", "task_ids")}
    run("make_small_model", output=basics["model"], format_steps=1, **flags)
    assert "is there already" in capsys.readouterr().out
    assert files_of(basics["model"]) == before


def test_rewards_of_sampled_self_edits(basics, self_edits, rewards):
    sampled = read_jsonl(self_edits)
    earned = read_jsonl(rewards / "rewards.jsonl")
    assert [reward["id"] for reward in earned] == [record["id"] for record in sampled]
    results = read_json(rewards / "results.json")
    trials = {reward["trial_id"] for reward in earned} - {None}
    assert results["n_self_edits"] == 9 and results["n_inner_loops"] == len(trials) > 0
    rewarded = [
        record["text"].strip()
        for record, reward in zip(sampled, earned, strict=True)
        if reward["reward"]
    ]
    assert [row["completion"] for row in read_jsonl(rewards / "sft.jsonl")] == rewarded
    # A second start has nothing left to do and says the same
    before = files_of(rewards)
    run(
        "run_inner_loop",
        run_dir=rewards,
        self_edits=self_edits,
        k=3,
        **basics,
        **SMALL,
        **INNER_LOOP,
    )
    assert files_of(rewards) == before


def test_table_with_other_policies_and_the_oracle(basics, rewards, tmp_path, capsys):
    flags = {"run_dir": tmp_path, "k": 3, "policies": f"again={basics['model']}"}
    run("eval_self_edits", ("--oracle",), **flags, **basics, **SMALL, **INNER_LOOP, **SAMPLING)
    results = read_json(tmp_path / "results.json")
    labels = ["in-context", "self-edits", "again", "oracle"]
    assert [row["label"] for row in results["rows"]] == labels
    assert [row["n_trials"] for row in results["rows"]] == [3, 9, 9, 9]
    # The same model, seed and tasks: equal rewards, whether self-edits are sampled or read
    expected = (rewards / "rewards.jsonl").read_bytes()
    for label in ("self-edits", "again"):
        assert (tmp_path / label / "rewards.jsonl").read_bytes() == expected
    knobs = {
        label: knob_shares(
            parse_self_edit(record["text"])
            for record in read_jsonl(tmp_path / label / "self_edits.jsonl")
        )
        for label in ("self-edits", "again")
    }
    assert results["knobs"] == knobs
    assert (tmp_path / "knobs.md").read_text() == format_knobs(knobs) + "\n"
    hand_made = read_jsonl(tmp_path / "oracle" / "rewards.jsonl")
    assert {reward["rejected"] for reward in hand_made} == {None}
    assert len({reward["trial_id"] for reward in hand_made}) == 9, "each has seeds of its own"
    said = capsys.readouterr().out
    for name in ("table.md", "tasks.md"):
        table = (tmp_path / name).read_text()
        assert table.strip() in said and all(label in table for label in labels)
    before = files_of(tmp_path)
    run("eval_self_edits", ("--oracle",), **flags, **basics, **SMALL, **INNER_LOOP, **SAMPLING)
    assert files_of(tmp_path) == before


def test_the_oracle_is_the_preset(basics, tmp_path):
    flags = {"k": 1, **basics, **SMALL, **INNER_LOOP}
    run("run_inner_loop", run_dir=tmp_path / "oracle", self_edits="oracle", **flags)
    file = write_self_edits(tmp_path / "self_edits.jsonl", to_json(load_oracle()))
    run("run_inner_loop", run_dir=tmp_path / "file", self_edits=file, **flags)
    run("eval_self_edits", run_dir=tmp_path / "table", self_edits="oracle", **flags, **SAMPLING)
    expected = (tmp_path / "oracle" / "predictions.jsonl").read_bytes()
    assert (tmp_path / "file" / "predictions.jsonl").read_bytes() == expected
    rows = read_json(tmp_path / "table" / "results.json")["rows"]
    assert [row["label"] for row in rows] == ["in-context", "oracle"]
    found = read_jsonl(tmp_path / "table" / "oracle" / "predictions.jsonl")
    wanted = read_jsonl(tmp_path / "oracle" / "predictions.jsonl")
    assert sorted(found, key=str) == sorted(wanted, key=str)
    # Nothing was sampled of which there could be a distribution
    assert not (tmp_path / "table" / "knobs.md").exists()


def test_the_oracle_may_be_of_a_file(basics, tmp_path):
    write_json(tmp_path / "mine.json", PLAIN)
    flags = {"self_edits": "oracle", "oracle_file": tmp_path / "mine.json", "k": 1}
    run("run_inner_loop", run_dir=tmp_path / "run", **flags, **basics, **SMALL, **INNER_LOOP)
    metrics = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    # 8 examples in batches of 2, for as many epochs as this file says
    epochs = PLAIN["training"]["num_train_epochs"]
    assert {event["steps"] for event in metrics if event["event"] == "adapter"} == {4 * epochs}


def test_solved_tasks_can_be_chosen(basics, tmp_path):
    """What is said once is made the target, so that it is right when it is said again."""
    file = write_self_edits(tmp_path / "self_edits.jsonl", json.dumps(THOROUGH))
    flags = {"self_edits": file, "k": 1, **SMALL, **INNER_LOOP}
    run("run_inner_loop", run_dir=tmp_path / "before", **basics, **flags)
    said = read_jsonl(tmp_path / "before" / "predictions.jsonl")
    attempt = next(record["attempts"][-1] for record in said if record["id"] == f"{ONE_CELL}/0")
    tasks = shutil.copytree(EXAMPLES, tmp_path / "tasks")
    path = tasks / "color-of-three-corners.json"
    content = read_json(path)
    content["test"][0]["output"] = attempt
    write_json(path, content)
    run(
        "eval_self_edits",
        run_dir=tmp_path / "table",
        **(basics | {"tasks": tasks}),
        **flags,
        **SAMPLING,
    )
    solved = tmp_path / "table" / "self-edits" / "solved.txt"
    assert ONE_CELL in solved.read_text().split()
    chosen = basics | {"tasks": tasks, "task_ids": solved}
    run("eval_in_context", run_dir=tmp_path / "chosen", **chosen, **SMALL)
    results = read_json(tmp_path / "chosen" / "results.json")
    assert list(results["successes_by_task"]) == solved.read_text().split()
    assert (tmp_path / "chosen" / "solved.txt").exists()


def test_a_control_learns_what_earned_nothing(basics, tmp_path):
    flags = {"selection": "all", "k": 2, "sft_epochs": 1, **basics}
    run("rest_em", run_dir=tmp_path, **flags, **SMALL, **INNER_LOOP, **SAMPLING)
    (result,) = read_json(tmp_path / "results.json")["rounds"]
    folder = tmp_path / "round-1"
    valid = [r["id"] for r in read_jsonl(folder / "rewards.jsonl") if r["rejected"] is None]
    assert result["n_selected"] == len(valid) > result["n_rewarded"]
    texts = {r["id"]: r["text"].strip() for r in read_jsonl(folder / "self_edits.jsonl")}
    completions = [row["completion"] for row in read_jsonl(folder / "sft" / "rows.jsonl")]
    assert completions == [texts[id] for id in valid]
    assert (folder / "sft" / "model" / "model.safetensors").exists()
    assert result["selected_knobs"] == knob_shares(parse_self_edit(texts[id]) for id in valid)
    # A second start keeps what the first one found
    before = files_of(tmp_path)
    run("rest_em", run_dir=tmp_path, **flags, **SMALL, **INNER_LOOP, **SAMPLING)
    del before["rounds.png"]
    assert before.items() <= files_of(tmp_path).items()


def test_solve_draws_and_keeps_an_adapter_that_peft_loads(basics, tmp_path, capsys):
    file = write_self_edits(tmp_path / "self_edits.jsonl", "no JSON", json.dumps(THOROUGH))
    of_model = {name: basics[name] for name in ("model", "prompts")}
    flags = {"task": EXAMPLES / "color-of-three-corners.json", "self_edits": file, "k": 2}
    run_dir = tmp_path / "run"
    run("solve", run_dir=run_dir, **flags, **of_model, **SMALL, **INNER_LOOP)
    assert (run_dir / "task.png").read_bytes().startswith(b"\x89PNG")
    results = read_json(run_dir / "results.json")
    assert results["task"] == ONE_CELL and results["rejected"] is None
    assert results["after"] and results["after"] != results["before"]
    assert "attempt 1" in capsys.readouterr().out

    # What was said after is what the kept adapter says in PEFT
    (task,) = load_tasks(flags["task"])
    settings = PredictionSettings(prompts=basics["prompts"], n_permutations=0)
    tokenizer = load_tokenizer(str(basics["model"]))
    model = load_model(str(basics["model"]), "float32", "cpu")
    model = PeftModel.from_pretrained(model, run_dir / "adapter")
    views = task_views(task, settings, seed=0)
    answers = []
    for view in views:
        prompt = prediction_prompt(view.demonstrations, view.input, settings, tokenizer)
        ids = torch.tensor([prompt])
        said = model.generate(ids, max_new_tokens=SMALL["max_answer_tokens"], do_sample=False)
        answers.append(tokenizer.decode(said[0, len(prompt) :], skip_special_tokens=True))
    attempts = [list(map(list, grid)) for grid in solution_of(views, answers).attempts]
    assert attempts == results["after"]

    before = files_of(run_dir)
    run("solve", run_dir=run_dir, **flags, **of_model, **SMALL, **INNER_LOOP)
    assert files_of(run_dir) == before


def test_solve_says_why_there_is_no_training(basics, tmp_path, capsys):
    of_model = {name: basics[name] for name in ("model", "prompts")}
    flags = {"task": EXAMPLES / "swap-two-colors.json", "test": 1, "k": 1}
    file = write_self_edits(tmp_path / "self_edits.jsonl", '{"training": {}}')
    run(
        "solve",
        run_dir=tmp_path / "run",
        self_edits=file,
        **flags,
        **of_model,
        **SMALL,
        **INNER_LOOP,
    )
    results = read_json(tmp_path / "run" / "results.json")
    assert results["task"] == "swap-two-colors-1" and results["after"] is None
    assert results["rejected"] == "data_generation is missing"
    assert "no training: data_generation is missing" in capsys.readouterr().out
    assert (tmp_path / "run" / "task.png").exists()
    assert not (tmp_path / "run" / "adapter").exists()


def test_release_bugs_change_what_is_said(basics, tmp_path):
    moved = PLAIN | {
        "data_generation": PLAIN["data_generation"] | {"use_basic_augmentations": True}
    }
    file = write_self_edits(tmp_path / "self_edits.jsonl", json.dumps(moved))
    said = []
    for switches in ((), ("--release_bugs",)):
        run_dir = tmp_path / f"run{len(switches)}"
        flags = {"run_dir": run_dir, "self_edits": file, "k": 1, **basics, **SMALL}
        run("run_inner_loop", switches, **flags, **INNER_LOOP | {"max_items": 24})
        said.append((run_dir / "predictions.jsonl").read_text())
    assert said[0] != said[1]
