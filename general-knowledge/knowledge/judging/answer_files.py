"""JSONL files of answers: question, gold, answer, perhaps a title, and after grading a verdict."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from knowledge.judging.judges import Grade, GradingItem
from seal.errors import UserError
from seal.records import (
    Record,
    cut_torn_line,
    field,
    of_kind,
    read_growing,
    read_jsonl,
    read_text,
    to_json,
)

GRADE_FIELDS = ("verdict", "probability", "judge")
"""What grading adds to a row, or replaces in one that was graded before."""

_TEXTS = ("question", "gold", "answer")


def read_answers(path: Path) -> list[Record]:
    """Rows to grade, without earlier grades.

    Raises UserError for an empty file, and with the row for what is malformed, missing or blank.
    """
    records = read_jsonl(path)
    numbers = [n for n, line in enumerate(read_text(path).split("\n"), start=1) if line.strip()]
    if not records:
        raise UserError(f"{path} is empty; it needs one object a line: question, gold, answer")
    for number, record in zip(numbers, records, strict=True):
        where = f"{path} row {number}"
        for name in _TEXTS:
            field(record, name, str, where, filled=name != "answer")
        of_kind(record.get("title") or "", str, f'{where}: "title"')
        try:
            to_json(record).encode()
        except (ValueError, RecursionError) as error:  # NaN, or half of a surrogate pair
            raise UserError(f"{where}: it could not be written again ({error})") from None
    return [ungraded(record) for record in records]


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
    if the file holds anything but rows that this judge graded, each in one way.
    """
    *lines, unfinished = read_growing(path, "--output").split(b"\n")
    if not lines and unfinished:
        lines = [unfinished]
    keys = {row_key(row) for row in rows}
    grades: dict[str, Grade] = {}
    for number, line in enumerate(lines, start=1):
        where, fix = f"--output {path} row {number}", "name another file"
        found = _read_grade(line)
        if found is None or found[0] not in keys:
            raise UserError(f"{where} is not a graded row of --input; {fix}")
        key, grade, judged_by = found
        if judged_by != judge:
            raise UserError(f"{where} was graded by {judged_by}, not by {judge}; {fix}")
        if grade.verdict is not None and grades.setdefault(key, grade) != grade:
            raise UserError(f"{where} was graded otherwise in a row before it; {fix}")
    cut_torn_line(path)
    return grades


def _read_grade(line: bytes) -> tuple[str, Grade, str] | None:
    """Row key, grade and judge of a line that `graded_row` may have made; None for others."""
    try:
        match json.loads(line.decode()):
            case {"verdict": verdict, "probability": number, "judge": str(judge), **_row} as record:
                judge.encode()  # ValueError for half of a surrogate pair
                if verdict is None and number is None:
                    return row_key(record), Grade(None, None), judge
                whole = type(number) in (int, float) and 0 <= number <= 1
                if whole and verdict is (number >= 0.5):
                    return row_key(record), Grade(verdict, float(number)), judge
    except (ValueError, RecursionError):
        pass
    return None


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
