"""A run is a folder: what was asked, on which code, what was found, and how far it got.

config.json        the program's flags, and checksums of what it read
environment.json   git commit, package versions, command line (one entry per start)
code-*.diff        what differed from that commit
log.txt            what the program printed through `Run.say`
metrics.jsonl      times, losses, memory: everything that depends on the clock or the machine; when
                   the run ends, what it took (`seal.usage`)
NAME.jsonl         outputs, one record a line, each with a stable "id"
results.json       what was found; equal for equal configs and inputs
SHA256SUMS         checksums of results.json and all NAME.jsonl, once the run or a part is finished
"""

import dataclasses
import fcntl
import json
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from seal.checksums import SUMS_FILE, check_sums, checksum_of_value, write_sums
from seal.command_line.arguments import Settings, arg, machine_flags
from seal.command_line.flag_values import LARGEST_SEED
from seal.environment import describe_start
from seal.errors import UserError
from seal.records import (
    Record,
    append_jsonl,
    cut_torn_line,
    jsonl_rows,
    of_kind,
    read_json,
    to_json,
    typed,
    write_json,
    write_jsonl,
    write_text,
)
from seal.usage import EVENT, METRICS_FILE, measure_usage

Item = TypeVar("Item")
Kind = TypeVar("Kind")
MINIMAL_SPACE = 10_000_000
_ROW_FIX = "delete the row to have it computed again"


class RunSettings(Settings, group="run"):
    """Where a run lies and what its random choices derive from."""

    run_dir: Path = arg("run folder; the same command resumes what is in it")
    seed: int = arg("every random choice derives from it", 0, at_least=0, at_most=LARGEST_SEED)


