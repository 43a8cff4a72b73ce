"""Columns beside what the paper prints: cells, mismatches, and their Markdown and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from knowledge.experiments.retention import PooledRuns, asked_cells
from knowledge.judging.judges import CONSTANTS
from knowledge.release.results import RELEASED_JUDGE
from knowledge.release.row_of_file import RowKey
from knowledge.tables.columns import Column
from knowledge.tables.paper import VERSIONS, PaperRow, PaperTable
from seal.records import read_json
from seal.report.intervals import Estimate
from seal.report.tables import markdown_table, number, percent

EQUAL_WITHIN = 0.1
"""Points by which a number may differ from the printed one: what rounding to 0.1 can do."""

SCALES = {"percent": 100, "points": 1}
ABSENT = number(None)


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
    cells = []
    for table in tables:
        judge = RELEASED_JUDGE if table.mean_over != "tasks" else None
        for row in table.rows:
            about = {"unit": row.unit, "mean_over": table.mean_over}
            for version, value in row.printed.items():
                source, column = f"paper-{version}", f"paper {version}"
                cells.append(Cell(table.id, row.id, source, judge, value, **about, column=column))
    return cells


def cells_of(column: Column, tables: Sequence[PaperTable]) -> list[Cell]:
    """The numbers of a column, with intervals and differences to the rows above."""
    return [_cell(t, row, t.row_above(row), column) for t, row in _rows_of(column, tables)]


def _rows_of(column: Column, tables: Sequence[PaperTable]) -> list[tuple[PaperTable, PaperRow]]:
    return [(t, row) for t in tables for row in t.rows if (t.id, row.id) in column.scores]


def comparisons_of(column: Column, tables: Sequence[PaperTable]) -> list[Cell]:
    """Cells with their difference to a row that is not the one above, where that is of interest."""
    cells = []
    for table in tables:
        rows = {row.id: row for row in table.rows if (table.id, row.id) in column.scores}
        for first, second in table.comparisons:
            if first in rows and second in rows:
                cells.append(_cell(table, rows[first], rows[second], column))
    return [cell for cell in cells if cell.difference_to]


def _cell(table: PaperTable, row: PaperRow, other: PaperRow | None, column: Column) -> Cell:
    scale, scores = SCALES[row.unit], column.scores[table.id, row.id]
    theirs = column.scores.get((table.id, other.id)) if other else None
    found, change = scores.estimate(), scores.minus(theirs) if theirs else None
    of_questions = scores.mean_over == "questions" and found
    difference_lower, difference_upper = _bounds(change, scale)
    return Cell(
        table.id,
        row.id,
        column.source,
        scores.judge,
        _rounded(scores.mean, scale),
        *_bounds(found, scale),
        n=scores.n_questions if of_questions else found.n if found else None,
        unit=row.unit,
        mean_over=table.mean_over,
        n_passages=scores.n_passages,
        n_questions=scores.n_questions,
        blank_answers=_rounded(scores.blank_rate, 100),
        difference_to=other.id if other and change else None,
        difference=_rounded(change.mean, scale) if change else None,
        difference_lower=difference_lower,
        difference_upper=difference_upper,
        column=column.heading,
    )


def _rounded(value: float | None, scale: int) -> float | None:
    return None if value is None else round(scale * value, 4)


def _bounds(found: Estimate | None, scale: int) -> tuple[float | None, float | None]:
    # One cluster shows no spread; its interval would look like certainty
    shown = found and found.n > 1
    return (_rounded(found.lower, scale), _rounded(found.upper, scale)) if shown else (None, None)


class Mismatch(NamedTuple):
    """A number of the release that is further from the printed one than rounding explains."""

    row: RowKey
    version: str
    printed: float
    recomputed: float
    note: str | None


def mismatches(tables: Sequence[PaperTable], column: Column) -> list[Mismatch]:
    """The rows of the column that differ from what a version of the paper prints."""
    found = []
    for table, row in _rows_of(column, tables):
        value = _rounded(column.scores[table.id, row.id].mean, SCALES[row.unit])
        for version, printed in row.printed.items():
            if value is not None and abs(value - printed) > EQUAL_WITHIN:
                found.append(Mismatch((table.id, row.id), version, printed, value, row.note))
    return found


def missing_rows(tables: Sequence[PaperTable], column: Column) -> list[tuple[RowKey, str]]:
    """Rows that no file fills, with the release's file that would."""
    keys = (((table.id, row.id), row.file) for table in tables for row in table.rows)
    return [(key, file) for key, file in keys if file and key not in column.scores]


def misstatements(column: Column, files: Mapping[RowKey, Path]) -> list[str]:
    """Files whose own mean is not that of their records, to the 4 decimals that they give."""
    lines = {
        f"{files[key]} states {scores.stated}, its records give {scores.mean:.4f}"
        for key, scores in column.scores.items()
        if scores.clusters and scores.stated is not None and abs(scores.mean - scores.stated) > 6e-5
    }
    return sorted(lines)


# In Markdown and CSV


