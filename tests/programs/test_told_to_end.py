"""Whole programs end within five seconds of SIGTERM or Ctrl-C, whatever they do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.programs.programs import flag_words
from tests.support.data import REPOSITORY

KNOWLEDGE, FEW_SHOT = REPOSITORY / "general-knowledge", REPOSITORY / "few-shot"
OF_KNOWLEDGE = {
    "config": KNOWLEDGE / "presets/small.yaml",
    "model": KNOWLEDGE / "small_model/model",
    "passages": KNOWLEDGE / "small_model/evaluation.json",
    "n_passages": 2,
    "k": 1,
    "rounds": 1,
}
OF_FEW_SHOT = {
    "config": FEW_SHOT / "presets/small.yaml",
    "model": FEW_SHOT / "small_model/model",
    "tasks": FEW_SHOT / "small_model/evaluation_challenges.json",
    "n_tasks": 2,
    "k": 2,
}
LONG = {"epochs": 10_000, "slots": 1}


def has(folder: Path, pattern: str) -> bool:
    return any(path.is_dir() or path.stat().st_size for path in folder.glob(pattern))


# The program, what makes the stage long, and the file that tells that it has begun
STAGES: dict[str, tuple[str, dict[str, object], Callable[[Path], bool]]] = {
    "imports": ("general-knowledge/rest_em.py", OF_KNOWLEDGE, lambda run: True),
    "samples": (
        "general-knowledge/rest_em.py",
        OF_KNOWLEDGE | {"n_passages": 30, "k": 1000},
        lambda run: has(run, "log.txt"),
    ),
    "trains": (
        "general-knowledge/rest_em.py",
        OF_KNOWLEDGE | LONG,
        lambda run: has(run, "round-1/self_edits.jsonl"),
    ),
    "finetunes": (
        "general-knowledge/rest_em.py",
        OF_KNOWLEDGE | {"sft_epochs": 10_000},
        lambda run: has(run, "round-1/sft/rows.jsonl"),
    ),
    "asks": (
        "few-shot/eval_in_context.py",
        {name: OF_FEW_SHOT[name] for name in ("config", "model", "tasks")}
        | {"n_permutations": 1000},
        lambda run: has(run, "log.txt") or has(run, "config.json"),
    ),
    "trains on a task": (
        "few-shot/rest_em.py",
        OF_FEW_SHOT | {"max_items": 1000, "n_tasks": 20},
        lambda run: has(run, "round-1/self_edits.jsonl"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "number"),
    [*((stage, signal.SIGTERM) for stage in STAGES), ("trains", signal.SIGINT)],
)
def test_it_ends_within_five_seconds(stage, number, tmp_path):
    program, flags, begun = STAGES[stage]
    run_dir, log = tmp_path / "run", tmp_path / "log"
    words = flag_words({"run_dir": run_dir, **flags})
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / program), *words],
            cwd=REPOSITORY,
            stdout=output,
            stderr=output,
            env=environment,
        )
    try:
        while process.poll() is None and not begun(run_dir):
            time.sleep(0.05)
        time.sleep(1.0)  # into the stage
        assert process.poll() is None, f"ended before it was told to: {log.read_text()}"
        told = time.monotonic()
        process.send_signal(number)
        status = process.wait(60)
        took = time.monotonic() - told
    finally:
        process.kill()
    said = log.read_text()
    assert status == 128 + number and took < 5, (took, said)
    assert said.count("error: interrupted") == 1 and "Traceback" not in said, said
    time.sleep(1.0)
    assert not left_behind(run_dir)


def left_behind(run_dir: Path) -> list[str]:
    """Command lines of processes that still work in the run folder."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [command for command in commands if str(run_dir) in command]
