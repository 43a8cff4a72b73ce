"""Self-edits of a file, which a run or anything else has written: every row is checked."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from seal.errors import UserError
from seal.records import jsonl_rows, typed

SelfEdit = TypeVar("SelfEdit")
"""A dataclass; a row of the file has the same fields."""
_LONGEST_ID = 200  # bytes: an adapter's folder is named after it


def first_self_edits(
    path: Path, kind: type[SelfEdit], context: str, context_ids: Sequence[str], k: int, flags: str
) -> list[SelfEdit]:
    """The first k self-edits about each of `context_ids`, in their order, as dataclasses `kind`.

    `context` is what a self-edit is about ("passage"); the field of its id is named after it
    ("passage_id"). Raises UserError naming the file and the row that is not a self-edit or repeats
    an id, or the context that has fewer than k; `flags` says what to check then.
    """
    by_context: dict[str, list[SelfEdit]] = {id: [] for id in context_ids}
    folders: set[str] = set()
    fix = "use a self_edits.jsonl written by generate_self_edits.py"
    for where, record in jsonl_rows(path):
        self_edit = typed(record, kind, f"{where} is not a self-edit", fix)
        folder = record["id"].replace("/", "--")
        if folder in folders:
            # An id names a record and an adapter's folder, so one of the two would be lost
            raise UserError(f"{where}: id {record['id']} occurs before; make it unique")
        folders.add(folder)
        by_context.setdefault(record[f"{context}_id"], []).append(self_edit)
    for id in context_ids:
        if (found := len(by_context[id])) < k:
            raise UserError(
                f"{path}: {context} {id} has {found} self-edits, {k} are wanted; check {flags}"
            )
    return [self_edit for id in context_ids for self_edit in by_context[id][:k]]


def check_id(id_: str, context_id: str) -> None:
    """Raise ValueError unless a self-edit has the id of its context, a slash, and a short name."""
    named = re.fullmatch(rf"{re.escape(context_id)}(/[\w.+-]+)+", id_)
    if not named or len(id_.encode()) > _LONGEST_ID:
        raise ValueError(f"its id must be {context_id[:80]!r}, a slash and a short name")
