"""SHA-256 of files, folders and values: whether something is still what it was.

A finished folder holds SHA256SUMS, as `sha256sum --check` reads it. It is written last, so a folder
without one is not finished or was made by another program.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from seal.errors import UserError
from seal.records import read_text, write_text

SUMS_FILE = "SHA256SUMS"
_LARGE = 2**24  # bytes
_THREADS = 4  # one file's checksum keeps a core busy; a large model has several files
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def checksum_of_value(value: Any) -> str:
    """SHA-256 of a value of JSON, or of dataclasses in one: equal for equal content.

    Fields of dataclasses that are not compared do not count.
    """
    return hashlib.sha256(json.dumps(value, default=_compared).encode()).hexdigest()


def _compared(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value) if field.compare}


def checksums(paths: Iterable[Path]) -> list[str]:
    """SHA-256 of each file's bytes, in order, several at a time.

    A large file is read once in a process, unless its size or time of change differs. Raises
    OSError.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(_checksum, paths))


def _checksum(path: Path) -> str:
    state = path.stat()
    if state.st_size < _LARGE:  # it may change within a tick of the file system's clock
        return _read(path)
    return _read_once(path.resolve(), state.st_ino, state.st_size, state.st_mtime_ns)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _read_once(path: Path, *_state: int) -> str:
    return _read(path)


def write_sums(folder: Path, names: Sequence[str]) -> None:
    """Write FOLDER/SHA256SUMS for files in it, after all of them have reached the disk."""
    for name in names:
        _flush(folder / name)
    sums = checksums(folder / name for name in names)
    lines = (f"{own}  {name}\n" for own, name in zip(sums, names, strict=True))
    write_text(folder / SUMS_FILE, "".join(lines))
    _flush(folder)


def check_sums(folder: Path, fix: str) -> None:
    """Raise UserError, with the `fix`, for a file that is not what FOLDER/SHA256SUMS says.

    A folder without SHA256SUMS passes.
    """
    listed = folder / SUMS_FILE
    if not listed.exists():
        return
    expected = {}
    for row, line in enumerate(read_text(listed).splitlines(), start=1):
        parsed = _LINE.fullmatch(line)
        if not parsed or Path(parsed[2]).is_absolute() or ".." in Path(parsed[2]).parts:
            raise UserError(f"{listed} row {row} is not a checksum and a file's name; {fix}")
        expected[parsed[2]] = parsed[1]
    if not expected:
        raise UserError(f"{listed} lists nothing; {fix}")
    for name in expected:
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing, which {SUMS_FILE} lists; {fix}")
    found = checksums(folder / name for name in expected)
    for (name, sum_), own in zip(expected.items(), found, strict=True):
        if sum_ != own:
            raise UserError(f"{folder / name} is not what {SUMS_FILE} says; {fix}")


def _flush(path: Path) -> None:
    """Have a file's bytes, or a folder's names, written to the disk: power may fail."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
