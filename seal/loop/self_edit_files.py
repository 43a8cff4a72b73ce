"""Self-edits of a file, which a run or anything else has written: every row is checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from seal.errors import UserError
from seal.records import read_rows, typed

SelfEdit = TypeVar("SelfEdit")
"""A dataclass; a row of the file has the same fields."""


def first_self_edits(
    path: Path, kind: type[SelfEdit], context: str, context_ids: Sequence[str], k: int, flags: str
) -> list[SelfEdit]:
    """The first k self-edits about each of `context_ids`, in their order, as dataclasses `kind`.

    `context` is what a self-edit is about ("passage"); the field of its id is named after it
    ("passage_id"). Raises UserError naming the file and the row that is not a self-edit or repeats
    an id, or the context that has fewer than k; `flags` says what to check then.
    """
    by_context: dict[str, list[SelfEdit]] = {id: [] for id in context_ids}
    ids: set[str] = set()
    fix = "use a self_edits.jsonl written by generate_self_edits.py"
    for row, record in read_rows(path):
        self_edit = typed(record, kind, f"{path} row {row} is not a self-edit", fix)
        if record["id"] in ids:
            # An id names a record and an adapter's folder, so one of the two would be lost
            raise UserError(f"{path} row {row}: id {record['id']} occurs before; make it unique")
        ids.add(record["id"])
        by_context.setdefault(record[f"{context}_id"], []).append(self_edit)
    for id in context_ids:
        if (found := len(by_context[id])) < k:
            raise UserError(
                f"{path}: {context} {id} has {found} self-edits, {k} are wanted; check {flags}"
            )
    return [self_edit for id in context_ids for self_edit in by_context[id][:k]]
