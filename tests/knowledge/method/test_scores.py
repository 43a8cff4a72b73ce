"""Scores of judged answers: golden arithmetic, clusters, intervals and paired differences."""

import random
from dataclasses import replace

import numpy as np
import pytest

from knowledge.method.scores import JudgedAnswer, Scores, score_answers


def answered(passage: str, correct: bool | None, trial: str = "", **changes) -> JudgedAnswer:
    answer = JudgedAnswer(passage, "T", "q", "g", "a", correct, trial or passage)
    return replace(answer, **changes)


def test_means_over_passages_and_over_questions():
    answers = [answered("a", True), *[answered("b", x) for x in (False, False, True)]]
    over_passages = score_answers(answers, "passages", "j")
    over_questions = score_answers(answers, "questions", "j")
    assert over_passages.mean == pytest.approx((1 + 0.3333) / 2)  # G4 rounds each accuracy
    assert over_questions.mean == 0.5
    assert (over_questions.n_passages, over_questions.n_questions) == (2, 4)


def test_ungraded_answers_are_in_no_mean():
    scores = score_answers(
        [answered("a", True), answered("a", None), answered("b", None)], "passages", "j"
    )
    assert (scores.mean, scores.n_passages) == (1.0, 1)


def test_repeated_trials_count_each_question_once():
    answers = [answered("a", x, trial) for trial in ("0", "1") for x in (True, False)]
    assert score_answers(answers, "passages", "j").n_questions == 2


def test_blank_answers():
    answers = [answered("a", True), answered("a", False, answer=" \n")]
    assert score_answers(answers, "passages", "j").blank_rate == 0.5
    assert Scores("j", "passages", {"a": [1.0]}, 1).blank_rate is None


@pytest.mark.parametrize("mean_over", ["passages", "questions"])
def test_intervals_are_those_of_resampled_passages(mean_over):
    chance = random.Random(1)
    answers = [
        answered(str(p), chance.random() < 0.2 + 0.6 * (p % 2))
        for p in range(40)
        for _ in range(1 + p % 5)
    ]
    scores = score_answers(answers, mean_over, "j")
    groups = list(scores.clusters.values())
    generator = np.random.default_rng(5)
    resampled = []
    for _ in range(4000):
        drawn = [groups[i] for i in generator.integers(len(groups), size=len(groups))]
        values = [np.mean(g) for g in drawn] if mean_over == "passages" else np.concatenate(drawn)
        resampled.append(np.mean(values))
    found = scores.estimate()
    assert found.mean == pytest.approx(scores.mean)
    assert [found.lower, found.upper] == pytest.approx(
        np.quantile(resampled, [0.025, 0.975]), abs=0.015
    )


def test_differences_are_paired_over_common_passages():
    ours = Scores("j", "passages", {"a": [1.0], "b": [0.5], "c": [0.0]}, 3)
    theirs = Scores("j", "passages", {"a": [0.5], "b": [0.0], "d": [1.0]}, 3)
    change = ours.minus(theirs)
    assert (change.mean, change.n, change.lower) == (0.5, 2, 0.5)
    assert ours.minus(Scores("j", "passages", {"z": [1.0]}, 1)) is None
    assert ours.minus(Scores("j", "passages", {}, None, stated=0.5)) is None
    assert ours.minus(replace(theirs, n_passages=None)) is None


def test_accuracies_may_stay_unrounded():
    answers = [answered("a", x) for x in (True, False, False)]
    assert score_answers(answers, "passages", "j").mean == 0.3333
    assert score_answers(answers, "passages", "j", exact=True).mean == 1 / 3
