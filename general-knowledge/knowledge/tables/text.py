"""The comparison in Markdown and CSV, for people and for spreadsheets."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from knowledge.experiments.retention import PooledRuns
from knowledge.judging.offline_judge import CONSTANTS
from knowledge.tables.compare import Column, Comparison, Figure, Mismatch
from knowledge.tables.paper import VERSIONS, PaperTable, Place
from seal.records import read_json
from seal.report.tables import markdown_table

ABSENT = "-"


def format_table(
    table: PaperTable,
    columns: Sequence[Column],
    figures: Sequence[Figure],
    comparisons: Sequence[Comparison] = (),
) -> str:
    """One table under its heading: what is printed, then every source that has a row of it."""
    of_table = {(f.row, f.column): f for f in figures if f.table == table.id}
    used = [c for c in columns if any(heading == c.heading for _, heading in of_table)]
    printed = [f"paper {version}" for version in VERSIONS]
    header = ["row", *printed]
    for column in used:
        header += [column.heading, *(["to row above", "blank %", "over"] if column.main else [])]
    cells = []
    for row in table.rows:
        cells.append([row.id, *(_value(of_table.get((row.id, name))) for name in printed)])
        for column in used:
            cells[-1] += _cells(of_table.get((row.id, column.heading)), column.main)
    number = f" (paper, table {table.number})" if table.number else ""
    lines = [f"## {table.id}: {table.title}{number}", "", markdown_table(header, cells)]
    differences = [_compared(c) for c in comparisons if c.table == table.id]
    return "\n".join([*lines, *(["", *differences] if differences else [])])


def _cells(figure: Figure | None, main: bool) -> list[str]:
    if not main:
        return [_value(figure)]
    if figure is None:
        return [ABSENT] * 4
    bounds = (figure.difference_lower, figure.difference_upper)
    change = _spread(figure.difference, *bounds, signed=True)
    return [_value(figure), change, _spread(figure.blank_answers), _counts(figure)]


def _value(figure: Figure | None) -> str:
    return _spread(figure.value, figure.lower, figure.upper) if figure else ABSENT


def _spread(
    value: float | None,
    lower: float | None = None,
    upper: float | None = None,
    signed: bool = False,
) -> str:
    """A figure with half the width of its interval: "39.7 ± 3.9"."""
    if value is None:
        return ABSENT
    half = "" if lower is None or upper is None else f" ± {(upper - lower) / 2:.1f}"
    return f"{value:+.1f}{half}" if signed else f"{value:.1f}{half}"


def _counts(figure: Figure) -> str:
    """Passages / questions, or runs."""
    if figure.mean_over == "runs":
        return ABSENT if figure.n is None else f"{figure.n} runs"
    counts = (figure.n_passages, figure.n_questions)
    return " / ".join(ABSENT if n is None else f"{n:,}" for n in counts)


def _compared(comparison: Comparison) -> str:
    change = _spread(comparison.difference, comparison.lower, comparison.upper, signed=True)
    return f"- {comparison.first} minus {comparison.second}, {comparison.column}: {change}"


def introduction(columns: Sequence[Column]) -> str:
    """What the columns are, and how far an offline judge can be trusted on these answers."""
    lines = [
        "Percent; ± is half a 95% interval that resamples passages (continual: runs), and"
        " differences are paired. A source is followed by its judge; `release, gpt-4.1` is"
        " recomputed from the authors' files with the verdicts in them. *Over* says how many"
        " passages / questions; - is what a source does not have.",
    ]
    if any("offline" in column.heading for column in columns):
        figures = read_json(CONSTANTS)["figures"]["cross_validated"]
        lines.append(
            "The offline judge's constants were fitted to these very verdicts; on articles that"
            " were left out it gives the same verdict in"
            f" {100 * figures['accuracy']:.1f}% of the answers, and its calibrated accuracies are"
            f" off by {100 * figures['system_error_mean']:.1f} points in the mean, at most"
            f" {100 * figures['system_error_max']:.1f}."
        )
    return "\n\n".join(lines)


def format_mismatches(
    tables: Sequence[PaperTable], found: Sequence[Mismatch], misstated: Sequence[str]
) -> str:
    """The rows whose files say otherwise than the paper, and every misprint that is known.

    `misstated` are lines on files that say otherwise than their own records.
    """
    lines = [
        f"- {'/'.join(m.place)}: {m.version} prints {m.printed:.1f}, the file gives"
        f" {m.recomputed:.2f}{f' ({m.note})' if m.note else ''}"
        for m in found
    ]
    told = {m.place for m in found}
    for table in tables:
        for row in table.rows:
            if row.note and (table.id, row.id) not in told:
                printed = ", ".join(f"{v} prints {x:.1f}" for v, x in row.printed.items())
                lines.append(f"- {table.id}/{row.id}: {printed} ({row.note}); no file here to show")
    lines += [f"- {line}" for line in misstated]
    return "\n".join(
        ["## Where the files differ from what is printed", "", *(lines or ["nowhere"])]
    )


def format_missing(missing: Sequence[tuple[Place, str]], problems: Mapping[Path, str]) -> str:
    """The rows without a file, with its name in the release, and the files that were no use."""
    lines = [f"- {'/'.join(place)}: {file}" for place, file in missing]
    lines += [f"- not read: {path}: {reason}" for path, reason in problems.items()]
    return "\n".join(["## Files that are not there", "", *(lines or ["none"])])


def format_deviations(pooled: PooledRuns) -> str:
    """The two deviations of continual self-edits, averaged over the cells that were asked."""
    asked = pooled.mean != 0
    pooled_std, average = (
        100 * matrix[asked].mean() for matrix in (pooled.pooled_std, pooled.average_of_stds)
    )
    return (
        f"Continual self-edits, {pooled.n_sequences} sequences, mean over the cells of the matrix:"
        f" pooled standard deviation {pooled_std:.1f},"
        f" average of the runs' standard deviations {average:.1f}"
        " (which the release's overall file calls the standard deviation)."
    )


def matrix_rows(pooled: PooledRuns) -> list[dict[str, Any]]:
    """The matrix of continual self-edits, a record for each cell that was asked, in percent."""
    return [
        {
            "edits": edits,
            "passage": passage + 1,
            "mean": round(100 * pooled.mean[edits, passage], 4),
            "pooled_std": round(100 * pooled.pooled_std[edits, passage], 4),
            "average_of_stds": round(100 * pooled.average_of_stds[edits, passage], 4),
        }
        for edits in range(len(pooled.mean))
        for passage in range(edits or pooled.mean.shape[1])
    ]


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Records with the same fields as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
