"""Figures of a run, as PNG files beside its results."""

from collections.abc import Collection, Mapping, Sequence
from math import nan
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
            [nan if value is None else 100 * value for value in curve],
            marker="s" if label in dashed else "o",
            linestyle="--" if label in dashed else "-",
            label=label,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="policy at the start of round", ylabel=f"{ylabel}, %", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, format="png", dpi=150)
    partial.replace(path)
