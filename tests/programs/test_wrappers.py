"""Every shell wrapper, run with a Python that only records what it was asked to run."""

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.data import REPOSITORY
from tests.house import TREES
from tests.programs.programs import record_wrapper, wrapper_variables

SCRIPTS = sorted(
    path.relative_to(REPOSITORY)
    for tree in TREES
    for path in REPOSITORY.glob(f"{tree}/scripts/*.sh")
)
SBATCH = sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("slurm/*.sbatch"))
DEMO = Path("scripts/demo.sh")
WRAPPERS = [*SCRIPTS, *SBATCH, DEMO]
SHELL_FILES = sorted(
    path.relative_to(REPOSITORY)
    for pattern in ["scripts/*.sh", "*/scripts/*.sh", "slurm/*.s*", ".ci/run", ".ci/*.sh"]
    for path in REPOSITORY.glob(pattern)
)
# The flag that an environment variable sets; the second program of a table has its own data
FLAG_OF = {
    "MODEL": "model",
    "PASSAGES": "passages",
    "EVAL_PASSAGES": "passages",
    "TASKS": "tasks",
    "EVAL_TASKS": "tasks",
    "RUN_DIR": "run_dir",
    "SELF_EDITS": "self_edits",
    "SFT_PROCESSES": "sft_processes",
    "PROCESSES": "processes",
}
OF_MACHINE = {"VENV", "PYTHON", "SLURM_CPUS_PER_TASK"}
SBATCH_OPTIONS = {
    "job-name": r"seal-\w+",
    "gres": r"gpu:[1-8]",
    "cpus-per-task": r"\d+",
    "mem": r"\d+G",
    "time": r"\d\d:\d\d:\d\d",
    "output": r"[\w./-]*%x[\w./-]*%j\.out",
    # Without B:, which would signal the batch shell alone: the programs must get it
    "signal": r"TERM@\d+",
}


def test_there_are_wrappers():
    for tree, script in (("general-knowledge", "rest_em"), ("few-shot", "arc_rest_em")):
        assert Path(f"{tree}/scripts/{script}.sh") in SCRIPTS
        assert Path(f"slurm/{script}.sbatch") in SBATCH


@pytest.mark.parametrize("path", SHELL_FILES, ids=str)
def test_shell_syntax(path):
    assert subprocess.run(["bash", "-n", REPOSITORY / path]).returncode == 0


@pytest.mark.parametrize("path", [p for p in SHELL_FILES if p.name != "prepare.sh"], ids=str)
def test_shell_files_end_at_the_first_failure(path):
    first, second, *_ = [
        line
        for line in (REPOSITORY / path).read_text().splitlines()
        if line.startswith("#!") or (line and not line.startswith("#"))
    ]
    assert (first, second) == ("#!/usr/bin/env bash", "set -euo pipefail")


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=str)
def test_a_failing_program_ends_its_wrapper(wrapper, tmp_path):
    recorded = record_wrapper(wrapper, tmp_path, variables={"STATUS": "3"})
    assert (recorded.status, len(recorded.commands)) == (3, 1)


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=str)
def test_command_lines_are_understood(wrapper, tmp_path):
    recorded = record_wrapper(wrapper, tmp_path)
    assert (recorded.status, recorded.error) == (0, "")
    configs = recorded.configs()
    assert configs
    folders = [config.run_dir for config in configs if hasattr(config, "run_dir")]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("wrapper", [*SCRIPTS, *SBATCH], ids=str)
def test_wrappers_are_for_the_papers_model(wrapper, tmp_path):
    for config in record_wrapper(wrapper, tmp_path).configs():
        fields = {field.name: field for field in dataclasses.fields(config)}
        assert config.model == fields["model"].default


@pytest.mark.parametrize("wrapper", [*SCRIPTS, *SBATCH], ids=str)
def test_further_flags_arrive(wrapper, tmp_path):
    recorded = record_wrapper(wrapper, tmp_path, ["--seed", "7", "--prompts", "a folder"])
    assert recorded.status == 0
    for config in recorded.configs():
        assert (config.seed, config.prompts) == (7, Path("a folder"))


