"""Selection: what golden data cannot show, above all that the ungraded are never imitated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.method.selection import best_indices, select_best

TEXTS = ["a", " b \n", "c", " \t"]


def test_ties_keep_their_order_and_texts_are_trimmed():
    assert select_best(TEXTS, [0.5, 0.5, 0.1, 0.0]) == ["a"]
    assert select_best(TEXTS, [0.4, 0.5, 0.5, 0.0], k_best=3) == ["b", "c", "a"]


def test_the_last_bit_of_a_reward_decides():
    assert best_indices(["a", "b"], [0.3, 0.1 + 0.2]) == [1]


@pytest.mark.parametrize("other", [0.0, -1.0, None])
def test_an_ungraded_self_edit_is_never_selected(other):
    expected = [] if other is None else ["b"]
    assert select_best(["a", "b"], [None, other], k_best=2) == expected


def test_a_blank_winner_is_not_replaced():
    assert best_indices(TEXTS, [0.1, 0.2, 0.3, 0.9]) == []
    assert best_indices(TEXTS, [0.1, 0.2, 0.3, 0.9], k_best=2) == [2]


def test_no_completions():
    assert select_best([], []) == []


@pytest.mark.parametrize(
    ("completions", "rewards", "k_best"),
    [(["a"], [], 1), (["a"], [float("nan")], 1), (["a"], [1.0], 0), (["a"], [1.0], -1)],
)
def test_refused(completions, rewards, k_best):
    with pytest.raises(ValueError):
        best_indices(completions, rewards, k_best)


@given(st.lists(st.none() | st.floats(allow_nan=False), max_size=8), st.integers(1, 9))
def test_nothing_left_out_beats_what_was_selected(rewards, k_best):
    chosen = best_indices(["text"] * len(rewards), rewards, k_best)
    graded = [index for index, reward in enumerate(rewards) if reward is not None]
    assert len(chosen) == min(k_best, len(graded))
    left_out = set(graded) - set(chosen)
    for index in chosen:
        for other in left_out:
            assert (rewards[index], -index) > (rewards[other], -other)
