"""Figures of runs, as PNG files beside their results."""

from collections.abc import Collection, Mapping, Sequence
from math import nan
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seal.report.intervals import mean

Curve = Sequence[float | None]
"""A fraction for each round from the first on; None where nothing was measured, a gap."""


def plot_rounds(
    curves: Mapping[str, Curve], path: Path, ylabel: str, dashed: Collection[str] = ()
) -> None:
    """Draw curves over the rounds of ReST-EM, in percent, by their labels; the file appears whole.

    A round's inner loops are of the policy that the round starts from, so that is what the axis
    says. `dashed` are labels whose curves stand apart.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for label, curve in curves.items():
        axes.plot(
            range(1, len(curve) + 1),
            _percent(curve),
            marker="s" if label in dashed else "o",
            linestyle="--" if label in dashed else "-",
            label=label,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="policy at the start of round", ylabel=f"{ylabel}, %", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    save_png(figure, path)


def plot_seeds(
    curves: Mapping[str, Sequence[Curve]], path: Path, ylabel: str, dashed: Collection[str] = ()
) -> None:
    """Draw curves that begin before RL, in percent: a thin line per seed, their mean thick.

    Each label has a curve per seed, all of one length. A mean is over the seeds that have a value.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for place, (label, of_seeds) in enumerate(curves.items()):
        style = {"color": f"C{place}", "linestyle": "--" if label in dashed else "-"}
        for curve in of_seeds if len(of_seeds) > 1 else ():
            axes.plot(_percent(curve), linewidth=0.8, alpha=0.5, **style)
        marker = "s" if label in dashed else "o"
        axes.plot(
            _percent(_mean_curve(of_seeds)), linewidth=2.5, marker=marker, label=label, **style
        )
    most = max(len(curve) for of_seeds in curves.values() for curve in of_seeds)
    axes.set_xticks(range(most), ["before RL", *(f"round {n}" for n in range(1, most))])
    axes.set(ylabel=f"{ylabel}, %", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    save_png(figure, path)


def _percent(curve: Curve) -> list[float]:
    return [nan if value is None else 100 * value for value in curve]


def _mean_curve(curves: Sequence[Curve]) -> Curve:
    columns = [[v for v in column if v is not None] for column in zip(*curves, strict=True)]
    return [mean(column) if column else None for column in columns]


def save_png(figure: Figure, path: Path) -> None:
    """Write a PNG that appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, format="png", dpi=150)
    partial.replace(path)
