"""The few-shot table: pass@k, intervals over tasks, and what a reader sees."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc.method.configurations import Rejection
from arc.method.few_shot_table import (
    Arm,
    format_table,
    format_task_table,
    in_context_arm,
    pass_at_k,
    solved_tasks,
    summarize_arm,
    trained_arm,
)
from arc.method.prediction import Outcome
from arc.method.reward import Reward
from seal.report.intervals import clustered_bootstrap, paired_difference
from tests.arc.policies import FERRY, MOTH

BEFORE = Arm("self-edits", {"moth-0": [0, 0, 1, 0], "ferry-0": [0, 0, 0, 0]}, rejected=3)
AFTER = Arm(
    "seal",
    {"moth-0": [1, 1, 1, 0], "ferry-0": [1, 0, 0, 0]},
    rejected=1,
    in_context={"moth-0": [0.0], "ferry-0": [1.0]},
)


def reward(task: str, number: int, value: float, rejected: str | None = None) -> Reward:
    # The table reports success, whatever the reward
    return Reward(f"{task}/{number}", task, bool(value), 0.5, None, rejected)


def outcome(task, correct: bool, rejection: Rejection | None = None) -> Outcome:
    return Outcome(task.id, task, (task.target,) if correct else (), rejection, 8, 8)


# pass@k


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_success(successes, data):
    k = data.draw(st.integers(1, len(successes)))
    draws = [any(draw) for draw in combinations(successes, k)]
    assert pass_at_k([float(success) for success in successes], k) == pytest.approx(
        sum(draws) / len(draws), abs=1e-12
    )


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_pass_at_k_grows_from_the_mean_to_whether_any_succeeds(successes):
    values = [pass_at_k(successes, k) for k in range(1, len(successes) + 1)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(sum(successes) / len(successes))
    assert values[-1] == float(any(successes))


# Arms


def test_arms_hold_successes_by_task():
    bare = [outcome(MOTH, False), outcome(FERRY, True)]
    assert in_context_arm("in-context", bare) == Arm(
        "in-context", {"moth-0": [0.0], "ferry-0": [1.0]}
    )
    rewards = [
        reward("moth-0", 0, 1.0),
        reward("ferry-0", 0, 0.0, "not JSON"),
        reward("moth-0", 1, 0.0, "more than 375 steps"),
        reward("ferry-0", 1, 1.0, "more than 375 steps"),  # as the release rewards dummies
    ]
    assert trained_arm("self-edits", rewards, bare) == Arm(
        "self-edits",
        {"moth-0": [1.0, 0.0], "ferry-0": [0.0, 1.0]},
        rejected=3,
        in_context={"moth-0": [0.0], "ferry-0": [1.0]},
    )


def test_solved_tasks_are_those_with_a_success():
    assert solved_tasks(AFTER) == ["ferry-0", "moth-0"]
    assert solved_tasks(BEFORE) == ["moth-0"]
    assert solved_tasks(Arm("none", {"moth-0": [0.0]})) == []


# Numbers


def test_numbers_of_a_row():
    row = summarize_arm(AFTER, BEFORE, seed=5)
    assert row["success_rate"]["mean"] == 0.5
    assert row["success_rate"]["n"] == 2  # tasks, not trials
    assert row["difference_to_row_above"]["mean"] == 0.375
    assert [row["pass_at_k"][str(k)]["mean"] for k in (1, 2, 3, 4)] == [0.5, 0.75, 0.875, 1.0]
    assert list(row["pass_at_k"]) == ["1", "2", "3", "4"]
    assert row["in_context_success_rate"]["mean"] == 0.5
    assert (row["label"], row["n_trials"], row["n_rejected"]) == ("seal", 8, 1)
    assert row["successes_by_task"] == {"moth-0": 3, "ferry-0": 1}


def test_intervals_resample_tasks():
    row = summarize_arm(AFTER, BEFORE, seed=5)
    expected = clustered_bootstrap(AFTER.successes, 5)
    # Draws of two tasks of success 3/4 and 1/4: no mean is beyond these two
    assert (row["success_rate"]["lower"], row["success_rate"]["upper"]) == (0.25, 0.75)
    assert row["success_rate"] == vars(expected)
    assert row["difference_to_row_above"] == vars(
        paired_difference(AFTER.successes, BEFORE.successes, 5)
    )
    assert (row["difference_to_row_above"]["lower"], row["difference_to_row_above"]["upper"]) == (
        0.25,
        0.5,
    )


def test_the_first_row_has_nothing_above_it_and_an_arm_without_update_nothing_before():
    row = summarize_arm(BEFORE, None, seed=0)
    assert row["difference_to_row_above"] is None and row["in_context_success_rate"] is None


def test_the_difference_to_a_row_of_other_tasks_is_a_mistake():
    with pytest.raises(ValueError, match="bee-0"):
        summarize_arm(AFTER, Arm("x", BEFORE.successes | {"bee-0": [1.0]}), seed=0)


def test_pass_at_k_goes_as_far_as_every_task_has_trials():
    uneven = Arm("x", {"moth-0": [1.0, 0.0, 0.0], "ferry-0": [0.0, 1.0]})
    assert list(summarize_arm(uneven, None, seed=0)["pass_at_k"]) == ["1", "2"]


# What a reader sees


def test_the_table_that_is_printed():
    arms = [in_context_arm("in-context", [outcome(MOTH, False), outcome(FERRY, True)]), BEFORE]
    arms.append(AFTER)
    rows = [
        summarize_arm(arm, above, 0) for arm, above in zip(arms, [None, *arms[:-1]], strict=True)
    ]
    assert format_table(rows, {"seal": 1.236}).splitlines() == [
        "|            |     success | to row above |            pass@k |  in context |"
        " invalid | s/adapter |",
        "| :--------- | ----------: | -----------: | ----------------: | ----------: |"
        " ------: | --------: |",
        "| in-context | 50.0 ± 50.0 |            - | 50.0 ± 50.0 (k=1) |           - |"
        "     0/2 |         - |",
        "| self-edits | 12.5 ± 12.5 | -37.5 ± 62.5 | 50.0 ± 50.0 (k=4) |           - |"
        "     3/8 |         - |",
        "| seal       | 50.0 ± 25.0 | +37.5 ± 12.5 | 100.0 ± 0.0 (k=4) | 50.0 ± 50.0 |"
        "     1/8 |      1.24 |",
    ]


def test_the_largest_k_is_shown_where_there_are_ten_and_more():
    many = Arm("x", {"moth-0": [0.0] * 11 + [1.0], "ferry-0": [0.0] * 12})
    table = format_table([summarize_arm(many, None, 0)], {})
    assert "50.0 ± 50.0 (k=12)" in table


def test_the_table_by_task():
    assert format_task_table([BEFORE, AFTER]).splitlines() == [
        "| task    | self-edits | seal |",
        "| :------ | ---------: | ---: |",
        "| ferry-0 |        0/4 |  1/4 |",
        "| moth-0  |        1/4 |  3/4 |",
    ]
