"""A run goes on only with the inputs that it began with; every other one is refused by its name."""

import gc
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seal.errors import UserError
from seal.prompt_files import load_prompt
from seal.records import read_json, write_json, write_jsonl, write_text
from tests.programs.programs import flag_words, load_program, parse_command
from tests.support.data import REPOSITORY

KNOWLEDGE, FEW_SHOT = "general-knowledge", "few-shot"
OPENERS = (
    "seal.loop.policy.open_policy",
    "knowledge.method.writers.open_policy",
    "knowledge.experiments.continued_pretraining.open_policy",
)
"""Where programs get the function that loads a policy."""

KNOWLEDGE_FLAGS = {
    "rest_em": ["passages", "n_passages", "n_validation", "rounds"],
    "generate_self_edits": ["passages", "n_passages"],
    "run_inner_loop": ["passages", "n_passages", "self_edits"],
    "eval_single_passage": ["passages", "n_passages", "self_edit_files", "policies"],
    "run_continual": ["passages", "n_passages", "sequences", "runs"],
    "run_cpt": ["passages", "n_passages", "self_edits"],
    "generate_entigraph": ["passages", "n_passages"],
    "adapt": ["passage_file", "question"],
}
FEW_SHOT_FLAGS = {
    "rest_em": ["tasks", "task_ids"],
    "generate_self_edits": ["tasks", "task_ids"],
    "run_inner_loop": ["tasks", "task_ids", "self_edits"],
    "eval_self_edits": ["tasks", "task_ids", "policies", "oracle", "oracle_file"],
    "eval_in_context": ["tasks", "task_ids"],
    "solve": ["task"],
}


def write_inputs(folder: Path) -> dict[str, object]:
    """Everything that a program can read, in `folder`; returns the flags that name it."""
    for tree, name in [(KNOWLEDGE, "knowledge"), (FEW_SHOT, "few-shot")]:
        shutil.copytree(REPOSITORY / tree / "small_model/model", folder / name / "model")
        shutil.copytree(REPOSITORY / tree / "small_model/model", folder / name / "policy")
        shutil.copytree(REPOSITORY / tree / "prompts", folder / name / "prompts")
    passages = folder / "passages.json"
    shutil.copy(REPOSITORY / KNOWLEDGE / "examples/passages.json", passages)
    from knowledge.data.passages import load_passages

    for file in ("self_edits.jsonl", "other.jsonl"):
        write_jsonl(folder / file, [_self_edit(passage.id) for passage in load_passages(passages)])
    write_text(folder / "news.txt", "The harbour opened in May.\n")
    tasks = REPOSITORY / FEW_SHOT / "examples"
    shutil.copytree(tasks, folder / "tasks")
    ids = sorted(path.stem for path in tasks.glob("*.json"))[:3]
    write_text(folder / "ids.txt", "\n".join(ids) + "\n")
    shutil.copy(REPOSITORY / FEW_SHOT / "presets/oracle.json", folder / "oracle.json")
    text = (folder / "oracle.json").read_text()
    own = [{"id": f"{id}-0/0", "task_id": f"{id}-0", "text": text} for id in ids]
    write_jsonl(folder / "configurations.jsonl", own)
    return {"n_passages": 2, "n_validation": 1, "rounds": 2, "sequences": 1, "runs": 2} | {
        "passages": passages,
        "passage_file": folder / "news.txt",
        "question": "When did it open?",
        "self_edit_files": f"given={folder / 'other.jsonl'}",
        "tasks": folder / "tasks",
        "task": folder / "tasks" / f"{ids[0]}.json",
        "task_ids": folder / "ids.txt",
        "oracle": True,
        "oracle_file": folder / "oracle.json",
    }


def _self_edit(passage_id: str) -> dict[str, object]:
    ids = {"id": f"{passage_id}/implications/0", "passage_id": passage_id}
    text = {"kind": "implications", "text": "It is so.", "finish_reason": "stop", "n_tokens": 3}
    return ids | text


