"""Tables that read well in a terminal and paste into Markdown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Row = TypeVar("Row")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first flush left, the others flush right."""
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(aligned)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def table_of(rows: Sequence[Row], columns: Mapping[str, Callable[[Row], str]]) -> str:
    """A Markdown table of records; `columns` are headings with what is shown of a record."""
    return markdown_table(list(columns), [[show(row) for show in columns.values()] for row in rows])


def estimate(field: str, *, signed: bool = False) -> Callable[[Mapping[str, Any]], str]:
    """A column for `table_of`: the estimate that is a record's `field`, in percent."""
    return lambda row: percent(row[field], signed=signed)


def number(
    value: float | None, spread: float | None = None, *, signed: bool = False, digits: int = 1
) -> str:
    """A number with its uncertainty, where it has one: "39.7 ± 3.9"; "-" for None."""
    if value is None:
        return "-"
    shown = f"{value:{'+' if signed else ''}.{digits}f}"
    return shown if spread is None else f"{shown} ± {spread:.{digits}f}"


def percent(
    value: float | Mapping[str, float] | None,
    spread: float | None = None,
    *,
    signed: bool = False,
    digits: int = 1,
) -> str:
    """A fraction as a `number` in percent.

    An estimate with mean, lower, upper and n, as results.json holds it, has half its 95% interval
    as uncertainty.
    """
    if isinstance(value, Mapping):
        # One cluster has a mean and no spread; a zero would look like certainty
        spread = (value["upper"] - value["lower"]) / 2 if value["n"] > 1 else None
        value = value["mean"]
    in_percent = (None if fraction is None else 100 * fraction for fraction in (value, spread))
    return number(*in_percent, signed=signed, digits=digits)
