"""The whole outer loop on real SQuAD passages; killed ten times, it ends with the same results."""

from pathlib import Path

import pytest

from tests.programs.squad_run import PROGRAM, check_run_folder, rest_em_arguments, squad_model
from tests.support.processes import run_killed, run_program_to_end, sorted_records

SIZE = {"n_passages": 5, "k": 3, "repeats": 2, "rounds": 2}
FLAGS = SIZE | {"epochs": 3, "slots": 3}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return squad_model(tmp_path_factory.mktemp("model") / "untrained")


@pytest.fixture(scope="module")
def undisturbed(model) -> Path:
    """The folder of a run that nothing interrupted, each of its parts started as users start it."""
    run_dir, log = model.parent / "undisturbed", model.parent / "log"
    arguments = rest_em_arguments(model, run_dir, **FLAGS)
    status = run_program_to_end(PROGRAM, arguments, log, fork_finetunes=False)
    assert status == 0, log.read_text()
    return run_dir


def test_every_file_is_as_documented(undisturbed):
    check_run_folder(undisturbed, **SIZE)


def test_killed_ten_times_it_ends_with_the_same_results(model, undisturbed, tmp_path):
    killed, log = tmp_path / "killed", tmp_path / "log"
    arguments = rest_em_arguments(model, killed, **FLAGS)
    run_killed(PROGRAM, arguments, log, killed, undisturbed, kills=10)
    assert (killed / "results.json").read_bytes() == (undisturbed / "results.json").read_bytes()
    for stage in ("round-1", "round-2"):
        for name in ("self_edits", "answers", "grades", "rewards"):
            # An untrained model's accuracies say little; its words show every difference
            assert sorted_records(killed / stage / f"{name}.jsonl") == sorted_records(
                undisturbed / stage / f"{name}.jsonl"
            )
    check_run_folder(killed, **SIZE, trained_again=True)