def format_table(
    table: PaperTable,
    columns: Sequence[Column],
    cells: Sequence[Cell],
    comparisons: Sequence[Cell] = (),
) -> str:
    """One table under its heading: what is printed, then every source that has a row of it."""
    of_table = {(cell.row, cell.column): cell for cell in cells if cell.table == table.id}
    used = [c for c in columns if any(heading == c.heading for _, heading in of_table)]
    printed = [f"paper {version}" for version in VERSIONS]
    header = ["row", *printed]
    for column in used:
        header += [column.heading, *(["to row above", "blank %", "over"] if column.main else [])]
    lines = []
    for row in table.rows:
        lines.append([row.id, *(_value(of_table.get((row.id, name))) for name in printed)])
        for column in used:
            cell = of_table.get((row.id, column.heading))
            lines[-1].append(_value(cell))
            if column.main and cell:
                lines[-1] += [_difference(cell), number(cell.blank_answers), _counts(cell)]
            elif column.main:
                lines[-1] += [ABSENT] * 3
    paper = f" (paper, table {table.paper_table})" if table.paper_table else ""
    text = f"## {table.id}: {table.title}{paper}\n\n{markdown_table(header, lines)}"
    differences = [
        f"- {cell.row} minus {cell.difference_to}, {cell.column}: {_difference(cell)}"
        for cell in comparisons
        if cell.table == table.id
    ]
    return "\n".join([text, *(["", *differences] if differences else [])])


def _value(cell: Cell | None) -> str:
    return number(cell.value, _half(cell.lower, cell.upper)) if cell else ABSENT


def _difference(cell: Cell) -> str:
    half = _half(cell.difference_lower, cell.difference_upper)
    return number(cell.difference, half, signed=True)


def _half(lower: float | None, upper: float | None) -> float | None:
    return None if lower is None or upper is None else (upper - lower) / 2


def _counts(cell: Cell) -> str:
    """Passages / questions, or runs."""
    if cell.mean_over == "runs":
        return ABSENT if cell.n is None else f"{cell.n} runs"
    counts = (cell.n_passages, cell.n_questions)
    return " / ".join(ABSENT if n is None else f"{n:,}" for n in counts)


def introduction(columns: Sequence[Column]) -> str:
    """What the columns are, and how far an offline judge can be trusted on these answers."""
    text = (
        "Percent; ± is half a 95% interval that resamples passages (continual: runs), and"
        " differences are paired. A source is followed by its judge; `release, gpt-4.1` is"
        " recomputed from the authors' files with the verdicts in them. *Over* says how many"
        " passages / questions; - is what a source does not have."
    )
    if any("offline" in column.heading for column in columns):
        left_out = read_json(CONSTANTS)["figures"]["cross_validated"]
        text += (
            "\n\nThe offline judge's constants were fitted to these very verdicts; on articles that"
            " were left out it gives the same verdict in"
            f" {percent(left_out['accuracy'])}% of the answers, and its calibrated accuracies are"
            f" off by {percent(left_out['system_error_mean'])} points in the mean, at most"
            f" {percent(left_out['system_error_max'])}."
        )
    return text


def format_mismatches(
    tables: Sequence[PaperTable], found: Sequence[Mismatch], misstated: Sequence[str]
) -> str:
    """Rows whose files say otherwise than the paper, known misprints, and `misstatements`."""
    lines = [
        f"- {'/'.join(m.row)}: {m.version} prints {m.printed:.1f}, the file gives"
        f" {m.recomputed:.2f}{f' ({m.note})' if m.note else ''}"
        for m in found
    ]
    shown = {m.row for m in found}
    for table in tables:
        for row in table.rows:
            if row.note and (table.id, row.id) not in shown:
                printed = ", ".join(f"{v} prints {x:.1f}" for v, x in row.printed.items())
                lines.append(f"- {table.id}/{row.id}: {printed} ({row.note}); no file here to show")
    lines += [f"- {line}" for line in misstated]
    return "\n".join(
        ["## Where the files differ from what is printed", "", *(lines or ["nowhere"])]
    )


def format_missing(missing: Sequence[tuple[RowKey, str]], problems: Mapping[Path, str]) -> str:
    """The rows without a file, by its name in the release, and files that cannot be read."""
    lines = [f"- {'/'.join(row)}: {file}" for row, file in missing]
    lines += [f"- not read: {path}: {reason}" for path, reason in problems.items()]
    return "\n".join(["## Files that are not there", "", *(lines or ["none"])])


def format_deviations(pooled: PooledRuns) -> str:
    """The two deviations of continual self-edits, averaged over the cells that were asked."""
    asked = pooled.mean != 0
    return (
        f"Continual self-edits, {pooled.n_sequences} sequences, mean over the cells of the matrix:"
        f" pooled standard deviation {percent(pooled.pooled_std[asked].mean())}, average of the"
        f" runs' standard deviations {percent(pooled.average_of_stds[asked].mean())}"
        " (which the release's overall file calls the standard deviation)."
    )


def matrix_rows(pooled: PooledRuns) -> list[dict[str, Any]]:
    """The matrix of continual self-edits, a record for each cell that was asked, in percent."""
    matrices = ("mean", "pooled_std", "average_of_stds")
    return [
        {"edits": edits, "passage": passage + 1}
        | {name: round(100 * getattr(pooled, name)[edits, passage], 4) for name in matrices}
        for edits, passage in asked_cells(pooled.mean.shape[1])
    ]


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Records with the same fields as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
