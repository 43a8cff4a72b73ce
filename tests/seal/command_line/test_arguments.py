"""Flags come from dataclasses; what the user can fix is one line and exit status 2."""

import errno
import os
import signal
import sys
from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path
from typing import Literal

import pytest

from seal.command_line.arguments import Settings, arg, machine_flags, parse_arguments
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.records import to_json


class Base(Settings, group="inner loop"):
    """Flags that a config inherits."""

    k: int = arg("how many (50% more than 2)", 2, at_least=1)
    share: float | None = arg("of what", None, at_least=0)
    kind: Literal["a", "b"] = arg("which", "a")


class Config(Base):
    """Flags of a test."""

    run_dir: Path = arg("where", group="run")
    k: int = arg("how many (50% more than 2)", 3, at_least=1)
    name: str | None = arg("what it is called", None)
    labels: list[str] = arg("several", [])
    fast: bool = arg("speed", True, machine=True)
    slow: bool = arg("the other speed", False)


def parse(*words: str) -> Config:
    """What the command line gives, with the one required flag."""
    return parse_arguments(Config, ["--run_dir", "x", *words])


def test_defaults_and_types():
    config = parse("--labels", "p", "q", "--no_fast")
    assert config == Config(run_dir=Path("x"), labels=["p", "q"], fast=False)
    with pytest.raises(FrozenInstanceError):
        config.k = 5


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--no_fast", "--slow"], {"fast": False, "slow": True}),
        (["--slow", "--no_slow"], {}),
        (["--k=4", "--k", "5"], {"k": 5}),
        (["--share", "1e-3"], {"share": 0.001}),
        (["--name", "-1"], {"name": "-1"}),
        (["--name=--k", "--labels", "a b"], {"name": "--k", "labels": ["a b"]}),
        (["--name", "a", "--name", "None"], {}),
    ],
)
def test_values(words, expected):
    assert parse(*words) == Config(run_dir=Path("x"), **expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required and not given: --run_dir (--help lists all flags)"),
        (
            ["--run_dir", "x", "--lables", "1"],
            "--lables is not a flag of test_arguments.py; did you mean --labels?"
            " (--help lists all)",
        ),
        (["--zzz=1"], "--zzz is not a flag of test_arguments.py (--help lists all)"),
        (["-k", "1"], "-k is not a flag"),
        (
            ["--run-dir", "x"],
            "--run-dir is not a flag of test_arguments.py; did you mean --run_dir?",
        ),
        (["--run", "x"], "--run is not a flag of test_arguments.py; did you mean --run_dir?"),
        (["--run_dir", "x", "--no_k"], "--no_k is not a flag"),
        (["x", "--run_dir", "x"], "x: belongs to no flag"),
        (["--run_dir", "x", "--k", "3", "4"], "4: belongs to no flag"),
        (["--run_dir", "x", "--k", "many"], "--k many: must be a whole number"),
        (["--run_dir", "x", "--k", "1.5"], "--k 1.5: must be a whole number"),
        (["--run_dir", "x", "--k"], "--k: must be followed by a whole number"),
        (["--run_dir", "x", "--labels"], "--labels: must be followed by a list"),
        (["--run_dir", "x", "--share", "some"], "--share some: must be a number"),
        (["--run_dir", "x", "--kind", "c"], "--kind c: must be one of a, b"),
        (["--run_dir", "x", "--fast", "False"], "False: belongs to no flag"),
        (["--run_dir", "x", "--k", "0"], "--k 0: must be at least 1"),
        (["--run_dir", "x", "--k", "-1"], "--k -1: must be at least 1"),
        (["--run_dir", "x", "--share", "-0.5"], "--share -0.5: must be at least 0"),
        (["--run_dir", "x", "--share", "nan"], "--share nan: must be a finite number"),
    ],
)
def test_a_bad_command_line_is_one_line_and_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        run_program(lambda config: None, Config, arguments)
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"error: {message}"), shown.err
    assert shown.err.count("\n") == 1 and shown.out == ""


def test_numbers_at_the_limit_are_taken():
    config = parse("--k", "1", "--share", "0")
    assert (config.k, config.share) == (1, 0.0)


