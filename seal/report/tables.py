"""Tables that read well in a terminal and paste into Markdown."""

from collections.abc import Mapping, Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first flush left, the others flush right."""
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(aligned)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def percent(estimate: Mapping[str, float] | None, signed: bool = False) -> str:
    """A fraction as percent with half the width of its 95% interval: "39.7 ± 3.9"."""
    if estimate is None:
        return "-"
    mean, half = 100 * estimate["mean"], 50 * (estimate["upper"] - estimate["lower"])
    # One cluster has a mean and no spread; a zero would look like certainty
    spread = f" ± {half:.1f}" if estimate["n"] > 1 else ""
    return f"{mean:+.1f}{spread}" if signed else f"{mean:.1f}{spread}"
