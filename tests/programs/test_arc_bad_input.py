"""What can be wrong on ARC: a user's input gets a line on stderr, a policy's self-edit no reward.

Nothing that exists is harmed, and no work is begun with input that cannot be used.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from arc.method.configurations import Rejection, parse_self_edit
from arc.puzzles.tasks import load_tasks
from arc.settings import PromptSettings
from arc.small_world.format_model import save_small_model
from seal.models.untrained import save_untrained_model
from seal.records import read_json, read_jsonl, write_json, write_jsonl
from tests.conformance.golden import golden
from tests.programs.arc_run import write_prompts
from tests.programs.programs import call_program, refusal

MOTH = {
    "train": [
        {"input": [[1, 0], [2, 3]], "output": [[1]]},
        {"input": [[4, 0, 1]], "output": [[4]]},
        {"input": [[7], [0], [1]], "output": [[7]]},
    ],
    "test": [{"input": [[5, 6]]}],
}
TASKS = {"moth": MOTH, "bee": MOTH}
SOLUTIONS = {"moth": [[[5]]], "bee": [[[5]]]}
SMALL = {
    "dtype": "float32",
    "sampler": "transformers",
    "max_answer_tokens": 6,
    "n_permutations": 0,
}
INNER_LOOP = {"lora_rank": 2, "warmup_steps": 1, "max_items": 2, "slots": 8}


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> Path:
    return write_prompts(tmp_path_factory.mktemp("prompts") / "short")


@pytest.fixture(scope="module")
def model(tmp_path_factory, prompts) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_json(folder / "tasks.json", TASKS)
    tasks = load_tasks(folder / "tasks.json")
    settings = PromptSettings(prompts=prompts)
    return save_small_model(folder / "small", tasks, settings, format_steps=1)


@pytest.fixture
def tasks(tmp_path) -> Path:
    """Two tasks with their solutions beside them, in Kaggle's form."""
    write_json(tmp_path / "arc_challenges.json", TASKS)
    write_json(tmp_path / "arc_solutions.json", SOLUTIONS)
    return tmp_path / "arc_challenges.json"


@pytest.fixture
def basics(model, prompts, tasks, tmp_path) -> dict[str, object]:
    return {
        "model": model,
        "prompts": prompts,
        "tasks": tasks,
        "run_dir": tmp_path / "run",
        **SMALL,
    }


@pytest.fixture
def complain(basics, capsys):
    """Run a few-shot program with small settings; returns its one-line error."""

    def run(program: str = "rest_em", **flags: object) -> str:
        if program in ("rest_em", "eval_self_edits", "run_inner_loop"):
            flags = INNER_LOOP | {"k": 1} | flags
        return refusal(capsys, f"few-shot/{program}.py", **basics | flags)

    return run


def with_grid(grid: object) -> dict:
    """The tasks, one of which has this grid."""
    return TASKS | {"moth": MOTH | {"test": [{"input": grid}]}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ('{"moth": ', r"line 1 column"),
        ("[]", "neither one task nor"),
        (json.dumps({}), "no tasks"),
        (json.dumps(with_grid([[0] * 31] * 31)), r"task moth test\[0\] input: .*31 x 31"),
        (json.dumps(with_grid([[0] * 31])), r"1 x 31"),
        (json.dumps(with_grid([[1, 10]])), r"'10'; colours are 0 to 9"),
        (json.dumps(with_grid([[-1]])), r"'-1'; colours"),
        (json.dumps(with_grid([[1.0]])), r"'1.0'; colours"),
        (json.dumps(with_grid([[1, 2], [3]])), r"row 1 has 1 cells, row 0 has 2"),
        (json.dumps(with_grid([])), "there are none"),
        (json.dumps(with_grid("1 2")), "there are none"),
        (json.dumps(TASKS | {"moth": MOTH | {"train": []}}), r'moth: "train" must be'),
        (json.dumps(TASKS | {"moth": MOTH | {"test": []}}), r'moth: "test" must be'),
        (json.dumps(TASKS | {"moth": {"train": MOTH["train"]}}), r'"test" is missing'),
        (json.dumps(TASKS | {"moth": MOTH | {"train": [{"input": [[1]]}]}}), r'"output" is miss'),
        (json.dumps(TASKS | {"moth": 3}), "task moth: expected an object"),
        (json.dumps(TASKS | {"../moth": MOTH}), "is not an id"),
    ],
)
def test_tasks(complain, tasks, tmp_path, content, message):
    if content is None:
        tasks.unlink()
    else:
        tasks.write_text(content)
    error = complain()
    assert tasks.name in error and re.search(message, error), error
    assert not (tmp_path / "run").exists()


