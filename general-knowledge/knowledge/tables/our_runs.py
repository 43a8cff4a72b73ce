"""Runs of this project as systems of the tables, from their answers.jsonl and grades.jsonl."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from knowledge.release.records import Answered
from knowledge.release.results import System, by_judge
from knowledge.tables.paper import PaperTable, Place
from seal.errors import UserError
from seal.records import Record, read_json, read_jsonl

ROWS = {
    "no-update": "base",
    "passage-only": "passage",
    "self-edits": "self-edits",
    "gpt-4.1": "gpt-4.1",
    "seal-1": "seal-1",
    "seal-2": "seal",
    "seal": "seal",
}
"""Labels of eval_single_passage.py to rows of the single-passage table."""


@dataclass(frozen=True)
class OurRun:
    """A run folder, and the row that each of its labels is to fill."""

    folder: Path
    places: Mapping[str, Place]


def parse_runs(words: Sequence[str], tables: Sequence[PaperTable]) -> list[OurRun]:
    """`RUN_DIR LABEL=TABLE/ROW ... RUN_DIR ...`; TABLE/ is single-passage/ if left out.

    A run without labels has those of `ROWS` for which it has a folder. Raises UserError for a
    folder or row that there is not.
    """
    runs: list[tuple[Path, dict[str, Place]]] = []
    for word in words:
        label, equals, row = word.partition("=")
        if not equals:
            runs.append((Path(word), {}))
        elif runs:
            runs[-1][1][label] = _place(row, tables)
        else:
            raise UserError(f"--ours {word}: give the run folder before its labels")
    return [OurRun(folder, _existing(folder, places)) for folder, places in runs]


def _place(row: str, tables: Sequence[PaperTable]) -> Place:
    table, slash, rest = row.partition("/")
    ids = {table.id: [row.id for row in table.rows] for table in tables}
    place = (table, rest) if slash and table in ids else ("single-passage", row)
    if place[1] not in ids[place[0]]:
        raise UserError(
            f"--ours …={row}: table {place[0]} has no such row; it has {', '.join(ids[place[0]])},"
            f" and the tables are {', '.join(ids)}"
        )
    return place


def _existing(folder: Path, places: Mapping[str, Place]) -> dict[str, Place]:
    wanted = places or {label: ("single-passage", row) for label, row in ROWS.items()}
    found = {label: p for label, p in wanted.items() if (folder / label / "grades.jsonl").exists()}
    if missing := [label for label in places if label not in found]:
        raise UserError(f"{folder / missing[0]} has no grades.jsonl; name a row of a finished run")
    if not found:
        raise UserError(f"{folder} has no graded rows; give a run of eval_single_passage.py")
    return found


def read_systems(run: OurRun, tables: Sequence[PaperTable]) -> dict[Place, list[System]]:
    """For each row of a run its system by the judge and, if that is calibrated, by probabilities.

    Raises UserError for files that are malformed or of different trials.
    """
    judge = read_json(run.folder / "results.json").get("judge", "unknown")
    mean_over = {table.id: table.mean_over for table in tables}
    systems = {}
    for label, place in run.places.items():
        folder = run.folder / label
        grades = {record["id"]: record for record in read_jsonl(folder / "grades.jsonl")}
        answers = []
        for record in read_jsonl(folder / "answers.jsonl"):
            if record.get("id") not in grades:
                raise UserError(f"{folder}: {record.get('id')} has no grades; finish the run first")
            answers += _answered(record, grades[record["id"]])
        systems[place] = by_judge(answers, mean_over[place[0]], judge)
    return systems


def _answered(record: Record, grades: Record) -> list[Answered]:
    return [
        Answered(
            record["passage_id"],
            record["title"],
            answer["question"],
            answer["gold"],
            answer["answer"],
            verdict,
            trial=record["id"],
            probability=probability,
        )
        for answer, verdict, probability in zip(
            record["answers"], grades["verdicts"], grades["probabilities"], strict=True
        )
    ]
