"""Run programs as real processes that can be killed, without paying their imports each time.

A fork server imports the heavy libraries once; each program starts as a fork of it.
"""

import multiprocessing
import os
import runpy
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.data import REPOSITORY

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["seal.lora", "seal.transformers_sampler", "seal.models", "peft"])


def start_program(program: str, arguments: list[str], log: Path) -> BaseProcess:
    """Start `python REPOSITORY/program arguments...` with its output in `log`."""
    process = _CONTEXT.Process(target=_run, args=(str(REPOSITORY / program), arguments, str(log)))
    process.start()
    return process


def run_program_to_end(program: str, arguments: list[str], log: Path) -> int:
    """Run a program and return its exit status."""
    process = start_program(program, arguments, log)
    process.join()
    return process.exitcode


def _run(program: str, arguments: list[str], log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = [program, *arguments]
    sys.path.insert(0, str(Path(program).parent))
    runpy.run_path(program, run_name="__main__")