def test_folder_of_tasks(complain, tmp_path):
    folder = tmp_path / "tasks"
    folder.mkdir()
    assert "no .json files" in complain(tasks=folder)
    (folder / "moth.json").write_text(json.dumps(MOTH))
    (folder / "bee.json").write_text(json.dumps(MOTH | {"train": [3]}))
    error = complain(tasks=folder)
    assert re.search(r"bee\.json train\[0\]: expected an object", error), error


@pytest.mark.parametrize(
    "program", ["rest_em", "run_inner_loop", "eval_self_edits", "eval_in_context"]
)
def test_solutions(complain, tasks, tmp_path, program):
    own = {"self_edits": "oracle"} if program == "run_inner_loop" else {}
    solutions = tmp_path / "arc_solutions.json"
    solutions.unlink()
    assert "no solution for 2 of 2 tasks, the first moth-0" in complain(program, **own)
    others = tmp_path / "others.json"
    for content, message in [
        ({"wasp": [[[5]]]}, "no solution for 2 of 2 tasks, the first moth"),
        (SOLUTIONS | {"bee": [[[5]], [[5]]]}, "task bee: found 2, and the task has 1 test inputs"),
        (SOLUTIONS | {"bee": [[[12]]]}, r"task bee \[0\]: row 0 holds '12'"),
        ([], "not {id"),
    ]:
        write_json(others, content)
        error = complain(program, solutions=others, **own)
        assert "others.json" in error and re.search(message, error), error
    assert not (tmp_path / "run").exists()


def test_choice_of_tasks(complain, tmp_path):
    error = complain(task_ids="paper-trainig")
    assert "neither a file of ids nor a preset" in error and "paper-training" in error
    assert "is not among the 2 tasks" in complain(task_ids="paper-training")
    ids = tmp_path / "ids.txt"
    ids.write_text("moth\n\nhornet  # no such task\n")
    assert "row 3: 'hornet' is not among the 2 tasks" in complain(task_ids=ids)
    ids.write_text("# none\n")
    assert "no ids" in complain(task_ids=ids)
    assert "3 tasks are wanted, of 2" in complain(n_tasks=3)
    for n_tasks in (0, -1):
        assert f"--n_tasks {n_tasks}: must be at least 1" in complain(n_tasks=n_tasks)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["k", "rounds", "lora_rank", "max_items", "slots", "sft_epochs"])
def test_numbers_that_leave_nothing_to_do(complain, tmp_path, flag):
    assert f"--{flag} 0: must be at least 1" in complain(**{flag: 0})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("tokenizer*", "no tokenizer"),
        ("*.safetensors", "no .safetensors weights"),
        ("*", "no config"),
    ],
)
def test_model_folder(complain, model, tmp_path, missing, message):
    broken = shutil.copytree(model, tmp_path / "broken")
    for path in broken.glob(missing):
        path.unlink()
    for program in ("rest_em", "eval_self_edits"):
        assert message in complain(program, model=broken)
        assert "no such folder" in complain(program, model=tmp_path / "nowhere" / "at" / "all")
    assert message in complain("eval_self_edits", policies=f"seal={broken}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("program", ["eval_in_context", "rest_em"])
def test_model_without_chat_template(complain, tmp_path, program):
    base = save_untrained_model(tmp_path / "base", ["[[1 2]]"], vocab_size=300)
    error = complain(program, model=base)
    assert "has no chat template" in error and "instruct model" in error
    assert list((tmp_path / "run").rglob("*.jsonl")) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("self-edit", None, "no such file"),
        ("predict", None, "no such file"),
        ("self-edit", "How to train?\n", "lacks {examples}"),
        ("predict", "[[prompt]]\n{query}\n", "lacks {demonstrations}"),
        ("predict", "[[prompt]]\n{query}{demonstrations}{task}\n", "nothing fills in {task}"),
        ("predict", "[[user]]\n{query}{demonstrations}\n", r"no section is called \[\[user\]\]"),
    ],
)
def test_prompt_files(complain, prompts, tmp_path, name, text, message):
    own = shutil.copytree(prompts, tmp_path / "own")
    path = own / f"{name}.txt"
    path.unlink()
    if text is not None:
        path.write_text(text)
    error = complain(prompts=own)
    assert path.name in error and re.search(message, error), error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("program", ["run_inner_loop", "eval_self_edits"])
