"""Does this project's arithmetic give the release's own files? Selection (G2), statistics (G4)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from knowledge.method.round_statistics import (
    CompletionSummary,
    Repetition,
    rounded,
    summarize_completion,
    summarize_run,
)
from knowledge.method.selection import select_best
from knowledge.release.records import Examinations, RatedSelfEdit, ReleasedRow, SftFile
from knowledge.release.row_of_file import is_ranking
from knowledge.release.scan import Release


@dataclass(frozen=True)
class SelectionCheck:
    """Whether a released finetuning file is the best-of-k selection from released rewards."""

    sft_file: Path
    rewards_file: Path | None
    """None if no file here has rewards of all its self-edits."""
    n_rows: int
    n_equal: int
    """Rows with the same prompt and completion at the same place."""


@dataclass(frozen=True)
class StatisticsCheck:
    """The overall numbers that a file states otherwise than its records give."""

    file: Path
    differing: dict[str, tuple[float, float]]
    """Name to what is stated and what is computed."""


def selected_rows(file: Examinations, k_best: int = 1) -> list[ReleasedRow]:
    """The M-step's rows: the prompt of each passage with its best self-edits."""
    return [
        ReleasedRow(prompt=article.prompt, completion=text)
        for article in file.articles
        for text in select_best(
            [self_edit.text for self_edit in article.self_edits],
            [self_edit.reward for self_edit in article.self_edits],
            k_best,
        )
    ]


def check_selection(release: Release) -> list[SelectionCheck]:
    """Every finetuning file against the rewards of the self-edits that it was selected from.

    These are the first of the rankings that offer its rows and reproduce most of them.
    """
    rankings = [file for file in release.of(Examinations) if is_ranking(file)]
    return [_check_sft_file(file, rankings) for file in release.of(SftFile)]


def _check_sft_file(file: SftFile, rankings: Sequence[Examinations]) -> SelectionCheck:
    k_best = max(Counter(row.prompt for row in file.rows).values())
    # A round's self-edits may have been rated twice, by inner loops and by proxy scores
    by_proxy = "proxy" in file.path.name
    checks = []
    for ranking in rankings:
        offered = {(a.prompt, s.text.strip()) for a in ranking.articles for s in a.self_edits}
        complete = offered.issuperset((row.prompt, row.completion) for row in file.rows)
        if complete and ("mean_proxy_score" in ranking.overall) == by_proxy:
            rows = selected_rows(ranking, k_best)
            n_equal = sum(ours == theirs for ours, theirs in zip(rows, file.rows, strict=False))
            n_rows = max(len(rows), len(file.rows))
            checks.append(SelectionCheck(file.path, ranking.path, n_rows, n_equal))
    none = SelectionCheck(file.path, None, len(file.rows), 0)
    return max(checks, key=lambda check: check.n_equal, default=none)


def check_statistics(release: Release) -> list[StatisticsCheck]:
    """The overall numbers of every examination file again, from its records or self-edits."""
    checks = []
    for file in release.of(Examinations):
        completions = [[_summary(s) for s in article.self_edits] for article in file.articles]
        if any(None in of_article or not of_article for of_article in completions):
            continue
        computed = rounded(summarize_run(completions)) if completions else {}
        differing = {
            name: (file.overall[name], value)
            for name, value in computed.items()
            if file.overall.get(name) not in (None, value)
        }
        checks.append(StatisticsCheck(file.path, differing))
    return checks


def _summary(self_edit: RatedSelfEdit) -> CompletionSummary | None:
    """From the records of a self-edit; without records, as the file states it."""
    before, after = self_edit.verdicts("before"), self_edit.verdicts("after")
    if before:
        return summarize_completion(list(map(Repetition, before, after)))
    names = ("baseline_mean", "adapter_mean", "adapter_std", "gain_mean")
    stated = [self_edit.stats.get(name) for name in names]
    if None in stated:
        return None
    baseline, adapter, spread, gain = (float(value or 0) for value in stated)
    return CompletionSummary(baseline, 0.0, adapter, spread, gain)