@pytest.fixture
def start(tmp_path, monkeypatch) -> Callable[..., None]:
    """start(tree, program): start it until it would load a policy; UserError if it refuses."""
    flags = write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)

    class Loading(Exception):
        pass

    def load(*_arguments: object, **_more: object) -> None:
        raise Loading

    for opener in OPENERS:
        monkeypatch.setattr(opener, load)

    def start(tree: str, program: str, **changed: object) -> None:
        folder = tmp_path / ("knowledge" if tree == KNOWLEDGE else "few-shot")
        names = (KNOWLEDGE_FLAGS if tree == KNOWLEDGE else FEW_SHOT_FLAGS)[program]
        own = {
            **{"run_dir": tmp_path / "run", "model": folder / "model", "sampler": "transformers"},
            **{"dtype": "float32", "prompts": folder / "prompts"},
            **{name: flags[name] for name in names if name in flags},
        }
        if "self_edits" in names:
            file = "self_edits.jsonl" if tree == KNOWLEDGE else "configurations.jsonl"
            own |= {"self_edits": tmp_path / file, "k": 1}
        if "policies" in names:
            own |= {"policies": f"other={folder / 'policy'}", "k": 1}
        if program == "generate_entigraph":
            own |= {"max_new_tokens": 16}
        own |= changed
        load_prompt.cache_clear()
        config = parse_command(f"{tree}/{program}.py", flag_words(own))
        try:
            load_program(tree, program).main(config)
        except Loading:
            pass
        finally:
            gc.collect()  # closes the run's lock

    return start


# Changes of an input: the file, and what becomes of it


