"""A run goes on only with the inputs that it began with; every other one is refused by its name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seal.errors import UserError
from seal.records import read_json, write_json, write_text
from tests.faults.conftest import FEW_SHOT, FEW_SHOT_FLAGS, KNOWLEDGE, KNOWLEDGE_FLAGS

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
