"""JSON and JSON Lines on disk: whole files appear atomically, lines are appended whole or not."""

import json
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from seal.errors import UserError

Record = dict[str, Any]
LARGEST = 2**31
T = TypeVar("T")


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON as this project writes it: readable characters, paths as text, no NaN."""
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False, default=os.fspath)


def read_text(path: Path, errors: str = "strict") -> str:
    """The text of a UTF-8 file, of at most LARGEST bytes; `errors` is as in `bytes.decode`.

    Raises UserError that names a file that is missing, cannot be read or is not text.
    """
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            raise UserError(f"{path} is a folder; name a file in it")
        if not stat.S_ISREG(state.st_mode):  # reading it might never end
            raise UserError(f"{path} is a pipe or a device; write its content to a file")
        if state.st_size > LARGEST:
            raise UserError(f"{path}: {state.st_size / 1e9:,.1f} GB are too much for a text file")
        return path.read_text(encoding="utf-8-sig", errors=errors)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from None


def read_json(path: Path) -> Any:
    """One JSON value. Raises UserError with line and column where the text is malformed."""
    return _parse(read_text(path), str(path))


def read_jsonl(path: Path) -> list[Record]:
    """One object a line, blank lines skipped. Raises UserError with the row that is malformed."""
    return [record for _, record in jsonl_rows(path)]


def jsonl_rows(path: Path) -> Iterator[tuple[str, Record]]:
    """As `read_jsonl`, each record behind the words that a message about it begins with."""
    # Only "\n" ends a record: `str.splitlines` would also cut at U+2028, which JSON allows in text
    for row, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path} row {row}"
        record = _parse(line, where)
        if not isinstance(record, dict):
            raise UserError(f"{where}: expected a JSON object, found {line.strip()[:40]}; fix it")
        yield where, record


def _parse(text: str, where: str) -> Any:
    try:
        value = _DECODER.decode(text)
        if _HALF_PAIR.search(text):
            to_json(value).encode()
        return value
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise UserError(f"{where}: malformed JSON at {place} ({error.msg}); fix it") from None
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise UserError(f"{where}: {half} is half of a surrogate pair, not text; fix it") from None
    except (ValueError, RecursionError) as error:  # also endless digits, or lists in lists
        raise UserError(f"{where}: JSON that cannot be read ({error}); fix it") from None


def _unique(pairs: list[tuple[str, Any]]) -> Record:
    """An object, in which a repeated key would hide what came before."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:40]!r} occurs twice in one object")
    return record


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is not a finite number")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


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
        raise UserError(f"{what} must be {_KINDS[kind]}, found {str(value)[:40]!r}; fix it")
    return value


def typed(record: Record, kind: type[T], where: str, fix: str = "fix it") -> T:
    """The record as a dataclass `kind`, which has its keys as fields; types are not converted.

    Raises UserError that begins with `where` and ends with `fix` for a key that is missing, unknown
    or of another type.
    """
    from pydantic import ValidationError

    if not isinstance(record, Mapping):
        raise UserError(f"{where}: expected an object, found {str(record)[:40]!r}; {fix}")
    if unknown := record.keys() - {field.name for field in fields(kind)}:
        raise UserError(f"{where}: unknown key {min(unknown)!r}; {fix}")
    try:
        # As JSON, of which a list may become a tuple, and an object a dataclass, without conversion
        return _validator(kind).validate_json(to_json(record), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = f'"{".".join(map(str, first["loc"]))}": ' if first["loc"] else ""
        problem = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {place}{problem[0].lower()}{problem[1:]}; {fix}") from None
    except ValueError as error:  # not what JSON of ours can hold: NaN, half of a surrogate pair
        raise UserError(f"{where}: {error}; {fix}") from None


@cache
def _validator(kind: type[T]) -> Any:
    from pydantic import TypeAdapter  # takes a while; most commands read no records

    return TypeAdapter(kind)
