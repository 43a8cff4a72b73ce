"""ARC's outer loop on real tasks; killed eight times, it ends with the same results."""

from pathlib import Path

import pytest

from seal.records import read_json
from tests.programs.arc_run import (
    PROGRAM,
    arc_model,
    arc_tasks,
    check_run_folder,
    rest_em_arguments,
)
from tests.support.processes import run_killed, run_program_to_end, sorted_records

SIZE = {"k": 3, "rounds": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Of a model and its prompts."""
    folder = tmp_path_factory.mktemp("arc")
    arc_model(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder) -> Path:
    """The folder of a run that nothing interrupted."""
    run_dir, log = folder / "undisturbed", folder / "log"
    assert run_program_to_end(PROGRAM, rest_em_arguments(folder, run_dir, **SIZE), log) == 0, (
        log.read_text()
    )
    return run_dir


def test_every_file_is_as_documented(folder, undisturbed):
    check_run_folder(undisturbed, arc_tasks(folder), **SIZE)
    results = read_json(undisturbed / "results.json")["rounds"]
    assert results[0]["n_rewarded"], "without a reward there is no M-step to look at"
    assert sum(entry["n_rejected"] for entry in results)


def test_killed_eight_times_it_ends_with_the_same_results(folder, undisturbed, tmp_path):
    killed = tmp_path / "killed"
    arguments = rest_em_arguments(folder, killed, **SIZE)
    run_killed(PROGRAM, arguments, tmp_path / "log", killed, undisturbed, kills=8)
    assert (killed / "results.json").read_bytes() == (undisturbed / "results.json").read_bytes()
    for stage in ("round-1", "round-2"):
        for name in ("self_edits", "predictions", "rewards"):
            assert sorted_records(killed / stage / f"{name}.jsonl") == sorted_records(
                undisturbed / stage / f"{name}.jsonl"
            )
    check_run_folder(killed, arc_tasks(folder), **SIZE, trained_again=True)
