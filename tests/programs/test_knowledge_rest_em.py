"""The whole outer loop on real SQuAD passages; killed ten times, it ends with the same results."""

from pathlib import Path

import pytest

from tests.support.processes import run_killed, run_program_to_end, sorted_records
from tests.programs.squad_run import PROGRAM, check_run_folder, rest_em_arguments, squad_model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return squad_model(tmp_path_factory.mktemp("model") / "untrained")


def test_every_file_is_as_documented(model, tmp_path):
    run_dir, log = tmp_path / "run", tmp_path / "log"
    size = {"n_passages": 8, "k": 3, "repeats": 2, "rounds": 2}
    arguments = rest_em_arguments(model, run_dir, epochs=3, **size)
    assert run_program_to_end(PROGRAM, arguments, log) == 0, log.read_text()
    check_run_folder(run_dir, **size)


def test_killed_ten_times_it_ends_with_the_same_results(model, tmp_path):
    flags = {"n_passages": 3, "k": 2, "repeats": 2, "rounds": 2, "epochs": 2, "slots": 3}
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    log = tmp_path / "log"
    assert run_program_to_end(PROGRAM, rest_em_arguments(model, undisturbed, **flags), log) == 0
    run_killed(PROGRAM, rest_em_arguments(model, killed, **flags), log, killed, undisturbed, 10)
    assert (killed / "results.json").read_bytes() == (undisturbed / "results.json").read_bytes()
    for stage in ("round-1", "round-2"):
        for name in ("self_edits", "answers", "grades", "rewards"):
            # An untrained model's accuracies say little; its words show every difference
            assert sorted_records(killed / stage / f"{name}.jsonl") == sorted_records(
                undisturbed / stage / f"{name}.jsonl"
            )
