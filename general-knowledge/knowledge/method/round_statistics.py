"""Accuracies and spreads of inner-loop runs, as the release's result files state them (golden G4).

A passage has completions (self-edits), a completion has repetitions (inner loops from different
seeds). Accuracies are fractions; spreads are sample standard deviations, 0 for a single value.
Field names are the release's. Means are over passages, not over questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seal.report.intervals import mean, sample_std

DECIMALS = 4


@dataclass(frozen=True)
class Repetition:
    """Verdicts of one inner loop, one per question: before the update and with the adapter."""

    baseline: Sequence[bool]
    adapter: Sequence[bool]


@dataclass(frozen=True)
class CompletionSummary:
    """One self-edit over its repetitions, unrounded. `adapter_mean` is its reward."""

    baseline_mean: float
    baseline_std: float
    adapter_mean: float
    adapter_std: float
    gain_mean: float


def accuracy(verdicts: Sequence[bool]) -> float:
    """Share of correct answers, rounded to 4 decimals. Raises ValueError for no verdicts."""
    # As the release rounds here already, before any averaging; one of its 43 published summaries
    # would differ in the last digit otherwise
    return round(mean(verdicts), DECIMALS)


def summarize_completion(repetitions: Sequence[Repetition]) -> CompletionSummary:
    """Mean over the repetitions of a self-edit, and how far they scatter."""
    baseline = [accuracy(repetition.baseline) for repetition in repetitions]
    adapter = [accuracy(repetition.adapter) for repetition in repetitions]
    # A gain is rounded, but taken between accuracies that are not
    gains = [round(mean(r.adapter) - mean(r.baseline), DECIMALS) for r in repetitions]
    return CompletionSummary(
        mean(baseline), sample_std(baseline), mean(adapter), sample_std(adapter), mean(gains)
    )


def summarize_article(completions: Sequence[CompletionSummary]) -> dict[str, float]:
    """One passage, unrounded: mean over its self-edits, and how far they scatter."""
    adapter = [completion.adapter_mean for completion in completions]
    return {
        "baseline_accuracy": mean([completion.baseline_mean for completion in completions]),
        "adapter_mean_accuracy": mean(adapter),
        "adapter_std_over_completions": sample_std(adapter),
        "mean_adapter_std_within_completions": mean([c.adapter_std for c in completions]),
        "mean_gain": mean([completion.gain_mean for completion in completions]),
    }


def summarize_run(passages: Sequence[Sequence[CompletionSummary]]) -> dict[str, float]:
    """A run, unrounded: mean over passages, and their spread; "within" is over all self-edits."""
    articles = [summarize_article(completions) for completions in passages]
    baselines = [article["baseline_accuracy"] for article in articles]
    adapters = [article["adapter_mean_accuracy"] for article in articles]
    over_completions = [article["adapter_std_over_completions"] for article in articles]
    within = [completion.adapter_std for completions in passages for completion in completions]
    return {
        "baseline_mean_accuracy": mean(baselines),
        "baseline_std_of_article_means": sample_std(baselines),
        "adapter_mean_accuracy": mean(adapters),
        "adapter_std_of_article_means": sample_std(adapters),
        "mean_adapter_std_over_completions": mean(over_completions),
        "mean_adapter_std_within_completions": mean(within),
        "mean_gain": mean(adapters) - mean(baselines),
    }


def rounded(summary: Mapping[str, float]) -> dict[str, float]:
    """A summary as result files print it, to 4 decimals."""
    return {name: round(value, DECIMALS) for name, value in summary.items()}
