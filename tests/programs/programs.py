"""Programs as modules, their command lines, and wrappers run without running the programs."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from seal.command_line.arguments import parse_arguments
from seal.command_line.program import run_program
from tests.support.data import REPOSITORY
from tests.support.house import SCRIPTS, TREES

_MAIN_GUARD = re.compile(r"^if __name__ == .__main__.:", re.MULTILINE)
_STUBS = {
    # Writes how many arguments it was given, then the arguments, each ended by a zero byte
    "python": """#!/usr/bin/env bash
printf '%s\\0' "$#" "$@" >> "$RECORDED_COMMANDS"
exit "${STATUS:-0}"
""",
    # Slurm's, which starts a command as a step of a job
    "srun": """#!/usr/bin/env bash
exec "$@"
""",
}


def program_paths() -> list[Path]:
    """Every program of both trees, of scripts/ and of benchmarks/, relative to the repository."""
    folders = [*TREES, SCRIPTS, "benchmarks"]
    files = [path for folder in folders for path in REPOSITORY.glob(f"{folder}/*.py")]
    return sorted(p.relative_to(REPOSITORY) for p in files if _MAIN_GUARD.search(p.read_text()))


@cache
def load_program(tree: str, name: str) -> ModuleType:
    """The program `tree`/`name`.py as a module, under a name that no other tree's program has."""
    path = REPOSITORY / tree / f"{name}.py"
    module_name = f"{tree}_{name}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(module_name, path)
    if not path.exists() or spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look up their own module by name
    try:
        with _first_on_path(path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


@contextmanager
def _first_on_path(folder: Path):
    """Import as a program does: its own folder comes first."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def parse_command(path: str | Path, arguments: Sequence[str]) -> Any:
    """The Config that the program at `path` makes of `arguments`; UserError if it refuses them."""
    path = Path(path)
    return parse_arguments(load_program(str(path.parent), path.stem).Config, list(arguments))


def flag_words(flags: Mapping[str, object]) -> list[str]:
    """A command line of flags and their values; a flag that is False is --no_flag."""
    words = []
    for name, value in flags.items():
        words.append(f"--no_{name}" if value is False else f"--{name}")
        if not isinstance(value, bool):
            words.append(str(value))
    return words


def call_program(path: str | Path, switches: Sequence[str] = (), **flags: object) -> None:
    """Run the program at `path` in this process."""
    path = Path(path)
    module = load_program(str(path.parent), path.stem)
    run_program(module.main, module.Config, [*flag_words(flags), *switches])


def refusal(capsys: Any, path: str | Path, **flags: object) -> str:
    """The one line with which a program refuses these flags; fails if it does anything else."""
    with pytest.raises(SystemExit) as ended:
        call_program(path, **flags)
    assert ended.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1
    return lines[0]


def wrapper_variables(wrapper: Path) -> set[str]:
    """The environment variables that a wrapper, or a script that it hands over to, reads."""
    text = (REPOSITORY / wrapper).read_text()
    called = re.findall(r"^(?:exec |source |srun |bash )+(\S+\.sh)", text, re.MULTILINE)
    own = set(re.findall(r"\$\{([A-Z_]+):-", text))
    return own.union(*(wrapper_variables(Path(script)) for script in called))


@dataclass(frozen=True)
class Recorded:
    """How a wrapper ended, and the programs it would have run with their arguments."""

    status: int
    error: str
    commands: list[list[str]]
    """Each is the program's path, then its arguments."""

    def configs(self) -> list[Any]:
        """What each program makes of its arguments."""
        return [parse_command(path, arguments) for path, *arguments in self.commands]


def record_wrapper(
    wrapper: Path,
    folder: Path,
    arguments: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    cwd: Path = REPOSITORY,
) -> Recorded:
    """Run a shell wrapper with a Python that only records its command line in `folder`.

    The wrapper finds that Python whichever way it looks for one: on PATH, in the folder that VENV
    names, or at PYTHON. `variables` are its environment beyond PATH, of which the recording Python
    reads STATUS, to end with it; nothing is inherited.
    """
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, text in _STUBS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    recorded = folder / "commands"
    recorded.write_bytes(b"")
    environment = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "VENV": str(folder),
        "PYTHON": str(programs / "python"),
        "RECORDED_COMMANDS": str(recorded),
        **(variables or {}),
    }
    bash = shutil.which("bash") or "/bin/bash"
    ended = subprocess.run(
        [bash, str(REPOSITORY / wrapper), *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    return Recorded(ended.returncode, ended.stderr, _read_commands(recorded.read_bytes()))


def _read_commands(recorded: bytes) -> list[list[str]]:
    words = iter(recorded.decode().split("\0")[:-1])
    return [[next(words) for _ in range(int(count))] for count in words]
