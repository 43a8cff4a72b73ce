"""A run is a folder: what was asked, on which code, what was found, and how far it got.

config.json        the program's flags
environment.json   git commit, package versions, command line (one entry per start)
code-*.diff        what differed from that commit
log.txt            what the program printed through `Run.say`
metrics.jsonl      times, losses, memory: everything that depends on the clock or the machine; when
                   the run ends, what it took (`seal.usage`)
NAME.jsonl         outputs, one record a line, each with a stable "id"
results.json       what was found; written last, and equal for equal configs
"""

import dataclasses
import fcntl
import hashlib
import json
import math
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from seal.arguments import Settings, arg, machine_flags
from seal.errors import UserError
from seal.records import (
    Record,
    append_jsonl,
    cut_torn_line,
    read_json,
    read_jsonl,
    to_json,
    write_json,
    write_text,
)
from seal.usage import EVENT, measure_usage

Item = TypeVar("Item")
MINIMAL_SPACE = 10_000_000
PACKAGES = ("torch", "transformers", "peft", "vllm", "accelerate", "datasets", "openai", "numpy")


class RunSettings(Settings, group="run"):
    """Where a run lies and what its random choices derive from."""

    run_dir: Path = arg("run folder; the same command resumes what is in it")
    seed: int = arg("every random choice derives from it", 0)


