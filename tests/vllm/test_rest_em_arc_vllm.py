"""ARC's outer loop with a real vLLM server for every policy, on real tasks."""

import json
from pathlib import Path

import pytest
from peft import PeftModel

from arc.method.configurations import Configuration, to_json
from arc.puzzles.augmenters import Augmentations
from seal.models.load import load_model, load_tokenizer
from seal.records import read_json, write_jsonl
from tests.programs.arc_run import (
    PROGRAM,
    arc_model,
    arc_tasks,
    challenges,
    check_run_folder,
    rest_em_arguments,
    small_settings,
    write_task_ids,
)
from tests.programs.programs import call_program
from tests.support.processes import run_program_to_end, sorted_records

SELF_EDITS = [
    to_json(Configuration(Augmentations(*[False] * 4), False, rate, epochs))
    for rate, epochs in ((0.03, 4), (0.01, 3))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Of a model and its prompts."""
    folder = tmp_path_factory.mktemp("arc")
    arc_model(folder)
    return folder


def test_rest_em_with_a_vllm_server(vllm_command, folder, tmp_path):
    run_dir, log = tmp_path / "run", tmp_path / "log"
    size = {"k": 4, "rounds": 2}
    arguments = rest_em_arguments(
        folder, run_dir, sampler="vllm", vllm_command=vllm_command, **size
    )
    assert run_program_to_end(PROGRAM, arguments, log, fork_finetunes=False) == 0, log.read_text()
    check_run_folder(run_dir, arc_tasks(folder), **size)
    assert read_json(run_dir / "results.json")["rounds"][0]["n_rewarded"]


@pytest.fixture(scope="module")
def self_edits(folder) -> Path:
    """Two self-edits for each task."""
    path = folder / "self_edits.jsonl"
    rows = [
        {"id": f"{task.id}/{number}", "task_id": task.id, "text": text}
        for task in arc_tasks(folder)
        for number, text in enumerate(SELF_EDITS)
    ]
    write_jsonl(path, rows)
    return path


@pytest.fixture(scope="module")
def talker(folder, self_edits) -> Path:
    """A policy that answers with grids before any update: an adapter merged into the model."""
    task = arc_tasks(folder)[0]
    file = folder / f"{task.id.rpartition('-')[0]}.json"
    pairs = [pair._asdict() for pair in task.demonstrations]
    file.write_text(json.dumps({"train": pairs, "test": [{"input": task.test_input}]}))
    flags = {"task": file, "self_edits": self_edits, "k": 1, **small_settings(folder)}
    call_program("few-shot/solve.py", run_dir=folder / "solve", **flags)
    name = str(folder / "model")
    adapted = PeftModel.from_pretrained(
        load_model(name, "float32", "cpu"), folder / "solve" / "adapter"
    )
    adapted.merge_and_unload().save_pretrained(folder / "talker")
    load_tokenizer(name).save_pretrained(folder / "talker")
    return folder / "talker"


def test_predictions_are_those_of_the_process(vllm_command, folder, talker, self_edits, tmp_path):
    tasks = {"tasks": challenges(), "task_ids": write_task_ids(folder)}
    flags = small_settings(folder) | {"model": talker, "self_edits": self_edits, "k": 2, **tasks}
    samplers = {"transformers": {}, "vllm": {"vllm_command": vllm_command}}
    for sampler, own in samplers.items():
        run_dir = tmp_path / sampler
        call_program(
            "few-shot/run_inner_loop.py", run_dir=run_dir, **flags | {"sampler": sampler}, **own
        )
    expected, found = (sorted_records(tmp_path / name / "predictions.jsonl") for name in samplers)
    in_context = [record for record in expected if record["id"].endswith("/in-context")]
    adapted = [record for record in expected if record not in in_context]
    assert len(in_context) == 3 and len(adapted) == 6
    for records in (in_context, adapted):
        assert sum(len(record["votes"]) for record in records), "there are grids to compare"
    assert found == expected
