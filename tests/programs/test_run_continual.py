"""Sequential self-edits on real SQuAD passages: files, figures, and kills that change nothing."""

from pathlib import Path

import pytest

from seal.records import read_json, read_jsonl
from tests.programs.programs import flag_words
from tests.programs.squad_run import squad_model, squad_passages
from tests.support.processes import run_killed, run_program_to_end, sorted_records

PROGRAM = "general-knowledge/run_continual.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return squad_model(tmp_path_factory.mktemp("model") / "untrained")


def arguments(model: Path, run_dir: Path) -> list[str]:
    small = {
        "model": model,
        "passages": squad_passages(),
        "run_dir": run_dir,
        "dtype": "float32",
        "sampler": "transformers",
        "runs": 2,
        "sequences": 2,
        "n_passages": 3,
        "slots": 3,
        "epochs": 2,
        "learning_rate": 0.01,
        "max_new_tokens": 24,
        "max_answer_tokens": 8,
    }
    return flag_words(small)


def test_files_are_as_documented_and_kills_change_nothing(model, tmp_path):
    undisturbed, killed, log = tmp_path / "undisturbed", tmp_path / "killed", tmp_path / "log"
    assert run_program_to_end(PROGRAM, arguments(model, undisturbed), log) == 0, log.read_text()
    results = read_json(undisturbed / "results.json")
    assert (results["n_sequences"], results["n_passages"], len(results["runs"])) == (4, 3, 2)
    for name in ("mean", "pooled_std", "average_of_stds"):
        assert [len(row) for row in results[name]] == [3] * 4
        assert all(not value for edits in range(1, 4) for value in results[name][edits][edits:])
    assert set(results["retention"]) == {"before_any_edit", "after_own_edit", "after_all_edits"}
    assert results["n_ungraded"] == 0
    self_edits = read_jsonl(undisturbed / "self_edits.jsonl")
    assert len({record["passage_id"] for record in self_edits}) == len(self_edits) == 12
    # 3 cells before any edit, then 1 + 2 + 3
    cells = read_jsonl(undisturbed / "answers.jsonl")
    assert len(cells) == len(read_jsonl(undisturbed / "grades.jsonl")) == 4 * 9
    assert len({record["id"] for record in cells}) == len(cells)
    assert not (undisturbed / "adapters").exists()
    assert (undisturbed / "matrix.md").read_text().strip() in log.read_text()
    events = read_jsonl(undisturbed / "metrics.jsonl")
    trained = [event for event in events if event["event"] == "adapter"]
    assert len({event["id"] for event in trained}) == len(trained) == 12
    assert sum(event["last_loss"] - event["first_loss"] for event in trained) < 0

    run_killed(PROGRAM, arguments(model, killed), log, killed, undisturbed, kills=4)
    assert (killed / "results.json").read_bytes() == (undisturbed / "results.json").read_bytes()
    for name in ("self_edits", "answers", "grades"):
        assert sorted_records(killed / f"{name}.jsonl") == sorted_records(
            undisturbed / f"{name}.jsonl"
        )
