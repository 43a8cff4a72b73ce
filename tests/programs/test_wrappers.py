"""Every shell wrapper, run with a Python that only records what it was asked to run."""

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from arc.settings import InnerLoopSettings
from tests.programs.programs import record_wrapper, wrapper_variables
from tests.support.data import REPOSITORY
from tests.support.house import TREES

SCRIPTS = sorted(
    path.relative_to(REPOSITORY)
    for tree in TREES
    for path in REPOSITORY.glob(f"{tree}/scripts/*.sh")
)
SBATCH = sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("slurm/*.sbatch"))
DEMO = Path("scripts/demo.sh")
# Of small models: no wrappers of one program, with settings of their own
OF_SMALL_MODELS = sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("scripts/*.sh"))
WRAPPERS = [*SCRIPTS, *SBATCH, *OF_SMALL_MODELS]
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


@pytest.mark.parametrize("wrapper", [path for path in WRAPPERS if path != DEMO], ids=str)
def test_a_failing_program_ends_its_wrapper(wrapper, tmp_path):
    recorded = record_wrapper(wrapper, tmp_path, variables={"STATUS": "3"})
    assert (recorded.status, len(recorded.commands)) == (3, 1)


def test_a_failing_program_ends_its_half_of_the_demo(tmp_path):
    recorded = record_wrapper(DEMO, tmp_path, variables={"STATUS": "3"})
    assert recorded.status != 0
    trees = sorted(Path(program).parts[0] for program, *_ in recorded.commands)
    assert trees == sorted(TREES)


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


def knowledge_demo(folder, arguments=(), **variables):
    """The outer loops of scripts/demo_knowledge.sh, by folder, and its table."""
    wrapper = Path("scripts/demo_knowledge.sh")
    recorded = record_wrapper(wrapper, folder, arguments, {"RUN_DIR": "r", **variables})
    assert recorded.status == 0, recorded.error
    *outer_loops, table, shown = recorded.configs()
    # What the table's policies wrote: the first and the last of SEAL's own, whatever the controls
    assert (shown.table, shown.passages) == (table.run_dir, table.passages)
    assert shown.compare == ["self-edits", "round-2"]
    assert {*shown.compare} <= {*table.order}
    return {config.run_dir.name: config for config in outer_loops}, table


def test_flags_and_environment_reach_the_knowledge_demo(tmp_path):
    outer_loops, table = knowledge_demo(tmp_path, ["--k", "3"], SEED="7", MODEL="runs/other")
    assert list(outer_loops) == ["rest-em"]
    trained = outer_loops["rest-em"]
    assert (trained.k, table.k) == (3, 1)
    assert (trained.seed, table.seed) == (7, 7)
    assert trained.model == table.model == "runs/other/model"
    assert (trained.passages, table.passages) == (
        "runs/other/training.json",
        "runs/other/evaluation.json",
    )
    assert table.self_edit_files == ["oracle=runs/other/oracle.jsonl"]
    assert table.policies == [f"round-{n}=r/rest-em/round-{n}/sft/model" for n in (1, 2)]
    rows = ["no-update", "passage-only", "self-edits", "round-1", "round-2"]
    assert table.order == [*rows, "oracle"]


def test_controls_are_rows_of_the_same_table(tmp_path):
    outer_loops, table = knowledge_demo(
        tmp_path, SEED="7", MODEL="runs/other", CONTROLS="repeated random all"
    )
    assert [(name, each.selection, each.keep) for name, each in outer_loops.items()] == [
        ("rest-em", "best", 1),
        ("rest-em-random", "random", 1),
        ("rest-em-all", "best", 5),
    ]
    # They differ in nothing else
    kept = {"run_dir", "selection", "keep"}
    others = [
        {name: value for name, value in dataclasses.asdict(each).items() if name not in kept}
        for each in outer_loops.values()
    ]
    assert others[0] == others[1] == others[2]
    labels = [word.partition("=")[0] for word in table.policies]
    first = ["no-update", "passage-only", "self-edits"]
    assert table.order == [*first, *labels, "passage-repeated", "oracle"]
    assert table.self_edit_files == [
        f"{label}=runs/other/{label}.jsonl" for label in ("oracle", "passage-repeated")
    ]
    assert labels == ["round-1", "round-2", "random-1", "random-2", "all-1", "all-2"]


