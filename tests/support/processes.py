"""Run programs as real processes that can be killed, without paying their imports each time.

A fork server imports the heavy libraries once; each program starts as a fork of it, and so does
each finetuning that a program starts.
"""

import multiprocessing
import os
import random
import runpy
import signal
import sys
import threading
from itertools import cycle
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO

from seal.records import Record, read_jsonl
from seal.training import sft
from tests.support.data import REPOSITORY

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "seal.lora.train",
        "seal.samplers.in_process",
        "seal.models.load",
        "seal.report.plots",
        "accelerate",
        "peft",
        "transformers.trainer",
        "transformers.models.qwen2.modeling_qwen2",
    ]
)
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_FINETUNE = [sys.executable, "-m", "seal.training.sft"]
_run_finetune = sft._run


def start_program(
    program: str, arguments: list[str], log: Path, *, fork_finetunes: bool = True
) -> BaseProcess:
    """Start `python REPOSITORY/program arguments...` with its output in `log`.

    `fork_finetunes`: its finetunings are forks too, not commands that import everything again.
    """
    process = _CONTEXT.Process(
        target=_run, args=(str(REPOSITORY / program), arguments, str(log), fork_finetunes)
    )
    process.start()
    return process


def run_finetune_forked(command: list[str], log: IO[str], environment: dict[str, str]) -> int:
    """What `seal.training.sft._run` does, as a fork; a command of several processes stays one.

    Returns the exit status. The fork ends with this process, however that ends.
    """
    *start, folder = command
    if start != _FINETUNE:
        return _run_finetune(command, log, environment)
    process = _CONTEXT.Process(target=_finetune, args=(folder, log.name, environment))
    process.start()
    process.join()
    return process.exitcode


def run_program_to_end(
    program: str, arguments: list[str], log: Path, *, fork_finetunes: bool = True
) -> int:
    """Run a program and return its exit status."""
    process = start_program(program, arguments, log, fork_finetunes=fork_finetunes)
    process.join()
    return process.exitcode


def run_killed(
    program: str, arguments: list[str], log: Path, run_dir: Path, reference: Path, kills: int
) -> None:
    """Run a program that is killed `kills` times on its way, at random moments, to its end.

    Four times as often with SEAL_FAULTS=all. Signals take turns: SIGKILL, SIGTERM, SIGINT. Moments
    are measured by what the run folder holds, against the folder of an undisturbed run,
    `reference`. Fails if the program ends before it could be killed, or does not end well.
    """
    total = progress(reference)
    kills *= 4 if os.environ.get("SEAL_FAULTS") == "all" else 1
    moments = sorted(random.Random(0).uniform(0, 0.95 * total) for _ in range(kills))
    for moment, number in zip(moments, cycle(_SIGNALS), strict=False):
        process = start_program(program, arguments, log)
        while process.is_alive() and progress(run_dir) < moment:
            process.join(0.02)
        assert process.is_alive(), f"ended before it could be killed: {log.read_text()[-2000:]}"
        for _ in range(60):
            os.kill(process.pid, number)  # again: a fork ignores Ctrl-C until it has begun
            process.join(1)
            if not process.is_alive():
                break
        assert not process.is_alive(), f"{number!r} did not end it"
    assert run_program_to_end(program, arguments, log) == 0, log.read_text()


def progress(run_dir: Path) -> int:
    """Bytes of records and logs so far; they grow with everything that a run does."""
    # Folders by name: the run makes and removes others meanwhile
    folders = [run_dir, *(run_dir / f"round-{n}{sub}" for n in (1, 2) for sub in ("", "/sft"))]
    files = [
        file for folder in folders for kind in ("*.jsonl", "log.txt") for file in folder.glob(kind)
    ]
    return sum(file.stat().st_size for file in files)


def sorted_records(path: Path) -> list[Record]:
    """The records of a file by id, as threads append them in any order."""
    return sorted(read_jsonl(path), key=lambda record: record["id"])


def _run(program: str, arguments: list[str], log: str, fork_finetunes: bool) -> None:
    _write_to(log)
    if fork_finetunes:
        sft._run = run_finetune_forked
    sys.argv = [program, *arguments]
    sys.path.insert(0, str(Path(program).parent))
    runpy.run_path(program, run_name="__main__")


def _finetune(folder: str, log: str, environment: dict[str, str]) -> None:
    _write_to(log)
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sft._run_child(Path(folder))


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _write_to(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
