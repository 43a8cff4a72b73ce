"""Replies of models as data: what the golden records do not show."""

import pytest

from knowledge.judging.replies import (
    NO_ANSWER,
    is_bare_verdict,
    parse_final_answer,
    parse_proxy_scores,
    read_verdict,
)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("yes", True),
        ("**Yes**, it does.", True),
        ("No.", False),
        ("No, nothing of the kind", False),
        ("Yes and no", None),
        ("", None),
        ("yesterday, nobody", None),
        ("<think>", None),
    ],
)
def test_an_unclear_reply_is_no_verdict(reply, verdict):
    assert read_verdict(reply) is verdict


@pytest.mark.parametrize("bare", ["yes", "NO", " **Yes.**\n", "_no_", '"Yes"'])
def test_a_bare_word(bare):
    assert is_bare_verdict(bare)


@pytest.mark.parametrize(
    "text", ["", "...", "yes, it is", "no no", "nope", "<b>yes</b>", "y e s s"]
)
def test_more_than_a_bare_word(text):
    assert not is_bare_verdict(text)


def test_final_answer():
    assert parse_final_answer("So:\n\nFinal answer - in May\nor June ") == "in May\nor June"
    assert parse_final_answer("The final answer: May") == NO_ANSWER
    assert parse_final_answer("Final answer:") == ""
    assert parse_final_answer(None) == NO_ANSWER


def test_proxy_scores_of_absurd_length_are_clamped():
    scores = parse_proxy_scores(
        f"Length: {'9' * 10_000}\nQuality: 0{'0' * 10_000}3\nFinal Score: 7"
    )
    assert (scores.length, scores.quality, scores.diversity, scores.final) == (5, 3, 1, 7)