def edit_json(change: Callable[[object], object]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        value = read_json(path)
        value = change(value) or value
        write_json(path, value)

    return edit


def set_in(*place: object, to: object) -> Callable[[Path], None]:
    """Another value at a place in a JSON file."""

    def change(value: object) -> None:
        *way, last = place
        for step in way:
            value = value[step]
        value[last] = to

    return edit_json(change)


def everywhere(change: Callable[[dict], None]) -> Callable[[Path], None]:
    return edit_json(lambda entries: [change(entry) for entry in entries] and None)


def append(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(path.read_text() + text)


def in_text(before: str, after: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))

    return edit


def change_one_weight(path: Path) -> None:
    weights = load_file(path)
    name = sorted(weights)[-1]
    weights[name].view(-1)[0] += torch.tensor(0.001, dtype=weights[name].dtype)
    save_file(weights, path, {"format": "pt"})


PASSAGES = {
    "gold answers": everywhere(lambda p: [q.update(answer="x") for q in p["questions"]]),
    "questions": everywhere(lambda p: [q.update(question="What?") for q in p["questions"]]),
    "a question added": everywhere(
        lambda p: p["questions"].append({"question": "Who?", "answer": "no one"})
    ),
    "contexts": everywhere(lambda p: p.update(context=p["context"] + " So it is.")),
    "titles": everywhere(lambda p: p.update(title=p["title"] + "s")),
    "order": edit_json(lambda entries: entries[::-1]),
    "one removed": edit_json(lambda entries: entries[:-1]),
}
MODEL = {
    "config.json": set_in("rms_norm_eps", to=0.01),
    "generation_config.json": set_in("max_length", to=77),
    "tokenizer.json": append(" "),
    "model.safetensors": change_one_weight,
}
PROMPT = append("Be brief.\n")
CELL = set_in("train", 0, "input", 0, 0, to=9)

CASES: list[tuple[str, str, str, Callable[[Path], None], str]] = [
    *(
        (KNOWLEDGE, program, "passages.json", change, "--passages")
        for program in ("rest_em", "generate_self_edits")
        for change in PASSAGES.values()
    ),
    *(
        (KNOWLEDGE, program, "passages.json", PASSAGES[which], "--passages")
        for program in ("run_inner_loop", "eval_single_passage", "run_cpt")
        for which in ("gold answers", "questions", "order")  # others change ids of self-edits
    ),
    *(
        (KNOWLEDGE, program, "passages.json", PASSAGES[which], "--passages")
        for program in ("run_continual", "generate_entigraph")
        for which in ("contexts", "order")
    ),
    *(
        (KNOWLEDGE, program, f"knowledge/prompts/{file}.txt", PROMPT, f"--prompts {{}} {file}.txt")
        for program, file in [
            ("rest_em", "implications"),
            ("rest_em", "answer"),
            ("generate_self_edits", "implications"),
            ("run_inner_loop", "implications"),
            ("run_inner_loop", "answer"),
            ("eval_single_passage", "answer"),
            ("run_continual", "answer"),
            ("run_cpt", "answer"),
            ("adapt", "implications"),
            ("adapt", "answer"),
        ]
    ),
    (KNOWLEDGE, "generate_entigraph", "knowledge/prompts/entigraph-pair.txt", PROMPT, "--prompts"),
    *(
        (KNOWLEDGE, program, "self_edits.jsonl", in_text("It is so.", "It is not."), "--self_edits")
        for program in ("run_inner_loop", "run_cpt")
    ),
    (
        *(KNOWLEDGE, "eval_single_passage", "other.jsonl"),
        *(in_text("It is so.", "It is not."), "--self_edit_files"),
    ),
    (KNOWLEDGE, "adapt", "news.txt", append("It closed.\n"), "--passage_file"),
    *(
        (KNOWLEDGE, program, f"knowledge/model/{file}", change, "--model")
        for program in ("rest_em", "adapt")
        for file, change in MODEL.items()
    ),
    *(
        (KNOWLEDGE, "eval_single_passage", f"knowledge/policy/{file}", change, "--policies")
        for file, change in MODEL.items()
    ),
    *(
        (FEW_SHOT, program, "tasks/cells-fall-down.json", change, "--tasks")
        for program in FEW_SHOT_FLAGS
        if program != "solve"
        for change in (CELL, set_in("test", 0, "output", 0, 0, to=9))
    ),
    *(
        (FEW_SHOT, program, "ids.txt", in_text("cells-fall-down\n", ""), "--task_ids")
        for program in ("rest_em", "eval_in_context")
    ),
    (FEW_SHOT, "solve", "tasks/cells-fall-down.json", CELL, "--task"),
    *(
        (FEW_SHOT, program, f"few-shot/prompts/{file}.txt", PROMPT, f"--prompts {{}} {file}.txt")
        for program, file in [
            ("rest_em", "self-edit"),
            ("rest_em", "predict"),
            ("eval_in_context", "predict"),
            ("solve", "self-edit"),
            ("solve", "predict"),
        ]
    ),
    *(
        (FEW_SHOT, program, f"few-shot/{folder}/model.safetensors", change_one_weight, flag)
        for program, folder, flag in [
            ("rest_em", "model", "--model"),
            ("solve", "model", "--model"),
            ("eval_self_edits", "policy", "--policies"),
        ]
    ),
    (FEW_SHOT, "run_inner_loop", "configurations.jsonl", in_text("2", "3"), "--self_edits"),
    (FEW_SHOT, "eval_self_edits", "oracle.json", in_text("2", "3"), "--oracle_file"),
]


@pytest.mark.parametrize(("tree", "program", "file", "change", "named"), CASES)
def test_a_changed_input_is_refused_by_name(tree, program, file, change, named, start, tmp_path):
    start(tree, program)
    before = (tmp_path / "run/config.json").read_text()
    change(tmp_path / file)
    with pytest.raises(UserError, match="not what it was when the run in") as refusal:
        start(tree, program)
    folder = tmp_path / ("knowledge" if tree == KNOWLEDGE else "few-shot")
    assert named.format(folder / "prompts") in str(refusal.value)
    assert (tmp_path / "run/config.json").read_text() == before


@pytest.mark.parametrize("tree", [KNOWLEDGE, FEW_SHOT])
def test_where_an_input_lies_does_not_matter(tree, start, tmp_path, monkeypatch):
    start(tree, "rest_em")
    start(tree, "rest_em")
    folder = Path("knowledge" if tree == KNOWLEDGE else "few-shot")
    start(tree, "rest_em", model=folder / "model")  # relative
    shutil.copytree(folder, "elsewhere")
    start(tree, "rest_em", model="elsewhere/model", prompts="elsewhere/prompts")
    shutil.move("run", "moved")
    start(tree, "rest_em", run_dir="moved")


def test_a_run_of_a_version_without_checksums_is_refused(start, tmp_path):
    start(FEW_SHOT, "rest_em")
    config = tmp_path / "run/config.json"
    write_text(config, json.dumps({k: v for k, v in read_json(config).items() if k != "inputs"}))
    with pytest.raises(UserError, match="did not note what it read"):
        start(FEW_SHOT, "rest_em")


def test_every_flag_that_names_an_input_is_tried():
    tried = {(tree, program) for tree, program, *_ in CASES}
    wanted = {(KNOWLEDGE, name) for name in KNOWLEDGE_FLAGS}
    assert tried == wanted | {(FEW_SHOT, name) for name in FEW_SHOT_FLAGS}
    assert len(CASES) >= 60