class Run:
    """One run folder, held by one process.

    Opening it again with the same config and inputs resumes it; otherwise, or after flags were
    added to the program or removed, it is refused. Files are only ever appended to or replaced
    whole, so a process may be killed at any moment.
    """

    def __init__(self, folder: Path, whole: "Run | None" = None) -> None:
        self.folder = folder
        self._whole = whole
        self._opened = time.perf_counter()
        self._ids: dict[str, set[str]] = {}
        self._writing = threading.Lock()

    @classmethod
    def open(
        cls,
        folder: Path,
        config: Any,
        inputs: Mapping[str, Any] | None = None,
        kinds: Mapping[str, type] | None = None,
    ) -> "Run":
        """Create or resume the run in `folder` for a config dataclass.

        `inputs` are what the program has read, or its checksum, by the flags that name it, such as
        {"--tasks --task_ids": tasks}. They, not their paths, must be equal on resuming. `kinds`:
        the dataclass of the records in NAME.jsonl, by NAME, in the folder and all its parts.

        Raises UserError when another process holds the folder, when it belongs to another config,
        other inputs or another version (what differs is named), when it is damaged, or when it
        holds files but is not a run folder.
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
        run._check_config(config, inputs or {})
        run._check_records(kinds or {})
        run._record_environment()
        return run

    def part(self, name: str) -> "Run":
        """The records of one stage of this run, in a folder of their own; log and metrics stay."""
        return Run(self.folder / name, self._whole or self)

    # What the run was asked and where it ran

    def _lock(self) -> None:
        try:
            # A link could point at a file of the user's
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            self._lock_file = os.fdopen(os.open(self.folder / "lock", flags, 0o644), "w")
        except OSError as error:
            problem = f"{self.folder / 'lock'} cannot be opened ({error.strerror})"
            raise UserError(f"{problem}; remove it, or choose another --run_dir") from None
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"--run_dir {self.folder} is in use by another process; wait for it, or choose"
                " another folder"
            ) from None

    def _check_config(self, config: Any, inputs: Mapping[str, Any]) -> None:
        asked = json.loads(to_json(dataclasses.asdict(config)))
        asked["inputs"] = {name: checksum_of_value(read) for name, read in inputs.items()}
        if self.path("config.json").exists():
            before = self._read("config.json", dict)
            self._refuse_another(before, asked, machine_flags(config))
        write_json(self.path("config.json"), asked)

    def _refuse_another(self, before: Record, asked: Record, machine: set[str]) -> None:
        """Raise UserError unless the run was asked the same before, of the same inputs."""
        # Where the folder lies does not change what is in it: a run may be moved
        free = machine | {"run_dir"}
        commit = "finish it with the commit that its environment.json names"
        if not isinstance(before.get("inputs"), dict):
            raise UserError(
                f"{self.folder} holds a run of an earlier version, which did not note what it read,"
                f" so a change would pass unnoticed; {commit}, or choose another --run_dir"
            )
        if unknown := sorted((before.keys() ^ asked.keys()) - free):
            raise UserError(
                f"{self.folder} holds a run of another version of the program: either it or"
                f" this one has no {', '.join(unknown)}; {commit}, or choose another --run_dir"
            )
        then, now = before["inputs"], asked["inputs"]
        if list(then) == list(now):  # of inputs, the contents are compared instead of the paths
            flags = [flag for name in now for flag in name.split() if flag.startswith("--")]
            free |= {flag.removeprefix("--") for flag in flags}
        differing = [
            f"{key} was {before[key]!r}, now {asked[key]!r}"
            for key in sorted(asked.keys() - free - {"inputs"})
            if before[key] != asked[key]
        ]
        if differing:
            raise UserError(
                f"{self.folder} holds a run with another config ({'; '.join(differing)});"
                " use the same flags to resume it, or another --run_dir"
            )
        changed = [name for name in dict.fromkeys([*now, *then]) if then.get(name) != now.get(name)]
        if changed:
            named = ", ".join(_with_value(name, asked) for name in changed)
            raise UserError(
                f"{named}: not what it was when the run in {self.folder} began; restore it to"
                " resume the run, or choose another --run_dir"
            )

    def _check_records(self, kinds: Mapping[str, type]) -> None:
        """Find damage, before any work; drop what a killed process left of a line."""
        for path in self.folder.rglob("*"):
            own = path.suffix in (".json", ".jsonl") or path.name in ("log.txt", SUMS_FILE)
            if own and not path.is_file():  # reading a pipe or a device might never end
                raise UserError(f"{path} is not a file; remove it to have it made again")
        for results in self.folder.rglob("results.json"):
            part = Run(results.parent, self)
            again = f"delete {part.path(SUMS_FILE)} to make the results again from all records"
            check_sums(part.folder, f"restore it, or {again}")
        for path in self.folder.rglob("*.jsonl"):
            torn = cut_torn_line(path)
            if torn:
                self.say(f"{path.name}: dropped a line that was cut short: {torn[:80]}")
            if path.stem in kinds:
                Run(path.parent, self).records(path.stem, kinds[path.stem])

    def _record_environment(self) -> None:
        exists = self.path("environment.json").exists()
        starts = self._read("environment.json", list) if exists else []
        entry, difference = describe_start()
        code = [{key: start.get(key) for key in ("commit", "difference")} for start in starts]
        if code and code[0] != {key: entry[key] for key in code[0]}:
            self.say(
                "note: this is not the code that the run began with (see environment.json); a"
                " change in what it computes would mix in the results"
            )
        if entry not in starts:
            write_json(self.path("environment.json"), [*starts, entry])
        if difference:
            write_text(self.path(entry["difference"]), difference)

    def _read(self, name: str, kind: type[Kind]) -> Kind:
        """A JSON file that this class wrote."""
        try:
            value = of_kind(read_json(self.path(name)), kind, str(self.path(name)))
            if kind is list:
                [of_kind(entry, dict, f"{self.path(name)}: an entry") for entry in value]
            return value
        except UserError as error:
            problem = str(error).removesuffix("; fix it")
            restore = "restore it from a copy, or choose another --run_dir"
            raise UserError(f"{problem}; {restore}") from None

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
        append_jsonl((self._whole or self).path(METRICS_FILE), line)

    def progress(self, total: int, label: str) -> tqdm:
        """A progress bar with rate and remaining time; a line a minute where stderr is a file."""
        seconds = 0.1 if sys.stderr.isatty() else 60
        return tqdm(total=total, desc=label, dynamic_ncols=True, mininterval=seconds)

    # Records

    def path(self, name: str) -> Path:
        """The absolute path of a file in the run folder."""
        return self.folder / name

    def records(self, name: str, kind: type[Kind]) -> list[Kind]:
        """The records of NAME.jsonl as dataclasses, in the order of the file; [] if none yet.

        Raises UserError with the row that is not of this `kind` or repeats an id.
        """
        return [typed(record, kind, where, _ROW_FIX) for where, record in self._rows(name)]

    def ids(self, name: str) -> set[str]:
        """The ids that NAME.jsonl holds; raises UserError as `records` does."""
        if name not in self._ids:
            self._ids[name] = {record["id"] for _, record in self._rows(name)}
        return self._ids[name]

    def _rows(self, name: str) -> Iterator[tuple[str, Record]]:
        """Each record of NAME.jsonl behind the words that messages about it begin with."""
        path, seen = self.path(f"{name}.jsonl"), set()
        for where, record in jsonl_rows(path) if path.exists() else ():
            if not isinstance(id_ := record.get("id"), str):
                raise UserError(f'{where}: "id" is {id_!r} instead of a text; {_ROW_FIX}')
            if id_ in seen:
                raise UserError(f"{where}: its id {id_!r} occurs before; delete one of the two")
            seen.add(id_)
            yield where, record

    def append(self, name: str, *records: Record) -> None:
        """Append records to NAME.jsonl, leaving out those whose id is there already."""
        with self._writing:  # answers arrive from other threads than the one that trains
            known = self.ids(name)
            if new := [record for record in records if record["id"] not in known]:
                self._reopen()
                append_jsonl(self.path(f"{name}.jsonl"), *new)
                known.update(record["id"] for record in new)

    def replace(self, name: str, records: Iterable[Record]) -> None:
        """Write NAME.jsonl as a whole."""
        self._reopen()
        write_jsonl(self.path(f"{name}.jsonl"), records)
        self._ids.pop(name, None)

    def _reopen(self) -> None:
        """Unmark a finished part, and the run, as its records are about to change."""
        for folder in {self.folder, (self._whole or self).folder}:
            (folder / SUMS_FILE).unlink(missing_ok=True)

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

    def results(self) -> Any:
        """What results.json holds; None of a run or part that is not finished."""
        finished = self.path(SUMS_FILE).exists() and self.path("results.json").exists()
        return read_json(self.path("results.json")) if finished else None

    def write_results(self, results: Any) -> None:
        """Write results.json and SHA256SUMS, the mark of a finished run, each atomically.

        The whole run, not a part, first notes what it took since it was opened in this process.
        """
        if self._whole is None:
            usage = measure_usage(time.perf_counter() - self._opened)
            self.metric(EVENT, **dataclasses.asdict(usage))
        self._reopen()
        write_json(self.path("results.json"), results)
        write_sums(self.folder, [*self._record_files(), "results.json"])

    def _record_files(self) -> list[str]:
        """The files of records of this part, in whatever folder of it; not of finished parts."""
        finished = {path.parent for path in self.folder.rglob(SUMS_FILE)}
        return sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*.jsonl")
            if path.name != METRICS_FILE and finished.isdisjoint(path.parents)
        )


def _with_value(name: str, flags: Mapping[str, Any]) -> str:
    """The name of an input, behind each of its flags the value: "--tasks FOLDER"."""
    values = ((word, flags.get(word.removeprefix("--"))) for word in name.split())
    return " ".join(f"{word} {value}" if isinstance(value, str) else word for word, value in values)