def test_file_of_self_edits(complain, tmp_path, program):
    path = tmp_path / "self_edits.jsonl"
    good = [{"id": f"{name}-0/0", "task_id": f"{name}-0", "text": "{}"} for name in TASKS]
    for rows, message in [
        (None, "no such file"),
        ([*good, {"id": "x"}], "row 3 is not a self-edit"),
        (
            [good[0], good[1] | {"text": 3}],
            r"row 2 is not a self-edit: .text.: input should be a valid string",
        ),
        ([good[0], good[1] | {"loss": 3}], "row 2 is not a self-edit"),
        (good[:1], "task bee-0 has 0 self-edits, 1 are wanted"),
    ]:
        if rows is not None:
            write_jsonl(path, rows)
        error = complain(program, self_edits=path)
        assert path.name in error and re.search(message, error), error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("program", ["run_inner_loop", "eval_self_edits", "solve"])
def test_file_of_the_oracle(basics, tmp_path, capsys, program):
    flags = basics | INNER_LOOP | {"self_edits": "oracle", "k": 1}
    if program == "solve":
        write_json(tmp_path / "moth.json", MOTH)
        flags = {name: value for name, value in flags.items() if name != "tasks"}
        flags["task"] = tmp_path / "moth.json"
    path = tmp_path / "mine.json"
    for text, message in [
        (None, "no such file"),
        ("{}", "data_generation is missing"),
        (self_edit(learning_rate=0), "learning_rate is 0"),
    ]:
        if text is not None:
            path.write_text(text)
        error = refusal(capsys, f"few-shot/{program}.py", **flags | {"oracle_file": path})
        assert path.name in error and message in error, error
    assert not (tmp_path / "run").exists()


def test_labels_of_policies(complain, model, tmp_path):
    assert "give LABEL=MODEL" in complain("eval_self_edits", policies=model).replace(
        "VALUE", "MODEL"
    )
    for label in ("in-context", "self-edits", "oracle"):
        assert "another row has this label" in complain("eval_self_edits", policies=f"{label}=x")
    assert not (tmp_path / "run").exists()


def test_run_folders(complain, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert "holds other files" in complain()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]
    file = tmp_path / "file"
    file.write_text("mine")
    assert "is a file" in complain(run_dir=file)
    # Not even the superuser may write there
    assert str(file / "run") in complain(run_dir=file / "run")
    assert file.read_text() == "mine"


def test_run_of_another_config(complain, basics, tmp_path):
    call_program("few-shot/eval_in_context.py", **basics)
    before = (tmp_path / "run" / "results.json").read_bytes()
    error = complain("eval_in_context", n_permutations=1)
    assert "n_permutations was 0, now 1" in error
    assert (tmp_path / "run" / "results.json").read_bytes() == before


def test_one_task_to_solve(basics, tmp_path, capsys):
    path = tmp_path / "moth.json"
    write_json(path, MOTH)
    flags = {name: value for name, value in basics.items() if name != "tasks"}
    flags |= INNER_LOOP | {"task": path}
    for test, told in [(1, "has 1 test inputs"), (-1, "must be at least 0")]:
        error = refusal(capsys, "few-shot/solve.py", **flags | {"test": test})
        assert f"--test {test}" in error and told in error
    missing = flags | {"task": tmp_path / "wasp.json"}
    assert "no such file" in refusal(capsys, "few-shot/solve.py", **missing)
    assert not (tmp_path / "run").exists()


