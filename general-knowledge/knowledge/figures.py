"""Figures of a run, as PNG files beside its results."""

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

# Field of a round's results, and what the legend calls it
_CURVES = {
    "baseline_mean_accuracy": "no update",
    "adapter_mean_accuracy": "after the inner loop",
    "selected_mean_reward": "after the inner loop, selected self-edits",
}


def plot_rounds(
    rounds: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]], path: Path
) -> None:
    """Draw accuracy by round: each round's own passages, and the validation passages if any.

    `rounds` are the rounds' results; `validation` those before the first and after every round.
    """
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    numbers = [result["round"] for result in rounds]
    for field, label in _CURVES.items():
        # Nothing was selected where nothing could be graded; a gap in the curve
        values = [nan if result[field] is None else 100 * result[field] for result in rounds]
        axes.plot(numbers, values, marker="o", label=label)
    if validation:
        accuracies = [100 * result["adapter_mean_accuracy"] for result in validation]
        # A round's inner loops and its validation are of the policy that the round starts from
        places = range(1, len(validation) + 1)
        axes.plot(places, accuracies, marker="s", linestyle="--", label="validation passages")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="policy at the start of round", ylabel="accuracy, %", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, format="png", dpi=150)
    plt.close(figure)
    partial.rename(path)
