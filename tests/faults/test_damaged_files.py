"""Files of records that a user names: what is wrong in them is one line, and never believed."""

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arc.method.self_edits import SelfEdit as ArcSelfEdit
from arc.method.self_edits import given_self_edits
from arc.settings import OracleSettings
from knowledge.method.self_edits import SelfEdit, read_self_edits
from knowledge.small_world.style_report import read_lessons, read_rows
from seal.errors import UserError
from seal.records import read_json, write_json, write_jsonl
from seal.report.seeds import read_seed
from tests.arc.policies import FERRY, MOTH
from tests.faults.damages import Damage, of_fields, of_file, of_finished, of_rows
from tests.faults.small_runs import PASSAGES, knowledge_table, nothing_slow, start

EVERY = 1 if os.environ.get("SEAL_FAULTS") == "all" else 5


def wrong_ends(
    path: Path,
    damages: Iterator[tuple[str, Damage]],
    read: Callable[[], Any],
    equal: Callable[[Any, Any], bool] = lambda found, expected: found == expected,
) -> list[str]:
    """The damages of a file after which it is read otherwise, or refused without its name.

    A row that is valid under another name is no damage.
    """
    names = ("of another id", "says another's")
    damages = (each for each in damages if not each[0].endswith(names))
    data, expected, wrong = path.read_bytes(), read(), []
    for what, damage in itertools.islice(damages, 0, None, EVERY):
        damage(path)
        try:
            if not equal(read(), expected):
                wrong.append(f"{what}: SILENT")
        except UserError as error:
            message = str(error)
            if (
                not (path.name in message or "--table" in message)
                or "\n" in message
                or "; " not in message
            ):
                wrong.append(f"{what}: {message}")
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {error}")
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path)
        path.write_bytes(data)
    return wrong


def any_will_do(found: Any, expected: Any) -> bool:
    """Without checksums, to be read by its types is all that can be asked."""
    return True


def both(path: Path) -> Iterator[tuple[str, Damage]]:
    return itertools.chain(of_file(path), of_rows(path))


def test_self_edits_of_a_file_about_passages(tmp_path):
    path = tmp_path / "given.jsonl"
    edits = [
        SelfEdit(f"{p.id}/implications/{n}", p.id, "implications", f"{n}", "stop", 3, [n, 5])
        for p in PASSAGES[:2]
        for n in range(2)
    ]
    write_jsonl(path, [edit.record for edit in edits])

    def read():
        return sorted((e.id, e.passage_id, e.text) for e in read_self_edits(path, PASSAGES[:2], 2))

    assert wrong_ends(path, both(path), read) == []


def test_self_edits_of_a_file_about_tasks(tmp_path):
    path = tmp_path / "given.jsonl"
    records = [
        {"id": f"{t.id}/{n}", "task_id": t.id, "text": "{}", "repeat": 0, "token_ids": [1, 2]}
        for t in (MOTH, FERRY)
        for n in range(2)
    ]
    write_jsonl(path, records)

    def read():
        found = given_self_edits(str(path), [MOTH, FERRY], 2, OracleSettings())
        return sorted((edit.id, edit.task_id, edit.text, edit.repeat) for edit in found)

    assert wrong_ends(path, both(path), read) == []


@pytest.mark.parametrize(
    "name",
    [
        *("moth-0", "moth-0/", "/0", "ferry-0/0", "moth-00/0", "moth-0//0", "moth-0/a b"),
        *("moth-0/\0", "moth-0/a\n", "moth-0/in-context", "moth-0/" + 200 * "x"),
    ],
)
def test_ids_that_would_meet_others_are_refused(name):
    with pytest.raises(ValueError, match="its id"):
        ArcSelfEdit(name, "moth-0", "{}")


def test_a_table_of_seeds(tmp_path):
    path = tmp_path / "table/results.json"
    estimate = {"mean": 0.5, "standard_error": 0.1, "lower": 0.25, "upper": 0.75, "n": 8}
    row = {"label": "a", "accuracy": estimate, "difference_to_row_above": None}
    below = {"label": "b", "accuracy": estimate, "difference_to_row_above": estimate}
    write_json(path, {"n_passages": 8, "rows": [below, row]})
    for program in ("table", "rest-em"):
        write_jsonl(tmp_path / program / "metrics.jsonl", [])

    def put_fields() -> Iterator[tuple[str, Damage]]:
        for what, changed in of_fields(read_json(path)):
            yield what, lambda path, changed=changed: path.write_text(json.dumps(changed))

    damages = itertools.chain(of_file(path), put_fields())
    wrong = wrong_ends(path, damages, lambda: read_seed(tmp_path, "accuracy").rows, any_will_do)
    assert wrong == []


@pytest.mark.parametrize("file", ["self_edits.jsonl", "answers.jsonl", "grades.jsonl"])
@pytest.mark.parametrize("sums", [True, False], ids=["finished", "without checksums"])
def test_a_table_whose_self_edits_are_shown(file, sums, tmp_path):
    with nothing_slow():
        start(knowledge_table, tmp_path)
    if not sums:
        (tmp_path / "SHA256SUMS").unlink()
    path, people = tmp_path / "self-edits" / file, {passage.id: None for passage in PASSAGES}

    def read():
        return read_rows(tmp_path, people), read_lessons(path.parent, PASSAGES)

    damages = itertools.chain(both(path), of_finished(path, tmp_path))
    assert wrong_ends(path, damages, read, *([] if sums else [any_will_do])) == []
