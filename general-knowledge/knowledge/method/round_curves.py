"""Figures of a run, as PNG files beside its results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seal.report import plots

# Field of a round's results, and what the legend calls it
_CURVES = {
    "baseline_mean_accuracy": "no update",
    "adapter_mean_accuracy": "after the inner loop",
    "selected_mean_reward": "after the inner loop, selected self-edits",
}
# The proxy's scores are of 20 points, drawn as a share of them
_PROXY_CURVES = {
    "mean_proxy_score": "proxy score, share of 20 points",
    "selected_mean_reward": "proxy score, selected self-edits",
}
_MOST_POINTS = 20
_VALIDATION = "validation passages"


def plot_rounds(
    rounds: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]], path: Path
) -> None:
    """Draw accuracy by round: each round's own passages, and the validation passages if any.

    Rounds of the proxy reward have scores instead; accuracy is then of validation passages alone.
    `rounds` are the rounds' results; `validation` those before the first and after every round.
    """
    proxy = "mean_proxy_score" in rounds[0]
    points = _MOST_POINTS if proxy else 1
    curves = {
        label: [None if result[field] is None else result[field] / points for result in rounds]
        for field, label in (_PROXY_CURVES if proxy else _CURVES).items()
    }
    if validation:
        curves[_VALIDATION] = [result["adapter_mean_accuracy"] for result in validation]
    plots.plot_rounds(
        curves, path, "score or accuracy" if proxy else "accuracy", dashed={_VALIDATION}
    )