@pytest.mark.parametrize("columns", ["80", "120"])
def test_help(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(
        "tests.seal.command_line.test_arguments.__doc__", "First line.\n\n  Second.\n"
    )
    with pytest.raises(SystemExit) as ended:
        parse_arguments(Config, ["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("First line.\n\n  Second.\n\nusage: test_arguments.py")
    assert max(map(len, shown.splitlines())) <= int(columns)
    groups = [part.splitlines() for part in shown.split("\n\n")]
    # A flag that a subclass gives another default stays in its group
    assert {
        lines[0].strip(): [w.split()[0] for w in lines[2:] if "--" in w[:8]] for lines in groups[3:]
    } == {
        "options": ["-h,", "--config"],
        "what to run on": ["--name", "--labels", "--fast,", "--slow,"],
        "inner loop": ["--k", "--share", "--kind"],
        "run": ["--run_dir"],
    }
    for text in ["50% more than 2) (default: 3)", "where (required)", "--kind {a,b}"]:
        assert text in shown


# Files of settings


@pytest.fixture
def config_file(tmp_path):
    """Writes a file of settings, and returns its path as a word."""

    def write(text: str, name: str = "a.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_flags_win_over_files_and_later_files_over_earlier_ones(config_file):
    first = config_file("k: 7\nkind: b\nlabels: [p, q]\nfast: false\nshare: 3e-3\n")
    second = config_file("k: 8\nshare: null\nname: '12'\n", "b.yaml")
    expected = Config(run_dir=Path("x"), k=9, kind="b", labels=["p", "q"], fast=False, name="12")
    assert parse("--config", first, second, "--k", "9") == expected
    assert parse("--k", "9", "--config", first, "--config", second) == expected
    assert parse("--config", second, first).share == 0.003


def test_the_config_of_a_run_is_such_a_file_without_its_folder(config_file):
    of_run = Config(run_dir=Path("old"), k=4, share=1e-5, labels=[], fast=False)
    file = config_file(to_json(asdict(of_run)), "config.json")
    assert parse("--config", file) == replace(of_run, run_dir=Path("x"))
    with pytest.raises(UserError, match="required and not given: --run_dir"):
        parse_arguments(Config, ["--config", file])


def test_settings_of_other_programs_are_named_and_ignored(config_file, capsys):
    file = config_file("repeats: 1\nk: 4\nslots: 50\nsequences: 8\n", "small.yaml")
    assert parse("--config", file).k == 4
    assert capsys.readouterr().err == (
        "ignored from small.yaml: repeats, slots, sequences (not flags of test_arguments.py)\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lables: [a]", "no program has the setting lables; did you mean labels?"),
        ("k: many", "k: many: must be a whole number"),
        ("k: true", "k: True: must be a whole number"),
        ("k: 1.5", "k: 1.5: must be a whole number"),
        ("k: null", "k: None: must be a whole number"),
        ("k: 0", "k: 0: must be at least 1"),
        ("share: [1]", "share: [1]: must be a number"),
        ("name: 0012", "name: 0012: YAML reads another number"),
        ("kind: c", "kind: c: must be one of a, b"),
        ("labels: a", "labels: a: must be a list"),
        ("labels: [a, 1]", "labels: ['a', 1]: must be a list of text"),
        ("fast: maybe", "fast: maybe: must be True or False"),
        ("- k", "must hold settings"),
        ("k: [", "is not YAML"),
        (None, "no such file"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text, message, config_file, tmp_path, capsys):
    file = config_file(text) if text is not None else str(tmp_path / "none.yaml")
    with pytest.raises(SystemExit) as ended:
        run_program(lambda config: None, Config, ["--run_dir", "x", "--config", file])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert message in shown and file in shown and shown.count("\n") == 1


# Programs


def test_machine_flags():
    assert machine_flags(Config) == machine_flags(Config(run_dir=Path("x"))) == {"fast"}


@pytest.mark.parametrize(
    ("raised", "status", "shown"),
    [
        (UserError("the file\nis missing"), 2, "error: the file is missing\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/run/a"), 2, "/run/a: No space left"),
        (KeyboardInterrupt(), 130, "resume"),
    ],
)
def test_errors_that_a_user_can_fix_are_one_line(raised, status, shown, capsys):
    def main(config: Config) -> None:
        raise raised

    with pytest.raises(SystemExit) as ended:
        run_program(main, Config, ["--run_dir", "x"])
    assert ended.value.code == status
    error = capsys.readouterr().err
    assert shown in error and error.count("\n") == 1


def test_a_defect_keeps_its_traceback_and_says_what_it_is(capsys):
    def main(config: Config) -> None:
        raise ZeroDivisionError

    with pytest.raises(SystemExit) as ended:
        run_program(main, Config, ["--run_dir", "x"])
    *traceback, last = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1 and "ZeroDivisionError" in traceback
    assert last.startswith(
        "error: this is a defect of the program, not of its input: please report"
    )
    assert "x keeps what was computed, the same command resumes it" in last


def test_a_program_refuses_the_package_of_another_checkout(tmp_path, monkeypatch):
    (tmp_path / "seal").mkdir()
    (tmp_path / "seal/__init__.py").touch()
    program = tmp_path / "few-shot/solve.py"
    monkeypatch.setattr(sys.modules[Config.__module__], "__file__", str(program))
    with pytest.raises(SystemExit) as ended:
        run_program(lambda config: None, Config, ["--run_dir", "x"])
    assert ended.value.code == 2


def test_sigterm_unwinds_the_stack():
    closed = []

    def main(config: Config) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            closed.append(True)

    with pytest.raises(SystemExit) as ended:
        run_program(main, Config, ["--run_dir", "x"])
    assert ended.value.code == 128 + signal.SIGTERM and closed