def test_small_model_replaces_nothing(tasks, prompts, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    flags = {"tasks": tasks, "prompts": prompts, "output": tmp_path / "mine", "format_steps": 1}
    error = refusal(capsys, "few-shot/make_small_model.py", **flags)
    assert "exists and is not a model folder" in error
    assert list((tmp_path / "mine").iterdir()) == []


# What a policy can get wrong


def self_edit(**changes: object) -> str:
    """A valid self-edit; `changes` replace entries of its second section, None removes them."""
    training = {
        "strategy": "train_using_output_tokens",
        "learning_rate": 0.001,
        "num_train_epochs": 1,
    }
    training = {name: value for name, value in (training | changes).items() if value is not None}
    names = ("basic", "size", "chain", "repeat")
    switches = {f"use_{name}_augmentations": False for name in names}
    return json.dumps({"data_generation": switches, "training": training})


# Text of a self-edit to what is said of it; None where it is trained
SAID = {
    self_edit(): None,
    self_edit(num_train_epochs=0.5): None,
    self_edit(num_train_epochs=True): None,
    self_edit(learning_rate=1e30): None,
    self_edit(learning_rate=1e-300): None,
    self_edit(remark="more is better"): None,
    f"  {self_edit()}\n": None,
    "": "not JSON",
    "I would train for two epochs.": "not JSON",
    self_edit() + "#": "not JSON",
    self_edit()[:-1]: "not JSON",
    f"```json\n{self_edit()}\n```": "not JSON",
    "[" * 100_000: "not JSON",
    "[]": "not a JSON object",
    "null": "not a JSON object",
    "{}": "data_generation is missing",
    '{"data_generation": {}}': "training is missing",
    '{"data_generation": [], "training": {}}': "data_generation is not an object",
    '{"data_generation": {}, "training": {}}': "use_basic_augmentations is missing",
    self_edit(remark=[1]): "training holds a list or an object",
    self_edit(strategy=None): "strategy is missing",
    self_edit(strategy="train_on_everything"): "strategy is unknown",
    self_edit(strategy="\ud800"): "strategy is unknown",
    self_edit(learning_rate="1e-4"): "learning_rate is not a number",
    self_edit(learning_rate=True): "learning_rate is not a number",
    self_edit(learning_rate=-0.1): "learning_rate is negative",
    self_edit(learning_rate=0): "learning_rate is 0",
    self_edit(learning_rate=float("nan")): "learning_rate is not finite",
    self_edit(num_train_epochs="2"): "num_train_epochs is not a number",
    self_edit(num_train_epochs=0): "num_train_epochs is not above 0",
    self_edit(num_train_epochs=-3): "num_train_epochs is not above 0",
    self_edit(num_train_epochs=float("inf")): "num_train_epochs is not finite",
    self_edit(num_train_epochs=10**400): "num_train_epochs is not finite",
    self_edit(num_train_epochs=6): "more than 5 steps",
    self_edit(num_train_epochs=1e300): "more than 5 steps",
}


def rewards_of(basics: dict, texts: list[str], tmp_path: Path) -> dict[str, dict]:
    """Text to its reward, for self-edits of one task."""
    path, ids = tmp_path / "self_edits.jsonl", tmp_path / "ids.txt"
    ids.write_text("moth\n")
    # Plain JSON, as texts may hold what no file of ours does
    rows = [{"id": f"moth-0/{n}", "task_id": "moth-0", "text": t} for n, t in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = basics | INNER_LOOP | {"self_edits": path, "task_ids": ids, "k": len(texts)}
    call_program("few-shot/run_inner_loop.py", **flags, max_steps=5)
    rewards = read_jsonl(tmp_path / "run" / "rewards.jsonl")
    assert [reward["id"] for reward in rewards] == [row["id"] for row in rows]
    results = read_json(tmp_path / "run" / "results.json")
    assert results["n_rejected"] == sum(reward["rejected"] is not None for reward in rewards)
    return dict(zip(texts, rewards, strict=True))


def test_every_kind_of_self_edit(basics, tmp_path):
    rewards = rewards_of(basics, list(SAID), tmp_path)
    assert {text: reward["rejected"] for text, reward in rewards.items()} == SAID
    assert all(reward["reward"] == 0 for text, reward in rewards.items() if SAID[text])


def test_self_edits_of_the_records(basics, tmp_path):
    texts = list(dict.fromkeys(record["response"] for record in golden("a7_config_rules")))
    for text, reward in rewards_of(basics, texts, tmp_path).items():
        said = parse_self_edit(text)
        if isinstance(said, Rejection):
            assert (reward["rejected"], reward["reward"]) == (said.reason, 0), text
            assert reward["trial_id"] is None
        else:
            long = said.epochs >= 6  # of one step each, as two examples are one batch
            assert reward["rejected"] == ("more than 5 steps" if long else None), text
