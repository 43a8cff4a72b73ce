"""Damages of files and of the records in them, generated from what the files hold."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Damage = Callable[[Path], None]


# Damages of a whole file


def write(data: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        path.write_bytes(data)

    return damage


def becomes(make: Callable[[Path], object]) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def of_file(path: Path) -> Iterator[tuple[str, Damage]]:
    data, size = path.read_bytes(), path.stat().st_size
    for share in (0, 0.3, 0.6, 0.9):
        yield f"cut to {share}", write(data[: int(size * share)])
        zeros = bytes(size - int(size * share))
        yield f"zeros from {share}", write(data[: int(size * share)] + zeros)
    yield "last byte cut", write(data[:-1])
    yield "NUL inside", write(data[: size // 2] + b"\0\0" + data[size // 2 :])
    yield "bits inside", write(data[: size // 2] + b"\xff\xfe\x80" + data[size // 2 :])
    yield "random bytes", write(bytes(range(255, 100, -1)))
    yield "a deep list", write(b"[" * 100_000)
    for value in (b"[]", b"{}", b"3", b"null", b'"x"', b"[[]]", b"NaN", b"{}\n{}"):
        yield f"is {value.decode()}", write(value + b"\n")
    yield "removed", Path.unlink
    yield "a folder", becomes(Path.mkdir)
    yield "a pipe", becomes(os.mkfifo)
    yield "a link to nothing", becomes(lambda path: path.symlink_to("nowhere"))
    yield "a link to itself", becomes(lambda path: path.symlink_to(path))
    yield "a link to a device", becomes(lambda path: path.symlink_to("/dev/zero"))


# Damages of records


def lines(change: Callable[[list[str]], object]) -> Damage:
    def damage(path: Path) -> None:
        found = path.read_text().splitlines()
        found = change(found) or found
        path.write_text("".join(f"{line}\n" for line in found))

    return damage


def put(row: int, value: Any) -> Damage:
    text = value if isinstance(value, str) else json.dumps(value)
    return lines(lambda found: found.__setitem__(row, text))


def of_rows(path: Path) -> Iterator[tuple[str, Damage]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for row in sorted({0, len(records) // 2, len(records) - 1}):
        record, name = records[row], f"row {row}"
        yield f"{name} removed", lines(lambda found, row=row: found.pop(row) and None)
        yield f"{name} repeated", lines(lambda found, row=row: found.append(found[row]))
        twice = json.dumps(other_values(record))
        yield f"{name} repeated otherwise", lines(lambda found, twice=twice: found.append(twice))
        yield f"{name} to the end", lines(lambda found, row=row: found.append(found.pop(row)))
        alien = json.dumps(record | {"id": "alien/0"})
        yield f"{name} alien too", lines(lambda found, alien=alien: found.append(alien))
        other = records[row - 1] if len(records) > 1 else record | {"id": "alien/0"}
        yield f"{name} of another id", put(row, record | {"id": f"{other['id']}x"})
        yield f"{name} says another's", put(row, other | {"id": record["id"] + "/x"})
        for owner in {"passage_id", "task_id"} & record.keys():
            yield f"{name} of another {owner}", put(row, record | {owner: "alien"})
        for text in ("garbage", "3", "[1]", "{}", '{"id": 5}', "\0\0\0", "", '{"a": 1', "NaN"):
            yield f"{name} is {text!r}", put(row, text)
        yield f"{name} with another key", put(row, record | {"alien": 1})
        for key, change in of_fields(record):
            yield f"{name} {key}", put(row, change)


def of_finished(path: Path, folder: Path) -> Iterator[tuple[str, Damage]]:
    """Other valid content, which only the checksums of a finished part can tell."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for row in sorted({0, len(records) - 1}):
        yield f"row {row} with other values", put(row, other_values(records[row]))
    for other in sorted(folder.rglob(path.name)):
        if other.read_bytes() != path.read_bytes():
            yield f"as in {other.relative_to(folder).parent}", write(other.read_bytes())
            break


def other_values(value: Any) -> Any:
    """The same record with other, valid values; not of its ids."""
    if isinstance(value, dict):
        return {k: v if k.endswith("id") else other_values(v) for k, v in value.items()}
    if isinstance(value, list):
        return [other_values(item) for item in value]
    if isinstance(value, bool):
        return not value
    return {str: lambda: value + "x", int: lambda: value + 1}.get(type(value), lambda: value)()


WRONG = (None, True, 7, 1.5, "x", [], [[]], {}, float("nan"), 10**400, "\ud800")
OUT_OF_RANGE: dict[str, tuple[Any, ...]] = {
    "n_tokens": (-1,),
    "n_views": (-1, 0),
    "n": (0, -1, 1000),
    "final": (3, 21),
    "quality": (0, 6),
    "grid": ([[10]], [[-1]], [[1, 2], [1]], [[]], [], [[1] * 31]),
    "attempts": ([[[1]]], [[[10]], [[1]]], [[[1, 2], [1]], [[1]]]),
    "verdicts": ([], [True] * 9, [None]),
    "probabilities": ([1.5], [-0.1], [], [0.5] * 9, [None]),
    "kind": ("alien",),
    "passage_id": ("ferry", "alien"),
    "task_id": ("ferry-0", "alien"),
    "question": ("alien?",),
    "gold": ("alien",),
    "title": ("alien",),
}


def same_kind(value: Any, wrong: Any) -> bool:
    """Whether the one may stand for the other: then no type tells them apart."""
    numbers = isinstance(value, float) and type(wrong) in (int, float)
    return (numbers and abs(wrong) <= 1e9) or type(value) is type(wrong)


def of_fields(record: dict[str, Any], within: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The record with one of its values damaged, at any depth, and what was done."""
    for key, value in record.items():
        yield f"without {within}{key}", {k: v for k, v in record.items() if k != key}
        odd = [wrong for wrong in WRONG if not same_kind(value, wrong)]
        for wrong in (*odd, *OUT_OF_RANGE.get(key, ())):
            if wrong != value or type(wrong) is not type(value):
                yield f"{within}{key} = {wrong!r:.30}", record | {key: wrong}
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict):
            for what, changed in of_fields(inner, f"{within}{key}."):
                yield what, record | {key: changed if inner is value else [changed, *value[1:]]}
        elif inner is not value:
            yield f"{within}{key} shorter", record | {key: value[1:]}
            for wrong in (wrong for wrong in WRONG if not same_kind(inner, wrong)):
                yield f"{within}{key}[0] = {wrong!r:.30}", record | {key: [wrong, *value[1:]]}
