"""Summaries on cases small enough for pencil and paper."""

from dataclasses import asdict

import pytest

from knowledge.method.round_statistics import (
    Repetition,
    accuracy,
    rounded,
    summarize_article,
    summarize_completion,
    summarize_run,
)

YES, NO = True, False


def completion(*adapter: list[bool], baseline: list[bool] | None = None):
    repetitions = [Repetition(baseline or [NO] * len(verdicts), verdicts) for verdicts in adapter]
    return summarize_completion(repetitions)


def test_accuracy_is_rounded_before_it_is_averaged():
    assert accuracy([YES, NO, NO]) == 0.3333
    assert completion([YES, NO, NO], [YES, YES, NO]).adapter_mean == 0.5
    assert completion([YES, YES, NO]).adapter_mean == 0.6667


def test_gain_is_taken_before_rounding():
    summary = completion([YES, YES, NO], baseline=[YES, NO, NO])
    assert summary.gain_mean == 0.3333  # 0.6667 - 0.3333 would be 0.3334
    article = summarize_article([summary])
    assert article["mean_gain"] == 0.3333
    assert rounded(summarize_run([[summary]]))["mean_gain"] == 0.3334  # the release's overall rule


def test_completion_over_repetitions():
    summary = completion([YES, YES], [YES, NO], [NO, NO], baseline=[YES, NO])
    assert asdict(summary) == {
        "baseline_mean": 0.5,
        "baseline_std": 0.0,
        "adapter_mean": 0.5,
        "adapter_std": 0.5,
        "gain_mean": 0.0,
    }


def test_one_repetition_has_no_spread():
    assert completion([YES, NO]).adapter_std == 0.0


def test_run_is_averaged_over_passages_and_within_over_self_edits():
    first = [completion([YES, YES], [NO, NO])]  # mean .5, std .7071
    second = [completion([YES, YES], [YES, YES]), completion([NO, NO], [NO, NO])]  # 1 and 0
    third = [completion([YES, NO], [YES, NO])]
    run = rounded(summarize_run([first, second, third]))
    assert run == {
        "baseline_mean_accuracy": 0.0,
        "baseline_std_of_article_means": 0.0,
        "adapter_mean_accuracy": 0.5,
        "adapter_std_of_article_means": 0.0,
        "mean_adapter_std_over_completions": round(0.5**0.5 / 3, 4),
        "mean_adapter_std_within_completions": round(0.5**0.5 / 4, 4),
        "mean_gain": 0.5,
    }


def test_passages_weigh_the_same_whatever_their_number_of_questions():
    run = summarize_run([[completion([YES])], [completion([NO] * 9)]])
    assert run["adapter_mean_accuracy"] == 0.5


def test_refused():
    with pytest.raises(ValueError):
        accuracy([])
    for summarize in (summarize_completion, summarize_article, summarize_run):
        with pytest.raises(ValueError):
            summarize([])
    with pytest.raises(TypeError):  # an ungraded verdict must never count as a wrong one
        accuracy([YES, None])
