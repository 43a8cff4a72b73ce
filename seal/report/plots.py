"""Plots of runs, as PNG files beside their results."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import nan
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seal.report.intervals import mean

Curve = Sequence[float | None]
"""A fraction for each round from the first on; None where nothing was measured, a gap."""


def save_png(figure: Figure, path: Path) -> None:
    """Write a PNG that appears whole; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, format="png", dpi=150)
    partial.replace(path)


def round_curves(
    rounds: Sequence[Mapping[str, Any]], labels: Mapping[str, str], most: float = 1
) -> dict[str, Curve]:
    """Curves by label; `labels` are by field of a round's result, `most` is the fields' maximum."""
    return {
        label: [None if result[field] is None else result[field] / most for result in rounds]
        for field, label in labels.items()
    }


def plot_rounds(
    curves: Mapping[str, Curve], path: Path, ylabel: str, dashed: Collection[str] = ()
) -> None:
    """Draw curves over the rounds of ReST-EM, in percent, by their labels.

    The axis names the policy at the start of the round, since that is what its inner loops train.
    """
    with _percent_axes(path, ylabel) as axes:
        for label, curve in curves.items():
            marker, line = ("s", "--") if label in dashed else ("o", "-")
            numbers = range(1, len(curve) + 1)
            axes.plot(numbers, _percent(curve), marker=marker, linestyle=line, label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("policy at the start of round")


def plot_seeds(
    curves: Mapping[str, Sequence[Curve]], path: Path, ylabel: str, dashed: Collection[str] = ()
) -> None:
    """Draw curves that begin before RL, in percent: a thin line per seed, their mean thick.

    Each label has a curve per seed, all of one length. A mean is over the seeds that have a value.
    """
    with _percent_axes(path, ylabel) as axes:
        for place, (label, of_seeds) in enumerate(curves.items()):
            marker, line = ("s", "--") if label in dashed else ("o", "-")
            style = {"color": f"C{place}", "linestyle": line}
            for curve in of_seeds if len(of_seeds) > 1 else ():
                axes.plot(_percent(curve), linewidth=0.8, alpha=0.5, **style)
            columns = [[v for v in own if v is not None] for own in zip(*of_seeds, strict=True)]
            means = _percent([mean(column) if column else None for column in columns])
            axes.plot(means, linewidth=2.5, marker=marker, label=label, **style)
        most = max(len(curve) for of_seeds in curves.values() for curve in of_seeds)
        axes.set_xticks(range(most), ["before RL", *(f"round {n}" for n in range(1, most))])


@contextmanager
def _percent_axes(path: Path, ylabel: str) -> Iterator[Axes]:
    """Axes to draw curves on, from 0% upwards; the file is written afterwards."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    yield axes
    axes.set(ylabel=f"{ylabel}, %", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    save_png(figure, path)


def _percent(curve: Curve) -> list[float]:
    return [nan if value is None else 100 * value for value in curve]