def few_shot_demo(folder, arguments=(), **variables):
    """The outer loops of scripts/demo_few_shot.sh, by folder, and its table."""
    wrapper = Path("scripts/demo_few_shot.sh")
    recorded = record_wrapper(wrapper, folder, arguments, {"RUN_DIR": "r", **variables})
    assert recorded.status == 0, recorded.error
    *outer_loops, table, solved = recorded.configs()
    # A task is shown as the table's own policy after RL solves it
    assert f"round-{outer_loops[0].rounds}={solved.model}" in table.policies
    assert (solved.task, solved.temperature) == (table.tasks, table.temperature)
    return {config.run_dir.name: config for config in outer_loops}, table


def test_flags_and_environment_reach_the_few_shot_demo(tmp_path):
    outer_loops, table = few_shot_demo(
        tmp_path, ["--k", "3"], SEED="7", N_TASKS="40", MODEL="runs/other"
    )
    assert list(outer_loops) == ["rest-em"]
    trained = outer_loops["rest-em"]
    assert (trained.k, table.k) == (3, 5)
    assert (trained.rounds, trained.selection) == (1, "rewarded")
    assert (trained.seed, table.seed) == (7, 7)
    assert trained.model == table.model == "runs/other/model"
    assert (str(trained.tasks), trained.n_tasks) == ("runs/other/training_challenges.json", 40)
    assert (str(table.tasks), table.n_tasks) == ("runs/other/evaluation_challenges.json", 20)
    assert table.policies == ["round-1=r/rest-em/round-1/sft/model"]
    assert table.oracle and table.self_edits == "sampled"
    # A policy is trained and asked in the loop as it is in the table
    shared = {field.name for field in dataclasses.fields(InnerLoopSettings)}
    assert {"prompts", "lora_rank", "max_items", "max_answer_tokens"} <= shared
    assert all(getattr(trained, name) == getattr(table, name) for name in shared)


def test_controls_are_rows_of_the_same_few_shot_table(tmp_path):
    outer_loops, table = few_shot_demo(tmp_path, SEED="7", CONTROLS="random all", ROUNDS="2")
    assert [(name, each.selection) for name, each in outer_loops.items()] == [
        ("rest-em", "rewarded"),
        ("rest-em-random", "random"),
        ("rest-em-all", "all"),
    ]
    others = [
        dataclasses.asdict(each) | {"run_dir": None, "selection": None}
        for each in outer_loops.values()
    ]
    assert others[0] == others[1] == others[2]
    assert outer_loops["rest-em"].rounds == 2
    assert table.policies == [
        f"{series}-{n}=r/{name}/round-{n}/sft/model"
        for series, name in zip(("round", "random", "all"), outer_loops, strict=True)
        for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("domain", "known"),
    [("knowledge", "repeated, random, all"), ("few_shot", "random and all")],
)
def test_an_unknown_control_is_refused(domain, known, tmp_path):
    wrapper = Path(f"scripts/demo_{domain}.sh")
    recorded = record_wrapper(wrapper, tmp_path, variables={"CONTROLS": "none"})
    assert recorded.status == 2
    assert recorded.error == f"error: CONTROLS has none; there are {known}\n"


@pytest.mark.parametrize(
    ("domain", "of_a_seed", "controls"),
    [
        ("knowledge", ["eval_single_passage", "show_self_edits"], 2 * 3),
        ("few_shot", ["eval_self_edits", "solve"], 2),
    ],
)
def test_the_proof_has_five_seeds_of_two_models(domain, of_a_seed, controls, tmp_path):
    recorded = record_wrapper(Path(f"scripts/small_models_{domain}.sh"), tmp_path)
    programs = [Path(program).stem for program, *_ in recorded.commands]
    assert {name: programs.count(name) for name in programs} == {
        "pretrain_small_model": 1,
        "rest_em": 2 * 5 + controls,
        **dict.fromkeys(of_a_seed, 2 * 5),
        "summarize_seeds": 2,
    }
    configs = recorded.configs()
    tables = [
        config for name, config in zip(programs, configs, strict=True) if name == of_a_seed[0]
    ]
    assert [each.seed for each in tables] == [2, 3, 4, 5, 6] * 2
    summaries = [getattr(each, domain) for each in configs if hasattr(each, domain)]
    assert [folder for folders in summaries for folder in folders] == [
        each.run_dir.parent for each in tables
    ]


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
