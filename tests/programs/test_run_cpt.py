"""Continued pretraining on real SQuAD passages: both methods, and a killed run that goes on."""

from pathlib import Path

import pytest
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file

from seal.records import read_json, read_jsonl, write_jsonl
from seal.training.sft import SftJob, launcher
from tests.programs.programs import flag_words
from tests.programs.squad_run import squad_model, squad_passages
from tests.support.data import REPOSITORY
from tests.support.processes import run_program_to_end, sorted_records, start_program

PROGRAM = "general-knowledge/run_cpt.py"
N_PASSAGES = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return squad_model(tmp_path_factory.mktemp("model") / "untrained")


@pytest.fixture(scope="module")
def self_edits(tmp_path_factory) -> Path:
    """Two for each passage, as generate_self_edits.py writes them: lines of the passage itself."""
    from knowledge.data.passages import load_passages

    path = tmp_path_factory.mktemp("self-edits") / "self_edits.jsonl"
    write_jsonl(
        path,
        (
            {
                "id": f"{passage.id}/implications/{number}",
                "passage_id": passage.id,
                "kind": "implications",
                "text": "\n".join(passage.context.split(". ")[number : number + 2]),
                "finish_reason": "stop",
                "n_tokens": 9,
            }
            for passage in load_passages(squad_passages())
            for number in range(2)
        ),
    )
    return path


def arguments(model: Path, run_dir: Path, **flags: object) -> list[str]:
    small = {
        "model": model,
        "passages": squad_passages(),
        "run_dir": run_dir,
        "dtype": "float32",
        "sampler": "transformers",
        "n_passages": N_PASSAGES,
        "n_questions": 10,
        "max_answer_tokens": 12,
        "max_length": 128,
    } | flags
    return flag_words(small)


def check_run_folder(run_dir: Path, n_sequences: int) -> None:
    results = read_json(run_dir / "results.json")
    assert (results["n_passages"], results["n_questions"]) == (N_PASSAGES, 10)
    assert results["n_training_sequences"] == n_sequences
    assert len(read_jsonl(run_dir / "finetuned" / "rows.jsonl")) == n_sequences
    assert [row["label"] for row in results["rows"]] == ["no-update", "finetuned"]
    for row in results["rows"]:
        answers = read_jsonl(run_dir / row["label"] / "answers.jsonl")
        grades = read_jsonl(run_dir / row["label"] / "grades.jsonl")
        assert sum(len(record["answers"]) for record in answers) == row["n_answers"] == 10
        assert [record["id"] for record in answers] == [record["id"] for record in grades]
        assert row["n_ungraded"] == 0
        for name in ("accuracy_over_questions", "accuracy_over_passages"):
            figure = row[name]
            assert 0 <= figure["lower"] <= figure["mean"] <= figure["upper"] <= 1
            assert figure["n"] == len(answers)
        assert f"| {row['label']} " in (run_dir / "table.md").read_text()
    assert texts(run_dir, "no-update") != texts(run_dir, "finetuned")


def texts(run_dir: Path, label: str) -> list[str]:
    records = sorted_records(run_dir / label / "answers.jsonl")
    return [answer["text"] for record in records for answer in record["answers"]]


def test_full_finetuning_in_two_processes_killed_between(model, self_edits, tmp_path):
    """A killed run keeps its answers and its model, and ends as an undisturbed one does."""
    flags = {"self_edits": self_edits, "k": 2, "learning_rate": 3e-3, "epochs": 2}
    log, undisturbed, killed = tmp_path / "log", tmp_path / "undisturbed", tmp_path / "killed"
    command = arguments(model, undisturbed, **flags, processes=2)
    assert run_program_to_end(PROGRAM, command, log) == 0, log.read_text()
    # 4 passages: 2 self-edits and the passage; 12 sequences, 8 a step
    check_run_folder(undisturbed, n_sequences=12)
    before, after = (
        load_file(folder / "model.safetensors")
        for folder in (model, undisturbed / "finetuned" / "model")
    )
    assert not any(torch.equal(before[name], after[name]) for name in before)

    process = start_program(PROGRAM, arguments(model, killed, **flags, processes=2), log)
    while process.is_alive() and not (killed / "finetuned" / "log.txt").exists():
        process.join(0.005)
    assert process.is_alive(), log.read_text()
    process.kill()
    process.join()
    command = arguments(model, killed, **flags, processes=2)
    assert run_program_to_end(PROGRAM, command, log) == 0, log.read_text()
    made = (killed / "finetuned" / "model" / "model.safetensors").stat().st_mtime_ns
    assert (killed / "results.json").read_bytes() == (undisturbed / "results.json").read_bytes()
    for label in ("no-update", "finetuned"):
        assert texts(killed, label) == texts(undisturbed, label)
    # A finished finetune is not repeated; --processes says where to compute, so it may change
    command = arguments(model, killed, **flags, processes=1)
    assert run_program_to_end(PROGRAM, command, log) == 0, log.read_text()
    assert (killed / "finetuned" / "model" / "model.safetensors").stat().st_mtime_ns == made


def test_an_adapter_on_the_passages_alone(model, tmp_path):
    log = tmp_path / "log"
    flags = {"method": "lora", "k": 0, "learning_rate": 1e-2, "epochs": 3, "lora_rank": 4}
    command = arguments(model, tmp_path / "run", **flags)
    assert run_program_to_end(PROGRAM, command, log) == 0, log.read_text()
    check_run_folder(tmp_path / "run", n_sequences=N_PASSAGES)
    before, after = (
        load_file(folder / "model.safetensors")
        for folder in (model, tmp_path / "run" / "finetuned" / "model")
    )
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"q_proj", "v_proj"}


def test_self_edits_are_asked_for(model, tmp_path):
    log = tmp_path / "log"
    assert run_program_to_end(PROGRAM, arguments(model, tmp_path / "run"), log) == 2
    assert "error: --k 5 needs --self_edits FILE" in log.read_text()
    assert not (tmp_path / "run").exists()


def test_gpus_share_the_model_as_the_shipped_config_says(monkeypatch):
    """What accelerate makes of our command line; no more can be tested without GPUs."""
    monkeypatch.setattr("seal.training.sft._gpus", lambda: 4)
    job = SftJob("m", "bfloat16", False, 7e-5, "linear", 1, None, 64, ["q_proj"], 8, 43)
    command = launcher(job, 4, REPOSITORY / "general-knowledge" / "fsdp.yaml")
    parser = launch_command_parser()
    parsed = parser.parse_args([*command[3:], "-m", "seal.training.sft", "folder"])
    settled, _, _ = _validate_launch_command(parsed)
    assert settled.use_fsdp and not settled.cpu and settled.num_processes == 4
    environment = prepare_multi_gpu_env(settled)
    assert environment["ACCELERATE_USE_FSDP"] == "true"
    assert environment["ACCELERATE_MIXED_PRECISION"] == "bf16"
    assert environment["FSDP_VERSION"] == "2"
    # Whole weights are gathered to be saved
    assert environment["FSDP_STATE_DICT_TYPE"] == "FULL_STATE_DICT"
    assert environment["FSDP_AUTO_WRAP_POLICY"] == "TRANSFORMER_BASED_WRAP"
