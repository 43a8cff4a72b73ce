"""The curve of a ReST-EM run, as a PNG file beside its results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seal.report import plots

# Field of a round's results, and its text in the legend
_CURVES = {
    "baseline_mean_accuracy": "no update",
    "adapter_mean_accuracy": "after the inner loop",
    "selected_mean_reward": "after the inner loop, selected self-edits",
}
_PROXY_CURVES = {
    "mean_proxy_score": "proxy score, share of 20 points",
    "selected_mean_reward": "proxy score, selected self-edits",
}
_PROXY_POINTS = 20
_VALIDATION = "validation passages"


def plot_rounds(
    rounds: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]], path: Path
) -> None:
    """Draw accuracy by round: each round's own passages, and the validation passages if any.

    Rounds of the proxy reward have scores instead; accuracy is then of validation passages alone.
    `rounds` are the rounds' results; `validation` those before the first and after every round.
    """
    if "mean_proxy_score" in rounds[0]:
        curves = plots.round_curves(rounds, _PROXY_CURVES, _PROXY_POINTS)
        ylabel = "score or accuracy"
    else:
        curves, ylabel = plots.round_curves(rounds, _CURVES), "accuracy"
    if validation:
        curves[_VALIDATION] = [result["adapter_mean_accuracy"] for result in validation]
    plots.plot_rounds(curves, path, ylabel, dashed={_VALIDATION})
