"""What each source says of the paper's tables: the release, its answers judged again, our runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from knowledge.judging.answer_records import Answers, Grades
from knowledge.judging.judges import Judge
from knowledge.method.scores import JudgedAnswer, Scores, judged_again, scores_by_judge
from knowledge.release.records import Examinations, Pretraining, Sequences
from knowledge.release.results import RELEASED_JUDGE, scores_of, scores_of_sequences
from knowledge.release.row_of_file import RowKey, rows_filled_by
from knowledge.release.scan import Release
from knowledge.tables.paper import PaperTable
from seal.checksums import check_sums
from seal.errors import UserError
from seal.records import of_kind, read_json
from seal.run import Run

ROWS = {"no-update": "base", "passage-only": "passage", "seal-2": "seal"} | {
    row: row for row in ("self-edits", "gpt-4.1", "seal-1", "seal")
}
"""Labels of eval_single_passage.py to rows of the single-passage table."""


Source = Literal["release", "ours"]


@dataclass(frozen=True)
class Column:
    """What one source says by one judge."""

    source: Source
    heading: str
    scores: Mapping[RowKey, Scores]
    main: bool
    """Whether differences and blank answers are shown; not for the same answers graded again."""


def release_column(release: Release) -> tuple[Column, dict[RowKey, Path]]:
    """Every row that the release's files fill, and its file: the first of `Release.files`."""
    pools = release.passage_lists()
    scores: dict[RowKey, Scores] = {}
    files: dict[RowKey, Path] = {}
    for file in [*release.of(Examinations), *release.of(Pretraining)]:
        rows = rows_filled_by(file)
        of_stages = {stage: scores_of(file, stage, pools) for stage in {s for _, s in rows}}
        for key, stage in rows:
            if key not in scores and of_stages[stage].mean is not None:
                scores[key], files[key] = of_stages[stage], file.path
    sequences = release.of(Sequences)
    for row, of_row in scores_of_sequences(sequences).items():
        scores["continual", row] = of_row
        files["continual", row] = sequences[0].path.parent
    return Column("release", f"release, {RELEASED_JUDGE}", scores, main=True), files


def regraded_columns(column: Column, judge: Judge, max_ungraded: float) -> list[Column]:
    """The column's answers by another judge: by its verdicts and, if calibrated, probabilities.

    Raises UserError if more than `max_ungraded` of a row's answers could not be graded.
    """
    # A file that fills rows of several tables is graded once
    distinct = {id(scores): scores for scores in column.scores.values()}
    graded = {key: judged_again(scores, judge, max_ungraded) for key, scores in distinct.items()}
    found = ((key, again) for key, own in column.scores.items() for again in graded[id(own)])
    return _columns(column.source, found, main=False)


def _columns(source: Source, found: Iterable[tuple[RowKey, Scores]], main: bool) -> list[Column]:
    """A column for each judge; one of calibrated probabilities is never main."""
    by_judge: dict[str, dict[RowKey, Scores]] = {}
    for key, scores in found:
        by_judge.setdefault(scores.judge, {})[key] = scores
    return [
        Column(source, f"{source}, {judge}", scores, main and "calibrated" not in judge)
        for judge, scores in by_judge.items()
    ]


def our_columns(words: Sequence[str], tables: Sequence[PaperTable]) -> list[Column]:
    """Columns of each run, by its judge and calibrated: `RUN_DIR LABEL=TABLE/ROW ... RUN_DIR ...`.

    TABLE/ is single-passage/ if left out; a run without labels has those of `ROWS` for which it has
    a folder. Raises UserError for a folder or row that is missing, unfinished or malformed.
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
    mean_over = {table.id: table.mean_over for table in tables}
    columns = []
    for folder, given in runs:
        rows = _existing(folder, given)
        check_sums(folder, "name a run as it was when it finished")
        path = folder / "results.json"
        judge = of_kind(read_json(path), dict, f"{path}: results").get("judge", "unknown")
        found = (
            (key, scores)
            for label, key in rows.items()
            for scores in scores_by_judge(_answers(folder / label), mean_over[key[0]], judge)
        )
        columns += _columns("ours", found, main=True)
    return columns


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


def _answers(folder: Path) -> list[JudgedAnswer]:
    run = Run(folder)
    grades = {record.id: record.grades for record in run.records("grades", Grades)}
    answers = []
    for record in run.records("answers", Answers):
        graded = grades.get(record.id, [])
        if len(graded) != len(record.answers):
            raise UserError(
                f"{folder}: {record.id} has {len(record.answers)} answers and {len(graded)} grades;"
                " finish the run first"
            )
        for asked, grade in zip(record.answers, graded, strict=True):
            texts = (record.title, asked.question, asked.gold, asked.answer)
            about = (record.passage_id, *texts)
            answers.append(JudgedAnswer(*about, grade.verdict, record.id, grade.probability))
    return answers
