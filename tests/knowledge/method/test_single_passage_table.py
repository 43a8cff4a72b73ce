"""Rows of the single-passage table: paired differences, blanks, and the ungraded left out."""

import pytest

from knowledge.data.passages import Passage, Question
from knowledge.judging.judges import Grade
from knowledge.method.closed_book import Outcome, Trial
from knowledge.method.reward import inner_loop_trials
from knowledge.method.single_passage_table import (
    SINGLE_PASSAGE,
    blank_self_edits,
    format_rows,
    in_order,
    summarize_rows,
)
from knowledge.settings import RewardSettings
from seal.errors import UserError

QUESTIONS = (Question("q1", "a1"), Question("q2", "a2"))
PASSAGES = [Passage(f"p{i}", f"Title {i}", f"Context {i}.", QUESTIONS) for i in range(4)]


def outcomes(verdicts: list[tuple[bool | None, ...]], answers=("x", "y")) -> list[Outcome]:
    return [
        Outcome(
            Trial(f"{passage.id}/t/0", passage),
            tuple(answers),
            tuple(Grade(v, None if v is None else 0.9 if v else 0.2) for v in own),
        )
        for passage, own in zip(PASSAGES, verdicts, strict=True)
    ]


def rows_of(**of_labels: list[Outcome]) -> list[dict]:
    return summarize_rows(of_labels, SINGLE_PASSAGE, seed=0)


def test_numbers_of_a_row():
    verdicts = [(True, False), (True, True), (None, False), (None, None)]
    [row] = rows_of(one=outcomes(verdicts, ("", " ")))
    assert row["accuracy"]["mean"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert row["accuracy"]["n"] == 3
    assert row["calibrated_accuracy"]["mean"] == pytest.approx((0.55 + 0.9 + 0.2) / 3)
    assert row["n_ungraded"] == 3 and row["n_answers"] == 8 and row["blank_answer_rate"] == 1.0
    assert row["difference_to_row_above"] is None
    assert row["accuracy"]["lower"] <= row["accuracy"]["mean"] <= row["accuracy"]["upper"]


def test_difference_is_paired_over_common_passages():
    above = outcomes([(False, False), (True, False), (False, True), (None, None)])
    below = outcomes([(True, False), (True, True), (True, True), (True, True)])
    difference = rows_of(above=above, below=below)[1]["difference_to_row_above"]
    # Every common passage gained exactly a half, so the paired interval has no width
    assert difference["mean"] == difference["lower"] == difference["upper"] == 0.5
    assert difference["n"] == 3


def test_nothing_graded_has_no_accuracy():
    nothing = outcomes([(None, None)] * 4)
    row = rows_of(also=nothing, none=nothing)[1]
    assert row["accuracy"] is None and row["difference_to_row_above"] is None
    assert "| none |" in format_rows([row], SINGLE_PASSAGE, {})


def test_table_shows_percent_and_seconds():
    rows = rows_of(one=outcomes([(True, False)] * 4))
    table = format_rows(rows, SINGLE_PASSAGE, {"one": 1.234})
    assert "50.0 ± 0.0" in table and "1.23" in table


def test_passage_only_is_one_sequence():
    trials = inner_loop_trials(
        PASSAGES, blank_self_edits(PASSAGES), RewardSettings(repeats=2), seed=3
    )
    assert len(trials) == 8 and len({trial.seed for trial in trials}) == 8
    assert trials[0].texts == ("Title 0\nContext 0.",)


@pytest.mark.parametrize(
    ("first", "expected"),
    [([], "abcd"), (["c", "a"], "cabd"), (["d"], "dabc"), (["d", "c", "b", "a"], "dcba")],
)
def test_rows_come_in_the_order_that_is_asked_for(first, expected):
    assert in_order("abcd", first) == list(expected)


def test_an_order_of_rows_that_there_are_not_is_refused():
    with pytest.raises(UserError, match="--order x: no row has this label; there are a, b"):
        in_order(["a", "b"], ["b", "x"])
