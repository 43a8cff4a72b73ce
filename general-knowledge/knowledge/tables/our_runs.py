"""Runs of this project as rows of the tables, from their answers.jsonl and grades.jsonl."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from knowledge.method.scores import JudgedAnswer, Scores, scores_by_judge
from knowledge.release.row_of_file import RowKey
from knowledge.tables.paper import PaperTable
from seal.errors import UserError
from seal.records import read_json, read_jsonl

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
    """A run folder, and the row that each of its labels fills."""

    folder: Path
    rows: Mapping[str, RowKey]


def parse_runs(words: Sequence[str], tables: Sequence[PaperTable]) -> list[OurRun]:
    """`RUN_DIR LABEL=TABLE/ROW ... RUN_DIR ...`; TABLE/ is single-passage/ if left out.

    A run without labels has those of `ROWS` for which it has a folder. Raises UserError for a
    folder or row that does not exist.
    """
    runs: list[tuple[Path, dict[str, RowKey]]] = []
    for word in words:
        label, equals, row = word.partition("=")
        if not equals:
            runs.append((Path(word), {}))
        elif runs:
            runs[-1][1][label] = _row_key(row, tables)
        else:
            raise UserError(f"--ours {word}: give the run folder before its labels")
    return [OurRun(folder, _existing(folder, rows)) for folder, rows in runs]


def _row_key(words: str, tables: Sequence[PaperTable]) -> RowKey:
    table, slash, row = words.partition("/")
    ids = {table.id: [row.id for row in table.rows] for table in tables}
    key = (table, row) if slash and table in ids else ("single-passage", words)
    if key[1] not in ids[key[0]]:
        raise UserError(
            f"--ours …={words}: table {key[0]} has no such row; it has {', '.join(ids[key[0]])},"
            f" and the tables are {', '.join(ids)}"
        )
    return key


def _existing(folder: Path, rows: Mapping[str, RowKey]) -> dict[str, RowKey]:
    wanted = rows or {label: ("single-passage", row) for label, row in ROWS.items()}
    found = {label: k for label, k in wanted.items() if (folder / label / "grades.jsonl").exists()}
    if missing := [label for label in rows if label not in found]:
        raise UserError(f"{folder / missing[0]} has no grades.jsonl; name a row of a finished run")
    if not found:
        raise UserError(f"{folder} has no graded rows; give a run of eval_single_passage.py")
    return found


def read_scores(run: OurRun, tables: Sequence[PaperTable]) -> dict[RowKey, list[Scores]]:
    """The scores of each row of a run by its judge and, if that is calibrated, by probabilities.

    Raises UserError for files that are malformed or of different trials.
    """
    judge = read_json(run.folder / "results.json").get("judge", "unknown")
    mean_over = {table.id: table.mean_over for table in tables}
    return {
        key: scores_by_judge(_answers(run.folder / label), mean_over[key[0]], judge)
        for label, key in run.rows.items()
    }


def _answers(folder: Path) -> list[JudgedAnswer]:
    grades = {record["id"]: record for record in read_jsonl(folder / "grades.jsonl")}
    answers = []
    for record in read_jsonl(folder / "answers.jsonl"):
        if record.get("id") not in grades:
            raise UserError(f"{folder}: {record.get('id')} has no grades; finish the run first")
        graded = grades[record["id"]]
        about = (record["passage_id"], record["title"])
        for asked, verdict, probability in zip(
            record["answers"], graded["verdicts"], graded["probabilities"], strict=True
        ):
            texts = (asked["question"], asked["gold"], asked["answer"])
            answers.append(JudgedAnswer(*about, *texts, verdict, record["id"], probability))
    return answers
