"""Flags come from dataclasses; what the user can mend is one line and exit status 2."""

import errno
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from seal.arguments import arg, labelled, machine_flags, parse_arguments, run_program
from seal.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of a test."""

    run_dir: Path = arg("where")
    k: int = arg("how many (50% more than 2)", 3, at_least=1)
    share: float | None = arg("of what", None, at_least=0)
    kind: Literal["a", "b"] = arg("which", "a")
    labels: list[str] = arg("several", [])
    fast: bool = arg("speed", True, machine=True)


def test_defaults_and_types():
    config = parse_arguments(Config, ["--run_dir", "x", "--labels", "p", "q", "--no_fast"])
    assert config == Config(run_dir=Path("x"), labels=["p", "q"], fast=False)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--run_dir", "x", "--unknown", "1"],
        ["--run_dir", "x", "--k", "many"],
        ["--run_dir", "x", "--kind", "c"],
        ["--run", "x"],
    ],
)
def test_bad_command_lines_end_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(Config, arguments)
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


def test_help_shows_defaults_and_percent_signs(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(Config, ["--help"], "First line.\n\n  Second.")
    shown = capsys.readouterr().out
    assert "50% more than 2" in shown and "default: 3" in shown and "\n  Second." in shown


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
def test_mendable_errors_are_one_line(raised, status, shown, capsys):
    def main(config: Config) -> None:
        raise raised

    with pytest.raises(SystemExit) as ended:
        run_program(main, Config, ["--run_dir", "x"])
    assert ended.value.code == status
    error = capsys.readouterr().err
    assert shown in error and error.count("\n") == 1


def test_defects_keep_their_traceback():
    def main(config: Config) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_program(main, Config, ["--run_dir", "x"])


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


def test_labels():
    assert labelled("--policies", ["seal-1=a/b", "c=d=e"]) == {"seal-1": "a/b", "c": "d=e"}


@pytest.mark.parametrize(
    "words", [["x"], ["=x"], ["a="], ["a/b=c"], ["a=b", "a=c"], ["self-edits=x"]]
)
def test_bad_labels_are_refused(words):
    with pytest.raises(UserError, match="--policies"):
        labelled("--policies", words, taken=["self-edits"])


@pytest.mark.parametrize(
    ("flag", "value"), [("k", "0"), ("k", "-1"), ("share", "-0.5"), ("share", "nan")]
)
def test_numbers_that_are_too_small_are_refused(flag, value, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(Config, ["--run_dir", "x", f"--{flag}", value])
    assert ended.value.code == 2
    assert f"--{flag} {value}: must be at least " in capsys.readouterr().err


def test_numbers_at_the_limit_are_taken():
    config = parse_arguments(Config, ["--run_dir", "x", "--k", "1", "--share", "0"])
    assert (config.k, config.share) == (1, 0.0)
