"""The curve of a ReST-EM run, as a PNG file beside its results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seal.report import plots

# Field of a round's results, and its text in the legend
_CURVES = {
    "in_context_success_rate": "in context, no update",
    "success_rate": "after the inner loop",
}


def plot_rounds(rounds: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw success by round; `rounds` are the rounds' results."""
    plots.plot_rounds(plots.round_curves(rounds, _CURVES), path, "success")
