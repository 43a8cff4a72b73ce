"""A damaged run folder is refused in one line that names the file, or gives the same results.

Left out: another valid value in a part that is not finished, which no type can tell from the right
one, and files without permission, which root reads anyway.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seal import run as run_module
from seal.errors import UserError
from seal.run import Run
from tests.faults.damages import Damage, of_file, of_finished, of_rows
from tests.faults.small_runs import KINDS, nothing_slow, start, unfinish

ALL = os.environ.get("SEAL_FAULTS") == "all"
EVERY = 1 if ALL else 131
"""Of the generated damages, which are tried: by default one of so many."""
DECIDES_NOTHING = ("lock", "log.txt", "weights.txt")
"""Files whose content is not read; a model folder has checksums of its own, tried elsewhere."""

# The runs


class Hangs(Exception):
    pass


def _hangs(*_: object) -> None:
    raise Hangs


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Iterator[Callable[[Any, bool], tuple[Path, dict[str, str]]]]:
    """runs(job, finished): a folder that the job has made, and the results of it, finished."""
    made: dict[Any, tuple[Path, dict[str, str]]] = {}

    def run_of(job: Callable[[Run], None], finished: bool) -> tuple[Path, dict[str, str]]:
        if (job, finished) not in made:
            folder = tmp_path_factory.mktemp(job.__name__) / "run"
            results = start(job, folder)
            if not finished:
                unfinish(folder)
            made[job, finished] = folder, results
        return made[job, finished]

    before = signal.signal(signal.SIGALRM, _hangs)
    with nothing_slow():
        yield run_of
    signal.signal(signal.SIGALRM, before)


def damages(folder: Path, finished: bool) -> Iterator[tuple[Path, str, Damage]]:
    """All damages of all files of a run folder: the file within it, what is done, and how."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.name not in DECIDES_NOTHING:
            inside = path.relative_to(folder)
            found = [*of_file(path)]
            if path.suffix == ".jsonl" and path.name not in (
                "metrics.jsonl",
                "rows.jsonl",
                "sft.jsonl",
            ):
                found += of_rows(path)
                found += of_finished(path, folder) if finished else []
            yield from ((inside, what, damage) for what, damage in found)


def complaint(job: Callable[[Run], None], folder: Path, file: Path, expected: Any) -> str | None:
    """What is wrong with how the damage of `file` in the folder ends; None if nothing is."""
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        found = start(job, folder)
        return None if found == expected else "SILENT: other results"
    except UserError as error:
        message = str(error)
        named = file.name in message and str(file.parent) in message
        named |= file.name in ("config.json", "SHA256SUMS")  # which speak of other files
        return None if named and "\n" not in message and "; " in message else f"says: {message}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("job", KINDS, ids=lambda job: job.__name__)
def test_a_damaged_run_is_refused_or_ends_alike(job, finished, runs, tmp_path):
    whole, expected = runs(job, finished)
    wrong, tried = [], 0
    for number, (file, what, damage) in enumerate(damages(whole, finished)):
        if number % EVERY == 0:
            folder = tmp_path / "run"
            shutil.copytree(whole, folder)
            damage(folder / file)
            if problem := complaint(job, folder, file, expected):
                wrong.append(f"{file}, {what}: {problem[:300]}")
            shutil.rmtree(folder)
            tried += 1
    assert wrong == []
    assert tried >= (100 if ALL else 1)


# Kills


class Killed(Exception):
    """Other threads are waited for, as those of a program that is killed do not outlive it."""


WRITES = ("append_jsonl", "write_json", "write_jsonl", "write_text", "write_sums")


def start_until(writes: int, job: Callable[[Run], None], folder: Path) -> bool:
    """Start a run that is killed before its next write after so many; whether it was."""
    left = writes

    def counted(write_one: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return write_one(*arguments)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(f"seal.run.{name}", counted(getattr(run_module, name)))
        try:
            start(job, folder)
        except Killed:
            return True
        return False


@pytest.mark.parametrize("finished", [False, True], ids=["new", "finished"])
@pytest.mark.parametrize("job", KINDS, ids=lambda job: job.__name__)
def test_killed_at_any_write_it_ends_alike(job, finished, runs, tmp_path):
    whole, expected = runs(job, True)
    writes, killed = 1, True
    while killed:
        folder = tmp_path / str(writes)
        if finished:
            shutil.copytree(whole, folder)
        killed = start_until(writes, job, folder)
        assert start(job, folder) == expected, writes
        writes += 1 if ALL else 11
