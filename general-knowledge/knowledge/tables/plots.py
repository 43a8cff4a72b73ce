"""Figures of the comparison: what is printed is hollow, what is computed is filled."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from knowledge.experiments.retention import Matrix, retention
from knowledge.release.results import System, estimate
from knowledge.tables.compare import Column
from knowledge.tables.paper import PaperTable, Place

PASSAGES = {"single-passage": 1, "cpt-200-v2": 200, "cpt-2067-v2": 2067}
"""Tables of the paper's v2 by how many passages one adapter or model is taught."""

_STYLES: dict[str, tuple[str, str]] = {"release": ("o", "-"), "ours": ("s", "--")}
_APART = 0.05
_BEFORE, _OWN, _AFTER = "tab:blue", "black", "tab:red"


def plot_prompts(table: PaperTable, columns: Sequence[Column], path: Path) -> None:
    """ReST-EM by prompt: accuracy before RL and after each round, 95% intervals."""
    groups: dict[str, list[tuple[int, Place]]] = {}
    for row in table.rows:
        kind, _, number = row.id.partition("/")
        groups.setdefault(kind, []).append((int(number), (table.id, row.id)))
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    _plot_groups(axes, groups, _printed([table]), columns)
    axes.set(xlabel="rounds of ReST-EM", ylabel="accuracy, %", ylim=(0, None))
    axes.set_xticks(sorted({x for points in groups.values() for x, _ in points}))
    _legend(figure, groups, columns, "self-edit prompt")
    _save(figure, path)


def plot_passages(tables: Sequence[PaperTable], columns: Sequence[Column], path: Path) -> None:
    """Accuracy by the number of passages that are learned at once (1, 200, 2,067)."""
    order = {name: number for number, name in enumerate(PASSAGES)}
    used = [table for table in tables if table.id in order]
    groups: dict[str, list[tuple[int, Place]]] = {}
    for table in used:
        for row in table.rows:
            if row.id not in ("seal-1", "generative-adapter"):
                groups.setdefault(row.id, []).append((order[table.id], (table.id, row.id)))
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    _plot_groups(axes, groups, _printed(used), columns)
    axes.set(xlabel="passages learned at once", ylabel="accuracy, %", ylim=(0, None))
    axes.set_xticks(range(len(PASSAGES)), [f"{n:,}" for n in PASSAGES.values()])
    _legend(figure, groups, columns, "trained on")
    _save(figure, path)


def plot_continual(mean: Matrix, path: Path) -> None:
    """Heat map of sequential self-edits: accuracy [edits, passage], the three figures marked.

    `mean` is [K + 1, K] with fractions; cells that were not asked stay empty.
    """
    n_passages = mean.shape[1]
    asked = np.array([[r == 0 or k < r for k in range(n_passages)] for r in range(len(mean))])
    figure, axes = plt.subplots(figsize=(7, 6.2), layout="constrained")
    percents = np.where(asked, 100 * mean, np.nan)
    image = axes.imshow(percents, cmap="YlGn", vmin=0, vmax=60, aspect="auto")
    for (r, k), value in np.ndenumerate(percents):
        if asked[r, k]:
            axes.text(k, r, f"{value:.0f}", ha="center", va="center")
    _frame(axes, -0.5, -0.5, n_passages, _BEFORE)
    _frame(axes, -0.5, n_passages - 0.5, n_passages, _AFTER)
    for k in range(n_passages):
        _frame(axes, k - 0.46, k + 0.54, 0.92, _OWN, height=0.92)
    figures = retention(mean)
    marks = [
        (_BEFORE, f"before any edit: {100 * figures.before_any_edit:.1f}"),
        (_OWN, f"just after the passage's own edit: {100 * figures.after_own_edit:.1f}"),
        (_AFTER, f"after all {n_passages} edits: {100 * figures.after_all_edits:.1f}"),
    ]
    handles = [Line2D([], [], color=color, linewidth=2, label=label) for color, label in marks]
    figure.legend(handles=handles, loc="outside upper center", ncols=1, frameon=False)
    axes.set_xticks(range(n_passages), [str(k + 1) for k in range(n_passages)])
    axes.set(xlabel="passage of the sequence", ylabel="self-edits so far")
    figure.colorbar(image, ax=axes, label="accuracy, %")
    _save(figure, path)


def _frame(axes: Axes, x: float, y: float, width: float, color: str, height: float = 1.0) -> None:
    # Above the axes' own frame, and not cut off at it
    style = {"edgecolor": color, "linewidth": 2, "zorder": 5, "clip_on": False}
    axes.add_patch(Rectangle((x, y), width, height, fill=False, **style))


def _printed(tables: Sequence[PaperTable]) -> dict[Place, float]:
    """The figure of the last version of the paper that prints a row."""
    return {
        (table.id, row.id): list(row.printed.values())[-1]
        for table in tables
        for row in table.rows
        if row.printed
    }


def _plot_groups(
    axes: Axes,
    groups: Mapping[str, Sequence[tuple[int, Place]]],
    printed: Mapping[Place, float],
    columns: Sequence[Column],
) -> None:
    """A line for each group and source; groups stand apart, so that bars stay readable."""
    axes.grid(alpha=0.3)
    for number, points in enumerate(groups.values()):
        color = f"C{number}"
        shift = _APART * (number - (len(groups) - 1) / 2)
        paper = [(x + shift, printed[place]) for x, place in points if place in printed]
        axes.plot(
            *zip(*paper, strict=True), color=color, marker="o", markersize=8, alpha=0.6,
            markerfacecolor="none", linestyle=":" if columns else "-",
        )  # fmt: skip
        for column in columns:
            found = [(x + shift, column.systems[p]) for x, p in points if p in column.systems]
            if found:
                _plot_systems(axes, found, color, *_STYLES[column.source])


def _plot_systems(
    axes: Axes, points: Sequence[tuple[float, System]], color: str, marker: str, line: str
) -> None:
    values = [100 * (system.mean or 0.0) for _, system in points]
    figures = [estimate(system) for _, system in points]
    below = [v - 100 * f.lower if f else 0.0 for v, f in zip(values, figures, strict=True)]
    above = [100 * f.upper - v if f else 0.0 for v, f in zip(values, figures, strict=True)]
    axes.errorbar(
        [x for x, _ in points], values, yerr=[below, above], color=color, marker=marker,
        markersize=4, linestyle=line, capsize=2, linewidth=1.5,
    )  # fmt: skip


def _legend(
    figure: Figure, groups: Mapping[str, object], columns: Sequence[Column], title: str
) -> None:
    """Colours are groups, marks are sources."""
    handles = [
        Line2D([], [], color=f"C{number}", linewidth=3, label=group)
        for number, group in enumerate(groups)
    ]
    paper = {"marker": "o", "markersize": 8, "markerfacecolor": "none", "linestyle": ":"}
    handles.append(Line2D([], [], color="gray", label="paper", **paper))
    for column in columns:
        marker, line = _STYLES[column.source]
        style = {"marker": marker, "markersize": 4, "linestyle": line}
        handles.append(Line2D([], [], color="gray", label=column.heading, **style))
    figure.legend(handles=handles, title=title, loc="outside right upper", frameon=False)


def _save(figure: Figure, path: Path) -> None:
    """Write the PNG under a temporary name first, so that it appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, format="png", dpi=150)
    plt.close(figure)
    partial.rename(path)