def test_further_flags_reach_the_demos_outer_loop(tmp_path):
    recorded = record_wrapper(DEMO, tmp_path, ["--seed", "7", "--prompts", "a folder"])
    of_outer_loop = [
        command for command in recorded.commands if "general-knowledge/rest_em" in command[0]
    ]
    assert [command[-4:] for command in of_outer_loop] == [["--seed", "7", "--prompts", "a folder"]]


@pytest.mark.parametrize("wrapper", [*SCRIPTS, *SBATCH], ids=str)
def test_environment_sets_flags(wrapper, tmp_path):
    names = wrapper_variables(wrapper) - OF_MACHINE
    assert {"MODEL", "RUN_DIR"} <= names
    chosen = {name: "3" if name.endswith("PROCESSES") else f"my {name}" for name in names}
    recorded = record_wrapper(wrapper, tmp_path, variables=chosen)
    assert recorded.status == 0
    configs = recorded.configs()
    for name, value in chosen.items():
        values = [str(getattr(config, FLAG_OF[name], "")) for config in configs]
        assert any(found == value or found.startswith(f"{value}/") for found in values), name
    assert {config.model for config in configs} == {"my MODEL"}


@pytest.mark.parametrize("wrapper", [*SCRIPTS, *SBATCH], ids=str)
def test_environment_is_documented(wrapper):
    text = (REPOSITORY / "slurm/README.md").read_text()
    names = wrapper_variables(wrapper) - {"SLURM_CPUS_PER_TASK"}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_every_script_has_its_sbatch_file():
    # An sbatch file belongs to the script of its name, so the two trees may not share one
    assert sorted(path.stem for path in SCRIPTS) == [path.stem for path in SBATCH]
    text = (REPOSITORY / "slurm/README.md").read_text()
    assert set(re.findall(r"^\| `(\w+)\.sbatch`", text, re.MULTILINE)) == {p.stem for p in SBATCH}


@pytest.mark.parametrize("wrapper", SBATCH, ids=str)
def test_sbatch_files_run_their_script(wrapper, tmp_path):
    script = next(path for path in SCRIPTS if path.stem == wrapper.stem)
    assert record_wrapper(wrapper, tmp_path).commands == record_wrapper(script, tmp_path).commands


@pytest.mark.parametrize("wrapper", SBATCH, ids=str)
def test_sbatch_options(wrapper):
    header, _, body = (REPOSITORY / wrapper).read_text().partition("\nset -euo pipefail\n")
    options = re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", header, re.MULTILINE)
    assert len(options) == header.count("#SBATCH") and "#SBATCH" not in body
    assert {name for name, _ in options} == set(SBATCH_OPTIONS)
    for name, value in options:
        assert re.fullmatch(SBATCH_OPTIONS[name], value), f"--{name}={value}"
    assert dict(options)["job-name"] == f"seal-{wrapper.stem}"
    # --signal reaches steps only, so the programs have to be one
    assert re.search(r"^exec srun bash \S+\.sh \"\$@\"$", body, re.MULTILINE)


@pytest.mark.parametrize("wrapper", SBATCH, ids=str)
def test_sbatch_files_refuse_another_folder(wrapper, tmp_path):
    recorded = record_wrapper(wrapper, tmp_path, cwd=tmp_path)
    # Slurm starts a copy of the file in the folder of submission; bash must find prepare.sh there
    assert recorded.status == 2
    assert recorded.error.startswith("error: ") and recorded.error.count("\n") == 1
    assert recorded.commands == []


def test_sbatch_files_run_from_slurms_spool_folder(tmp_path):
    original = Path("slurm/rest_em.sbatch")
    copy = shutil.copy(REPOSITORY / original, tmp_path / "slurm_script")
    assert record_wrapper(copy, tmp_path).commands == record_wrapper(original, tmp_path).commands


@pytest.mark.parametrize("relative", [False, True])
def test_venv_names_the_python_of_slurm_jobs(relative, tmp_path):
    other = tmp_path / "other" / "python"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 9\n")
    other.chmod(0o755)
    venv = os.path.relpath(tmp_path, REPOSITORY) if relative else str(tmp_path)
    path = f"{other.parent}:/usr/bin:/bin"
    for wrapper in SBATCH:
        recorded = record_wrapper(wrapper, tmp_path, variables={"PATH": path, "VENV": venv})
        assert recorded.status == 0 and recorded.commands
