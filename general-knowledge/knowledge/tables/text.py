"""The comparison in Markdown and CSV, for people and for spreadsheets."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from knowledge.experiments.retention import PooledRuns, asked_cells
from knowledge.judging.judges import CONSTANTS
from knowledge.release.row_of_file import RowKey
from knowledge.tables.compare import Cell, Column, Mismatch
from knowledge.tables.paper import VERSIONS, PaperTable
from seal.records import read_json
from seal.report.tables import markdown_table, number, percent

ABSENT = number(None)


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
            lines[-1] += _shown(of_table.get((row.id, column.heading)), column.main)
    paper = f" (paper, table {table.paper_table})" if table.paper_table else ""
    text = f"## {table.id}: {table.title}{paper}\n\n{markdown_table(header, lines)}"
    differences = [
        f"- {cell.row} minus {cell.difference_to}, {cell.column}: {_difference(cell)}"
        for cell in comparisons
        if cell.table == table.id
    ]
    return "\n".join([text, *(["", *differences] if differences else [])])


def _shown(cell: Cell | None, main: bool) -> list[str]:
    if not main:
        return [_value(cell)]
    if cell is None:
        return [ABSENT] * 4
    return [_value(cell), _difference(cell), number(cell.blank_answers), _counts(cell)]


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
    lines = [
        "Percent; ± is half a 95% interval that resamples passages (continual: runs), and"
        " differences are paired. A source is followed by its judge; `release, gpt-4.1` is"
        " recomputed from the authors' files with the verdicts in them. *Over* says how many"
        " passages / questions; - is what a source does not have.",
    ]
    if any("offline" in column.heading for column in columns):
        left_out = read_json(CONSTANTS)["figures"]["cross_validated"]
        lines.append(
            "The offline judge's constants were fitted to these very verdicts; on articles that"
            " were left out it gives the same verdict in"
            f" {percent(left_out['accuracy'])}% of the answers, and its calibrated accuracies are"
            f" off by {percent(left_out['system_error_mean'])} points in the mean, at most"
            f" {percent(left_out['system_error_max'])}."
        )
    return "\n\n".join(lines)


def format_mismatches(
    tables: Sequence[PaperTable], found: Sequence[Mismatch], misstated: Sequence[str]
) -> str:
    """The rows whose files say otherwise than the paper, and every misprint that is known.

    `misstated` are lines on files that say otherwise than their own records.
    """
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
    return _section("Where the files differ from what is printed", lines or ["nowhere"])


def format_missing(missing: Sequence[tuple[RowKey, str]], problems: Mapping[Path, str]) -> str:
    """The rows without a file, by its name in the release, and files that cannot be read."""
    lines = [f"- {'/'.join(row)}: {file}" for row, file in missing]
    lines += [f"- not read: {path}: {reason}" for path, reason in problems.items()]
    return _section("Files that are not there", lines or ["none"])


def _section(heading: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {heading}", "", *lines])


def format_deviations(pooled: PooledRuns) -> str:
    """The two deviations of continual self-edits, averaged over the cells that were asked."""
    asked = pooled.mean != 0
    pooled_std, average = (
        percent(matrix[asked].mean()) for matrix in (pooled.pooled_std, pooled.average_of_stds)
    )
    return (
        f"Continual self-edits, {pooled.n_sequences} sequences, mean over the cells of the matrix:"
        f" pooled standard deviation {pooled_std},"
        f" average of the runs' standard deviations {average}"
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
