"""JSON and JSON Lines on disk: whole files appear atomically, lines are appended whole or not."""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from seal.errors import UserError

Record = dict[str, Any]
T = TypeVar("T")


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON as this project writes it: readable characters, paths as text, no NaN."""
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False, default=os.fspath)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises UserError that names a file that is missing or not text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a file in it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from None


def read_json(path: Path) -> Any:
    """One JSON value. Raises UserError with line and column where the text is malformed."""
    return _parse(read_text(path), str(path))


def read_jsonl(path: Path) -> list[Record]:
    """One object a line, blank lines skipped. Raises UserError with the row that is malformed."""
    records = []
    # Only "\n" ends a record: `str.splitlines` would also cut at U+2028, which JSON allows in text
    for row, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        record = _parse(line, f"{path} row {row}")
        if not isinstance(record, dict):
            raise UserError(f"{path} row {row}: expected a JSON object, found {line.strip()[:40]}")
        records.append(record)
    return records


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise UserError(f"{where}: malformed JSON at {place} ({error.msg}); fix it") from None
    except (ValueError, RecursionError) as error:  # endless digits, or lists in lists
        raise UserError(f"{where}: JSON beyond what can be read ({error}); fix it") from None


def write_json(path: Path, value: Any) -> None:
    """Write `value` under a temporary name and rename, so a reader never sees half a file."""
    write_text(path, to_json(value, indent=2) + "\n")


def write_jsonl(path: Path, records: Iterable[Record]) -> None:
    """Write all records at once and atomically; `append_jsonl` is for growing files."""
    write_text(path, "".join(to_json(record) + "\n" for record in records))


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically; on failure the old file is untouched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def append_jsonl(path: Path, *records: Record) -> None:
    """Append records, all or none: a write that fails half way (a full disk) is cut off again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(to_json(record) + "\n" for record in records).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def read_growing(path: Path, flag: str = "") -> bytes:
    """The bytes of a file that `append_jsonl` will add to; b"" if it will create it.

    Raises UserError, which begins with `flag`, unless it is a regular file that can be read and
    appended to, or can be created.
    """
    try:
        if stat.S_ISREG(path.stat().st_mode):
            with path.open("a+b") as file:
                file.seek(0)
                return file.read()
        problem = "no regular file"
    except FileNotFoundError:
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if os.access(above, os.W_OK):
            return b""
        problem = f"no permission to write in {above}"
    except (OSError, ValueError) as error:  # ValueError: a zero byte in its name
        problem = str(error.strerror if isinstance(error, OSError) else error)
    raise UserError(f"{flag} {path} cannot be used ({problem}); name another file".lstrip())


def cut_torn_line(path: Path) -> str:
    """Drop what a killed process left of its last line; returns the dropped text ("" if none).

    Only the process that owns the file may call this, before it appends.
    """
    if not path.exists():
        return ""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole == len(data):
        return ""
    os.truncate(path, whole)
    return data[whole:].decode(errors="replace")


_KINDS: dict[type, str] = {
    str: "a text",
    list: "a list",
    dict: "an object",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def field(record: Any, name: str, kind: type[T], where: str, *, filled: bool = False) -> T:
    """`record[name]`, of a kind of JSON value; `object` is any, `filled` forbids a blank text.

    Raises UserError, beginning with `where`, for what is missing or otherwise, or no record at all.
    """
    if not isinstance(record, Mapping):
        raise UserError(f'{where}: expected an object with "{name}", found {str(record)[:40]!r}')
    if name not in record:
        raise UserError(f'{where}: "{name}" is missing; add it')
    value = of_kind(record[name], kind, f'{where}: "{name}"')
    if filled and not str(value).strip():
        raise UserError(f'{where}: "{name}" is blank; fill it in')
    return value


def of_kind(value: Any, kind: type[T], what: str) -> T:
    """The value, if it is of this kind; whole numbers are also numbers, true and false are not.

    Raises UserError that begins with `what`.
    """
    kinds = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds in (int, (int, float))):
        raise UserError(f"{what} must be {_KINDS[kind]}, found {str(value)[:40]!r}")
    return value
