"""Programs as real processes: what they print can be shown, and they end when they are told to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seal.command_line.process import INTERRUPTED, SECONDS, lacking, print_error
from tests.support.data import REPOSITORY

PROGRAM = '''"""A program.

{text}
"""
import os, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from seal.command_line.arguments import Settings, arg
from seal.command_line.program import run_program
from seal.errors import UserError


class Config(Settings):
    run_dir: Path = arg("where", Path("runs/x"))
    word: str = arg("what to print", "word")


def main(config):
    print("ready", flush=True)
{body}


if __name__ == "__main__":
    run_program(main, Config)
'''
WAIT = """
    try:
        threading.Event().wait(60)
    finally:
        print("closed", flush=True)
"""
POOL = """
    pool = ThreadPoolExecutor(2)
    pool.submit(time.sleep, 60)
    threading.Thread(target=time.sleep, args=(60,)).start()
"""
BODIES = {
    "waits": WAIT,
    "has threads that wait": POOL + WAIT,
    "waits for its threads": "    with ThreadPoolExecutor(1) as pool: pool.submit(time.sleep, 60)",
    "computes": "    while True: sum(range(10**5))",
}
HELD = {
    "computes outside of Python": """
    import hashlib
    hashlib.pbkdf2_hmac("md5", b"", b"", 10**9)
""",
    "swallows": "    while True:\n        try: time.sleep(60)\n        except BaseException: pass",
    "closes slowly": "    try: time.sleep(60)\n    finally: time.sleep(60)",
}


@pytest.fixture
def start(tmp_path):
    """Starts a program with this body; ends it after the test."""
    started = []

    def run(body: str, *words: str, text: str = "", **options) -> subprocess.Popen:
        program = tmp_path / "program.py"
        program.write_text(PROGRAM.format(body=body, text=text))
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        environment = {**os.environ, **options.pop("env", {})}
        environment |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(program), *words]
        started.append(subprocess.Popen(command, env=environment, **options))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen) -> tuple[int, str, list[str]]:
    out, error = process.communicate(timeout=60)
    return process.returncode, (out or b"").decode(), (error or b"").decode().splitlines()


@pytest.mark.parametrize(
    "body", [*BODIES, *(pytest.param(each, marks=pytest.mark.slow) for each in HELD)]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(start, body, number):
    code = (BODIES | HELD)[body]
    process = start(code)
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.2)
    begun = time.monotonic()
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)  # a second Ctrl-C changes nothing
    status, out, error = ended(process)
    assert time.monotonic() - begun < SECONDS + 1
    assert status == 128 + number
    assert [line for line in error if line.startswith("error:")] == [f"error: {INTERRUPTED}"]
    assert not any("Traceback" in line for line in error), error
    assert ("closed" in out) == ("closed" in code)


def test_a_program_that_a_shell_put_aside_ignores_ctrl_c(start):
    process = start("    time.sleep(1)", preexec_fn=lambda: signal.signal(2, signal.SIG_IGN))
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert ended(process) == (0, "", [])


def test_a_mistake_is_not_held_by_threads(start):
    process = start(POOL + "    raise UserError('x: wrong; fix it')")
    begun = time.monotonic()
    assert ended(process) == (2, "ready\n", ["error: x: wrong; fix it"])
    assert time.monotonic() - begun < 30


def test_nobody_reads(start):
    long = "    for _ in range(10**5): print('x' * 99)"
    for words, body, text, said in [
        ([], long, "", 1),
        (["--help"], "", "line\n" * 50_000, 0),
    ]:
        process = start(body, *words, text=text)
        process.stdout.readline()
        process.stdout.close()
        lines = process.stderr.read().decode().splitlines()
        assert process.wait(60) == 1 and len(lines) == said, lines
        assert not said or "nobody reads" in lines[0]


@pytest.mark.parametrize("descriptor", [1, 2])
def test_closed_output_is_not_another_file(start, tmp_path, descriptor):
    path = tmp_path / "file"
    body = f"    file = open({str(path)!r}, 'w'); os.write({descriptor}, b'noise'); file.write('x')"
    process = start(body, preexec_fn=lambda: os.close(descriptor))
    assert ended(process)[0] == 0
    assert path.read_text() == "x"


def test_what_a_terminal_cannot_show(start):
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    status, out, error = ended(start("    print('é')", env=ascii_only))
    assert (status, error) == (0, []) and "\\x" in out
    status, _, error = ended(start("    raise UserError('é\\x1b[31m\\n\\0')", env=ascii_only))
    assert (status, len(error)) == (2, 1) and "\x1b" not in error[0] and "\0" not in error[0]


def test_a_folder_that_is_gone(start, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    process = start("", cwd=gone, preexec_fn=gone.rmdir)
    assert ended(process) == (
        2,
        "",
        ["error: the current folder does not exist any more; cd to another"],
    )


def test_a_defect_says_so_and_keeps_its_traceback(start):
    status, _, error = ended(start("    raise ZeroDivisionError", "--run_dir", "there"))
    assert status == 1 and error[0].startswith("Traceback") and "ZeroDivisionError" in error
    assert error[-1].startswith("error: this is a defect of the program") and "there" in error[-1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "memory is full"),
        (RuntimeError("CUDA out of memory. Tried"), "memory is full"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory is full"),
        (RecursionError(), "nested too deeply"),
        (UnicodeEncodeError("ascii", "é", 0, 1, ""), "LC_ALL"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, ""), None),
        (ZeroDivisionError(), None),
    ],
)
def test_what_the_machine_lacks_is_no_defect(error, said):
    found = lacking(error)
    assert found is None if said is None else said in found


def test_an_error_is_one_line_without_passwords(capsys):
    assert print_error("a\nb \x1b[1m http://u:p@h x" + "y" * 9999, 2) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: a b \\x1b[1m http") and "u:p" not in shown
    assert len(shown) < 2100 and shown.count("\n") == 1


def test_a_program_uses_its_own_package(start, tmp_path):
    (tmp_path / "clone/seal").mkdir(parents=True)
    (tmp_path / "clone/seal/__init__.py").touch()
    (tmp_path / "clone/tree").mkdir()
    start("").wait()
    program = Path(tmp_path / "clone/tree/program.py")
    program.write_text((tmp_path / "program.py").read_text())
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and "pip install -e" in done.stderr and done.stdout == ""
