"""Figures of a run, as PNG files beside its results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seal import plots

# Field of a round's results, and what the legend calls it
_CURVES = {
    "baseline_mean_accuracy": "no update",
    "adapter_mean_accuracy": "after the inner loop",
    "selected_mean_reward": "after the inner loop, selected self-edits",
}
_VALIDATION = "validation passages"


def plot_rounds(
    rounds: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]], path: Path
) -> None:
    """Draw accuracy by round: each round's own passages, and the validation passages if any.

    `rounds` are the rounds' results; `validation` those before the first and after every round.
    """
    curves = {label: [result[field] for result in rounds] for field, label in _CURVES.items()}
    if validation:
        curves[_VALIDATION] = [result["adapter_mean_accuracy"] for result in validation]
    plots.plot_rounds(curves, path, "accuracy", dashed={_VALIDATION})
