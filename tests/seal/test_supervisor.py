"""A supervised child ends with its program, however that ends, and its status arrives."""

import os
import signal
import subprocess
import sys

import pytest

from seal import supervisor
from seal.supervisor import start
from tests.support.data import REPOSITORY

PYTHON = [sys.executable, "-c"]


@pytest.mark.parametrize(
    ("code", "status"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 128 + 9), ("", 0)],
)
def test_the_childs_status_arrives(code, status):
    assert start([*PYTHON, code], None, None).wait() == status


def gone(descriptor: int) -> bool:
    """Whether every process that held the pipe's other end is gone; waits for that."""
    return os.read(descriptor, 1) == b""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_and_its_children_end_with_the_program(how):
    # Child and grandchild hold the pipe open for as long as they live
    grandchild = "import signal; print('up', flush=True); signal.pause()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    program = f"from seal.supervisor import start\nstart({[*PYTHON, child]!r}, None, None).wait()"
    parent = subprocess.Popen([*PYTHON, program], stdout=subprocess.PIPE)
    with parent.stdout as output:
        assert output.readline() == b"up\n"
        parent.send_signal(how)
        parent.wait()
        assert gone(output.fileno())


def test_sigterm_to_the_supervisor_ends_the_child():
    code = "import signal; print('up', flush=True); signal.pause()"
    process = start([*PYTHON, code], subprocess.PIPE, None)
    with process.stdout as output:
        assert output.readline() == b"up\n"
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
        assert gone(output.fileno())


def test_the_child_ends_with_a_killed_supervisor():
    code = "import signal; print('up', flush=True); signal.pause()"
    process = start([*PYTHON, code], subprocess.PIPE, None)
    with process.stdout as output:
        assert output.readline() == b"up\n"
        process.kill()
        assert gone(output.fileno())


def test_children_import_nothing_from_the_current_folder(tmp_path, monkeypatch):
    for name in ("signal.py", "json.py", "seal.py"):
        (tmp_path / name).write_text("raise SystemExit('code of the current folder')")
    monkeypatch.chdir(tmp_path)
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]}
    for command in ([*PYTHON, "import json, signal, seal"], [sys.executable, "-m", "json", "-h"]):
        process = start(command, subprocess.PIPE, environment)
        assert b"code of the current folder" not in process.communicate()[0]


def test_a_child_deaf_to_sigterm_is_killed(monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.1)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True)\n"
    child = subprocess.Popen(
        [*PYTHON, deaf + "while True: signal.pause()"], stdout=subprocess.PIPE, process_group=0
    )
    with child.stdout as output:
        output.readline()
    supervisor._end_group(child)
    assert child.wait(60) == -signal.SIGKILL
