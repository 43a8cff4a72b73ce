"""The whole outer loop with a real vLLM server for every policy, on real SQuAD passages."""

import pytest

from tests.programs.squad_run import PROGRAM, check_run_folder, rest_em_arguments, squad_model
from tests.support.processes import run_program_to_end, start_program


@pytest.fixture
def model(tmp_path):
    return squad_model(tmp_path / "model")


def test_rest_em_with_a_vllm_server(vllm_command, model, tmp_path):
    run_dir, log = tmp_path / "run", tmp_path / "log"
    size = {"n_passages": 8, "k": 3, "repeats": 2, "rounds": 2}
    arguments = rest_em_arguments(
        model, run_dir, epochs=3, sampler="vllm", vllm_command=vllm_command, slots=8, **size
    )
    assert run_program_to_end(PROGRAM, arguments, log, fork_finetunes=False) == 0, log.read_text()
    check_run_folder(run_dir, **size)


def test_killed_while_the_server_answers_it_resumes(vllm_command, model, tmp_path):
    run_dir, log = tmp_path / "run", tmp_path / "log"
    size = {"n_passages": 4, "k": 2, "repeats": 2, "rounds": 1}
    arguments = rest_em_arguments(
        model, run_dir, epochs=3, sampler="vllm", vllm_command=vllm_command, slots=4, **size
    )
    process = start_program(PROGRAM, arguments, log, fork_finetunes=False)
    answers = run_dir / "round-1" / "answers.jsonl"
    while not answers.exists() or answers.read_bytes().count(b"\n") < 6:
        process.join(0.05)
        assert process.is_alive(), log.read_text()
    process.kill()
    process.join()
    kept = answers.read_text().split("\n")[:-1]
    assert run_program_to_end(PROGRAM, arguments, log, fork_finetunes=False) == 0, log.read_text()
    assert set(kept) <= set(answers.read_text().splitlines()), "what was answered is kept"
    # What was trained twice has two lines in metrics.jsonl, and one everywhere else
    check_run_folder(run_dir, trained_again=True, **size)
