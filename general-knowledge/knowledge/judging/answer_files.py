"""JSONL files of answers: question, gold, answer, perhaps a title, and after grading a verdict."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from knowledge.judging.judges import Grade, GradingItem
from seal.errors import UserError
from seal.records import Record, cut_torn_line, field, of_kind, read_rows

GRADE_FIELDS = ("verdict", "probability", "judge")
"""What grading adds to a row, or replaces in one that was graded before."""

_TEXTS = ("question", "gold", "answer")


def read_answers(path: Path) -> list[Record]:
    """Rows to grade, without earlier grades.

    Raises UserError for an empty file, and with the row for what is malformed, missing or blank.
    """
    rows = read_rows(path)
    if not rows:
        raise UserError(f"{path} is empty; it needs one object a line: question, gold, answer")
    for number, record in rows:
        where = f"{path} row {number}"
        for name in _TEXTS:
            field(record, name, str, where, filled=name != "answer")
        of_kind(record.get("title") or "", str, f'{where}: "title"')
    return [ungraded(record) for _, record in rows]


def ungraded(record: Record) -> Record:
    """The row as it was before grading."""
    return {name: value for name, value in record.items() if name not in GRADE_FIELDS}


def grading_item(record: Record) -> GradingItem:
    """What a judge is given of a row."""
    texts = (record[name] for name in _TEXTS)
    return GradingItem(*texts, title=record.get("title") or "")


def row_key(record: Record) -> str:
    """The same for equal rows, graded or not."""
    return json.dumps(ungraded(record), sort_keys=True, ensure_ascii=False)


def graded_row(record: Record, grade: Grade, judge: str) -> Record:
    """The row with its verdict (null if ungraded), probability and judge."""
    graded = dict(zip(GRADE_FIELDS, (grade.verdict, grade.probability, judge), strict=True))
    return ungraded(record) | graded


def read_grades(path: Path, rows: Iterable[Record], judge: str) -> dict[str, Grade]:
    """The grades that an output file holds of `rows` already, by row key; {} without a file.

    What a killed process left of its last line is cut off. Raises UserError, and touches nothing,
    if the file holds anything but rows that this judge graded.
    """
    data = path.read_bytes() if path.exists() else b""
    if not data:
        return {}
    *lines, unfinished = data.decode(errors="replace").split("\n")
    keys = {row_key(row) for row in rows}
    grades = {}
    for number, line in enumerate(lines or [unfinished], start=1):
        try:
            record = json.loads(line)
            known = record.keys() >= set(GRADE_FIELDS) and row_key(record) in keys
        except (json.JSONDecodeError, AttributeError):  # no JSON, or no object
            known = False
        if not known:
            problem = f"row {number} is not a graded row of --input"
            raise UserError(f"--output {path} {problem}; name another file")
        if record["judge"] != judge:
            problem = f"was graded by {record['judge']}, not by {judge}"
            raise UserError(f"--output {path} {problem}; name another file")
        if record["verdict"] is not None:
            grades[row_key(record)] = Grade(record["verdict"], record["probability"])
    cut_torn_line(path)
    return grades


def describe_grades(rows: Sequence[Record]) -> str:
    """One line about graded rows: how many, how good, how many blank or ungraded."""
    graded = [row for row in rows if row["verdict"] is not None]
    blank = sum(not row["answer"].strip() for row in rows)
    numbers = [f"{len(rows)} answers"]
    if graded:
        correct, expected = (
            sum(row[name] for row in graded) / len(graded) for name in ("verdict", "probability")
        )
        numbers += [f"{correct:.1%} correct", f"calibrated {expected:.1%}"]
    numbers += [f"{blank / len(rows):.1%} blank", f"{len(rows) - len(graded)} ungraded"]
    return ", ".join(numbers)
