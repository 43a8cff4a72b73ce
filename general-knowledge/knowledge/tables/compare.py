"""The paper's tables with all sources side by side: paper, release, this project."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from knowledge.judging.judges import Judge
from knowledge.method.scores import Scores, judged_again
from knowledge.release.records import Examinations, Pretraining, Sequences
from knowledge.release.results import RELEASED_JUDGE, scores_of, scores_of_sequences
from knowledge.release.row_of_file import RowKey, rows_filled_by
from knowledge.release.scan import Release
from knowledge.tables.our_runs import OurRun, read_scores
from knowledge.tables.paper import PaperRow, PaperTable
from seal.report.intervals import Estimate

EQUAL_WITHIN = 0.1
"""Points by which a number may differ from the printed one: what rounding to 0.1 can do."""

SCALES = {"percent": 100, "points": 1}
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
    """Every row that the release's files fill, and the file of each.

    Of several files for one row the first of `Release.files` counts.
    """
    pools = release.passage_lists()
    scores: dict[RowKey, Scores] = {}
    files: dict[RowKey, Path] = {}
    for file in [*release.of(Examinations), *release.of(Pretraining)]:
        rows = rows_filled_by(file)
        stages = dict.fromkeys(stage for _, stage in rows)
        of_stages = {stage: scores_of(file, stage, pools) for stage in stages}
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


def our_columns(run: OurRun, tables: Sequence[PaperTable]) -> list[Column]:
    """The columns of a run of this project, by its judge and calibrated."""
    found = ((key, each) for key, of_row in read_scores(run, tables).items() for each in of_row)
    return _columns("ours", found, main=True)


def _columns(source: Source, found: Iterable[tuple[RowKey, Scores]], main: bool) -> list[Column]:
    """A column for each judge; one of calibrated probabilities is never main."""
    by_judge: dict[str, dict[RowKey, Scores]] = {}
    for key, scores in found:
        by_judge.setdefault(scores.judge, {})[key] = scores
    return [
        Column(source, f"{source}, {judge}", scores, main and "calibrated" not in judge)
        for judge, scores in by_judge.items()
    ]


@dataclass(frozen=True)
class Cell:
    """A number of one source, flat, as the JSON and CSV files hold it; in percent or points."""

    table: str
    row: str
    source: str
    """paper-v1, paper-v2, release or ours."""
    judge: str | None
    value: float | None
    lower: float | None = None
    """Of the 95% interval; None for what is printed, or shows no spread."""
    upper: float | None = None
    n: int | None = None
    """How many things the mean is over."""
    unit: str = "percent"
    mean_over: str = "passages"
    n_passages: int | None = None
    n_questions: int | None = None
    blank_answers: float | None = None
    """Percent."""
    difference_to: str | None = None
    """The row above, if that is of the same group and has passages in common."""
    difference: float | None = None
    difference_lower: float | None = None
    difference_upper: float | None = None
    column: str = ""
    """What the table has above it."""


def printed_cells(tables: Sequence[PaperTable]) -> list[Cell]:
    """What each version of the paper prints."""
    return [
        Cell(
            table.id,
            row.id,
            f"paper-{version}",
            RELEASED_JUDGE if table.mean_over != "tasks" else None,
            value,
            unit=row.unit,
            mean_over=table.mean_over,
            column=f"paper {version}",
        )
        for table in tables
        for row in table.rows
        for version, value in row.printed.items()
    ]


def cells_of(column: Column, tables: Sequence[PaperTable], seed: int = 0) -> list[Cell]:
    """The numbers of a column, with intervals and differences to the rows above."""
    return [
        _cell(table, row, table.row_above(row), column, seed)
        for table in tables
        for row in table.rows
        if (table.id, row.id) in column.scores
    ]


def comparisons_of(column: Column, tables: Sequence[PaperTable], seed: int = 0) -> list[Cell]:
    """Cells with their difference to a row that is not the one above, where that is of interest."""
    cells = []
    for table in tables:
        rows = {row.id: row for row in table.rows if (table.id, row.id) in column.scores}
        for first, second in table.comparisons:
            if first in rows and second in rows:
                cells.append(_cell(table, rows[first], rows[second], column, seed))
    return [cell for cell in cells if cell.difference_to]


def _cell(
    table: PaperTable, row: PaperRow, other: PaperRow | None, column: Column, seed: int
) -> Cell:
    scale, scores = SCALES[row.unit], column.scores[table.id, row.id]
    theirs = column.scores.get((table.id, other.id)) if other else None
    found = scores.estimate(seed)
    change = scores.minus(theirs, seed) if theirs else None
    of_questions = scores.mean_over == "questions" and found
    difference, lower, upper = _scaled(change, scale)
    return Cell(
        table.id,
        row.id,
        column.source,
        scores.judge,
        _rounded(scores.mean, scale),
        *_scaled(found, scale)[1:],
        n=scores.n_questions if of_questions else found.n if found else None,
        unit=row.unit,
        mean_over=table.mean_over,
        n_passages=scores.n_passages,
        n_questions=scores.n_questions,
        blank_answers=_rounded(scores.blank_rate, 100),
        difference_to=other.id if other and change else None,
        difference=difference,
        difference_lower=lower,
        difference_upper=upper,
        column=column.heading,
    )


def _rounded(value: float | None, scale: int) -> float | None:
    return None if value is None else round(scale * value, 4)


def _scaled(found: Estimate | None, scale: int) -> tuple[float | None, float | None, float | None]:
    """Mean, lower and upper bound."""
    if found is None:
        return None, None, None
    # One cluster shows no spread; its interval would look like certainty
    bounds = (None, None) if found.n == 1 else (found.lower, found.upper)
    mean, lower, upper = (_rounded(value, scale) for value in (found.mean, *bounds))
    return mean, lower, upper


@dataclass(frozen=True)
class Mismatch:
    """A number of the release that is not the printed one."""

    row: RowKey
    version: str
    printed: float
    recomputed: float
    note: str | None


def mismatches(tables: Sequence[PaperTable], column: Column) -> list[Mismatch]:
    """Where the recomputed number is further from a printed one than rounding explains."""
    found = []
    for table in tables:
        for row in table.rows:
            scores = column.scores.get((table.id, row.id))
            value = _rounded(scores.mean, SCALES[row.unit]) if scores else None
            for version, printed in row.printed.items():
                if value is not None and abs(value - printed) > EQUAL_WITHIN:
                    found.append(Mismatch((table.id, row.id), version, printed, value, row.note))
    return found


def missing_rows(tables: Sequence[PaperTable], column: Column) -> list[tuple[RowKey, str]]:
    """Rows that no file fills, with the release's file that would."""
    return [
        ((table.id, row.id), row.file)
        for table in tables
        for row in table.rows
        if row.file and (table.id, row.id) not in column.scores
    ]


def misstatements(column: Column, files: Mapping[RowKey, Path]) -> list[str]:
    """Files whose own mean is not that of their records, to the 4 decimals that they give."""
    lines = {
        f"{files[key]} states {scores.stated}, its records give {scores.mean:.4f}"
        for key, scores in column.scores.items()
        if scores.clusters
        and scores.stated is not None
        and scores.mean is not None
        and abs(scores.mean - scores.stated) > 0.6e-4
    }
    return sorted(lines)
