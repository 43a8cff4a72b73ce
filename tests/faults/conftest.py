"""Programs of both domains with small inputs, started until they would load a policy."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from knowledge.data.passages import load_passages
from seal.prompt_files import load_prompt
from seal.records import write_jsonl, write_text
from seal.run import Run
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
    opened, lock = [], Run._lock
    monkeypatch.setattr(Run, "_lock", lambda run: (lock(run), opened.append(run)))

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
            for run in opened:
                run._lock_file.close()
            opened.clear()

    return start
