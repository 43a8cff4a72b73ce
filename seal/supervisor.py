"""Child processes that cannot outlive the program that started them, not even after `kill -9`.

A program that is killed cannot clean up, so between it and the child stands a small process (this
file, run as a program) that ends the child's whole process group once its own parent is gone. If
it is killed itself, Linux ends the child.

Children never import what happens to lie in the current folder.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import IO

_POLL_SECONDS = 0.2
GRACE_SECONDS = 3.0
"""How long a child may take to end after SIGTERM, and again after SIGKILL."""
_PR_SET_PDEATHSIG = 1


def start(
    command: list[str], log: IO | int | None, environment: Mapping[str, str] | None
) -> "subprocess.Popen[bytes]":
    """Start `command` under a supervisor, without input; all its output goes to `log`.

    The supervisor ends with the child's exit status (128 + N for signal N); SIGTERM to it ends the
    child and all its descendants.
    """
    return subprocess.Popen(
        [sys.executable, "-P", __file__, str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**(os.environ if environment is None else environment), "PYTHONSAFEPATH": "1"},
        # Ctrl-C in a terminal is for this process, which then stops the child in order
        start_new_session=True,
    )


def _supervise(parent: int, command: list[str]) -> int:
    """Run `command` until it ends, SIGTERM comes, or the process `parent` is no longer ours."""
    stop = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal stop
        stop = True  # no exception: it could strike between the child's start and our knowing it

    signal.signal(signal.SIGTERM, note)
    child = subprocess.Popen(command, process_group=0, preexec_fn=_end_with_parent)
    while not stop and os.getppid() == parent:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_POLL_SECONDS)
            break
    _end_group(child)
    status = child.poll()
    if status is None:
        return 1
    return status if status >= 0 else 128 - status


def _end_with_parent() -> None:
    """Have Linux send this process SIGTERM when its parent ends, however that ends."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, patience, SIGKILL, also for descendants that outlived the child itself."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)


if __name__ == "__main__":
    sys.exit(_supervise(int(sys.argv[1]), sys.argv[2:]))
