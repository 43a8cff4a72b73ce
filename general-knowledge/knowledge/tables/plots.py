"""Plots of the comparison: what is printed is hollow, what is computed is filled."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from knowledge.experiments.retention import Matrix, asked_cells, retention
from knowledge.release.row_of_file import RowKey
from knowledge.tables.columns import Column
from knowledge.tables.paper import PaperTable
from seal.report.plots import save_png
from seal.report.tables import percent

PASSAGES = {"single-passage": 1, "cpt-200-v2": 200, "cpt-2067-v2": 2067}
"""Tables of the paper's v2 by how many passages one adapter or model is taught."""

Groups = dict[str, list[tuple[int, RowKey]]]
"""Lines of a plot by label: places on the x axis, each with a row of a table."""

_STYLES = {
    "release": {"marker": "o", "markersize": 4, "linestyle": "-"},
    "ours": {"marker": "s", "markersize": 4, "linestyle": "--"},
}
_PRINTED = {"marker": "o", "markersize": 8, "markerfacecolor": "none"}
_APART = 0.05
_BEFORE, _OWN, _AFTER = "tab:blue", "black", "tab:red"


def plot_prompts(tables: Sequence[PaperTable], columns: Sequence[Column], path: Path) -> None:
    """ReST-EM by prompt: accuracy before RL and after each round, 95% intervals."""
    used = [table for table in tables if table.id == "prompts"]
    groups: Groups = {}
    for row in used[0].rows:
        kind, _, number = row.id.partition("/")
        groups.setdefault(kind, []).append((int(number), (used[0].id, row.id)))
    rounds = sorted({str(x) for points in groups.values() for x, _ in points})
    figure = _plot_groups(groups, used, columns, "rounds of ReST-EM", rounds, "self-edit prompt")
    save_png(figure, path)


def plot_passages(tables: Sequence[PaperTable], columns: Sequence[Column], path: Path) -> None:
    """Accuracy by the number of passages that are learned at once (1, 200, 2,067)."""
    order = list(PASSAGES)
    used = [table for table in tables if table.id in order]
    groups: Groups = {}
    for table in used:
        for row in table.rows:
            if row.id not in ("seal-1", "generative-adapter"):
                groups.setdefault(row.id, []).append((order.index(table.id), (table.id, row.id)))
    labels = [f"{n:,}" for n in PASSAGES.values()]
    figure = _plot_groups(groups, used, columns, "passages learned at once", labels, "trained on")
    save_png(figure, path)


def plot_continual(mean: Matrix, path: Path) -> None:
    """Heat map of sequential self-edits: `mean` accuracy [K + 1, K], the three numbers marked."""
    n_passages = mean.shape[1]
    figure = Figure(figsize=(7, 6.2), layout="constrained")
    axes = figure.subplots()
    percents = np.full_like(mean, np.nan)
    for cell in asked_cells(n_passages):
        percents[cell] = 100 * mean[cell]
        axes.text(*cell[::-1], f"{percents[cell]:.0f}", ha="center", va="center")
    image = axes.imshow(percents, cmap="YlGn", vmin=0, vmax=60, aspect="auto")
    _frame(axes, -0.5, -0.5, n_passages, _BEFORE)
    _frame(axes, -0.5, n_passages - 0.5, n_passages, _AFTER)
    for k in range(n_passages):
        _frame(axes, k - 0.46, k + 0.54, 0.92, _OWN, height=0.92)
    found = retention(mean)
    marks = {
        _BEFORE: f"before any edit: {percent(found.before_any_edit)}",
        _OWN: f"just after the passage's own edit: {percent(found.after_own_edit)}",
        _AFTER: f"after all {n_passages} edits: {percent(found.after_all_edits)}",
    }
    handles = [_mark(label, color=color, linewidth=2) for color, label in marks.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=1, frameon=False)
    axes.set_xticks(range(n_passages), [str(k + 1) for k in range(n_passages)])
    axes.set(xlabel="passage of the sequence", ylabel="self-edits so far")
    figure.colorbar(image, ax=axes, label="accuracy, %")
    save_png(figure, path)


def _frame(axes: Axes, x: float, y: float, width: float, color: str, height: float = 1.0) -> None:
    # Above the axes' own frame, and not cut off at it
    style = {"edgecolor": color, "linewidth": 2, "zorder": 5, "clip_on": False}
    axes.add_patch(Rectangle((x, y), width, height, fill=False, **style))


def _plot_groups(
    groups: Groups,
    tables: Sequence[PaperTable],
    columns: Sequence[Column],
    xlabel: str,
    places: Sequence[str],
    legend: str,
) -> Figure:
    """A line for each group (colour) and source (mark); of the paper's versions the last counts."""
    rows = [(table.id, row) for table in tables for row in table.rows if row.printed]
    printed = {(table, row.id): list(row.printed.values())[-1] for table, row in rows}
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    for number, points in enumerate(groups.values()):
        color = f"C{number}"
        # Groups stand apart, so that bars stay readable
        shift = _APART * (number - (len(groups) - 1) / 2)
        paper = [(x + shift, printed[key]) for x, key in points if key in printed]
        style = _PRINTED | {"color": color, "linestyle": ":" if columns else "-"}
        axes.plot(*zip(*paper, strict=True), alpha=0.6, **style)
        for column in columns:
            shifted = [(x + shift, key) for x, key in points if key in column.scores]
            _plot_points(axes, shifted, column, color)
    axes.set(xlabel=xlabel, ylabel="accuracy, %", ylim=(0, None))
    axes.set_xticks(range(len(places)), places)
    handles = [_mark(group, color=f"C{n}", linewidth=3) for n, group in enumerate(groups)]
    handles.append(_mark("paper", color="gray", linestyle=":", **_PRINTED))
    handles += [_mark(c.heading, color="gray", **_STYLES[c.source]) for c in columns]
    figure.legend(handles=handles, title=legend, loc="outside right upper", frameon=False)
    return figure


def _plot_points(
    axes: Axes, points: Sequence[tuple[float, RowKey]], column: Column, color: str
) -> None:
    """Means in percent, with their 95% intervals where they have one."""
    places, values, below, above = [], [], [], []
    for x, key in points:
        value, found = 100 * (column.scores[key].mean or 0.0), column.scores[key].estimate()
        places.append(x)
        values.append(value)
        below.append(value - 100 * found.lower if found else 0.0)
        above.append(100 * found.upper - value if found else 0.0)
    style = {"color": color, "capsize": 2, "linewidth": 1.5, **_STYLES[column.source]}
    if points:
        axes.errorbar(places, values, yerr=[below, above], **style)


def _mark(label: str, **style: object) -> Line2D:
    return Line2D([], [], label=label, **style)