class Run:
    """One run folder, held by one process.

    Opening it again with the same config resumes it; with another config, or after flags were added
    to the program or removed, it is refused. Files are only ever appended to or replaced whole, so
    a process may be killed at any moment.
    """

    def __init__(self, folder: Path, whole: "Run | None" = None) -> None:
        self.folder = folder
        self._whole = whole
        self._opened = time.perf_counter()
        self._ids: dict[str, set[str]] = {}
        self._writing = threading.Lock()

    @classmethod
    def open(cls, folder: Path, config: Any) -> "Run":
        """Create or resume the run in `folder` for a config dataclass.

        Raises UserError when another process holds the folder, when it belongs to another config or
        version (the differing flags are named), or when it holds files but is not a run folder.
        """
        folder = folder.absolute()
        if folder.exists() and not folder.is_dir():
            raise UserError(f"--run_dir {folder} is a file; choose a folder")
        # A process that was killed before it wrote its config may have left a lock and a log
        started = (folder / "config.json").exists()
        others = [path for path in folder.glob("[!.]*") if path.name not in ("lock", "log.txt")]
        if others and not started:
            raise UserError(f"--run_dir {folder} holds other files; choose an empty folder")
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < MINIMAL_SPACE:
            raise UserError(
                f"{folder}: {free / 1e6:,.0f} MB free on its disk, a run needs"
                f" {MINIMAL_SPACE / 1e6:,.0f} MB; make room or choose another --run_dir"
            )
        run = cls(folder)
        run._lock()
        run._check_config(config)
        for path in folder.rglob("*.jsonl"):
            torn = cut_torn_line(path)
            if torn:
                run.say(f"{path.name}: dropped a line that was cut short: {torn[:80]}")
        run._record_environment()
        return run

    def part(self, name: str) -> "Run":
        """The records of one stage of this run, in a folder of their own; log and metrics stay."""
        return Run(self.folder / name, self._whole or self)

    # What the run was asked and where it ran

    def _lock(self) -> None:
        self._lock_file = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"--run_dir {self.folder} is in use by another process; wait for it, or choose"
                " another folder"
            ) from None

    def _check_config(self, config: Any) -> None:
        path = self.folder / "config.json"
        asked = json.loads(to_json(dataclasses.asdict(config)))
        # Where the folder lies does not change what is in it: a run may be moved
        free = machine_flags(config) | {"run_dir"}
        if path.exists():
            before = read_json(path)
            unknown = sorted((before.keys() ^ asked.keys()) - free)
            if unknown:
                raise UserError(
                    f"{self.folder} holds a run of another version of the program: either it or"
                    f" this one has no {', '.join(unknown)}; finish it with the commit that its"
                    " environment.json names, or choose another --run_dir"
                )
            differing = [
                f"{key} was {before[key]!r}, now {asked[key]!r}"
                for key in sorted(asked.keys() - free)
                if before[key] != asked[key]
            ]
            if differing:
                raise UserError(
                    f"{self.folder} holds a run with another config ({'; '.join(differing)});"
                    " use the same flags to resume it, or another --run_dir"
                )
        write_json(path, asked)

    def _record_environment(self) -> None:
        path = self.folder / "environment.json"
        starts = read_json(path) if path.exists() else []
        # The code that runs, not the folder that the user happens to stand in
        root = Path(__file__).resolve().parent.parent
        commit = _git(root, "rev-parse", "HEAD").strip()
        difference = _git(root, "diff", "HEAD") if commit else ""
        name = f"code-{hashlib.sha256(difference.encode()).hexdigest()[:8]}.diff"
        entry = {
            "command": sys.argv,
            "commit": commit or None,
            "difference": name if difference else None,
            "python": sys.version.split()[0],
            "packages": {name: _version(name) for name in PACKAGES},
        }
        if entry not in starts:
            write_json(path, [*starts, entry])
        if difference:
            write_text(self.folder / name, difference)

    # Telling

    def say(self, text: str) -> None:
        """Print a line and keep it in log.txt."""
        tqdm.write(text)
        with (self._whole or self).path("log.txt").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")

    def metric(self, event: str, **values: Any) -> None:
        """Note what depends on the clock or the machine; it decides nothing.

        NaN and infinity (the loss of an adapter that diverged) are noted as null.
        """
        line = {"time": round(time.time(), 3), "event": event, "part": self.folder.name}
        for name, value in values.items():
            infinite = isinstance(value, float) and not math.isfinite(value)
            line[name] = None if infinite else value
        append_jsonl((self._whole or self).path("metrics.jsonl"), line)

    def progress(self, total: int, label: str) -> tqdm:
        """A progress bar with rate and remaining time; a line a minute where stderr is a file."""
        seconds = 0.1 if sys.stderr.isatty() else 60
        return tqdm(total=total, desc=label, dynamic_ncols=True, mininterval=seconds)

    # Records

    def path(self, name: str) -> Path:
        """The absolute path of a file in the run folder."""
        return self.folder / name

    def records(self, name: str) -> list[Record]:
        """All records of NAME.jsonl in the order in which they were appended; [] if none yet."""
        path = self.path(f"{name}.jsonl")
        return read_jsonl(path) if path.exists() else []

    def ids(self, name: str) -> set[str]:
        """The ids that NAME.jsonl holds."""
        if name not in self._ids:
            self._ids[name] = {record["id"] for record in self.records(name)}
        return self._ids[name]

    def append(self, name: str, *records: Record) -> None:
        """Append records to NAME.jsonl, leaving out those whose id is there already."""
        with self._writing:  # answers arrive from other threads than the one that trains
            known = self.ids(name)
            new = [record for record in records if record["id"] not in known]
            append_jsonl(self.path(f"{name}.jsonl"), *new)
            known.update(record["id"] for record in new)

    def pending_groups(
        self, name: str, items: Sequence[Item], size: int, key: Callable[[Item], str]
    ) -> Iterator[list[Item]]:
        """The groups of `size` neighbouring items of which NAME.jsonl lacks at least one.

        A group is computed whole even if some of its items are done: the last bits of batched
        arithmetic depend on the batch, so a resumed run that formed other batches could end with
        other results than an undisturbed one. `append` keeps what was already there.
        """
        for start in range(0, len(items), size):
            group = list(items[start : start + size])
            if any(key(item) not in self.ids(name) for item in group):
                yield group

    def write_results(self, results: Any) -> None:
        """Write results.json, the mark of a finished run, atomically.

        The whole run, not a part, first notes what it took since it was opened in this process.
        """
        if self._whole is None:
            usage = measure_usage(time.perf_counter() - self._opened)
            self.metric(EVENT, **dataclasses.asdict(usage))
        write_json(self.path("results.json"), results)


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _version(package: str) -> str | None:
    return next((found.version for found in metadata.distributions(name=package)), None)
