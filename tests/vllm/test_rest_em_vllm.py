"""The whole outer loop with a real vLLM server for every policy, on real SQuAD passages."""

from tests.programs.processes import run_program_to_end
from tests.programs.squad_run import PROGRAM, check_run_folder, rest_em_arguments, squad_model


def test_rest_em_with_a_vllm_server(vllm_command, tmp_path):
    model = squad_model(tmp_path / "model")
    run_dir, log = tmp_path / "run", tmp_path / "log"
    size = {"n_passages": 8, "k": 3, "repeats": 2, "rounds": 2}
    arguments = rest_em_arguments(
        model, run_dir, epochs=3, sampler="vllm", vllm_command=vllm_command, slots=8, **size
    )
    assert run_program_to_end(PROGRAM, arguments, log) == 0, log.read_text()
    check_run_folder(run_dir, **size)
