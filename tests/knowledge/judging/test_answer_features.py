"""What an answer shows, one number at a time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.judging.answer_features import FEATURES, describe

QUESTION = "When does the grey moth fly?"


def shown(question: str, gold: str, answer: str) -> dict[str, float]:
    """The numbers that are not zero."""
    return {name: value for name, value in describe(question, gold, answer).items() if value}


text = st.text(min_size=1).filter(str.strip)


@given(text, text, text)
def test_any_text_can_be_described(question, gold, answer):
    described = describe(question, gold, answer)
    assert tuple(described) == FEATURES
    assert all(math.isfinite(value) and value >= 0 for value in described.values())
    parts = {name.split("_")[0] for name, value in described.items() if value}
    assert len(parts & {"none", "part", "full"}) <= 1


def test_a_perfect_answer():
    assert shown(QUESTION, "in May", "in May") == {
        "recall_squared": 1.0,
        "letters_found": 1.0,
        "full_unbroken": 1.0,
    }
    assert shown("When does the grey moth hatch?", "in May", "Moths hatch in May.") == {
        "recall_squared": 1.0,
        "letters_found": 1.0,
        "full_unbroken": 1.0,
        "full_about_question": 2 / 3,
        "full_position": 2 / 3,
    }


def test_an_answer_that_names_something_else():
    described = shown("Who keeps it?", "Anna Berg", "It is kept by Otto Kranz.")
    assert described["none"] == described["other_name_instead"] == 1.0
    assert described["longest_missing_word"] == 0.4
    assert "common_word_missing" not in described


@pytest.mark.parametrize(
    ("gold", "answer", "name", "value"),
    [
        ("the mountain ferry", "the ferry", "recall_squared", 0.25),
        ("a slow growth", "it grows", "common_word_missing", 1.0),
        ("Anna", "nobody", "common_word_missing", 0.0),
        ("Anna", "nobody", "other_name_instead", 0.0),
        ("Anna Berg", "Anna Kranz", "other_name_instead", 1.0),
        ("Anna Berg", "Anna Berg and Otto Kranz", "full_other_names", 1.0),
        ("Anna Berg", "Anna Berg and others", "full_other_names", 0.0),
        ("45 boats", "forty-six boats", "letters_found_but_other_number", 0.625),
        ("45 boats", "boats", "letters_found_but_other_number", 0.0),
        ("45 boats", "44 boats", "number_nearly_right", 1.0),
        ("45 boats", "12 boats", "number_nearly_right", 0.0),
        ("1945", "1944", "number_nearly_right", 0.0),
        ("45 boats", "45 or 50 boats", "full_other_numbers", 1.0),
        ("45 boats", "four or five boats", "part_number_missing", 1.0),
        ("45 big boats", "45 ferries", "part_number_found", 1.0),
        ("not in winter", "in winter", "part_gold_negates", 1.0),
        ("big winters", "in winter", "part_gold_negates", 0.0),
        ("May", "It is not in May.", "full_negated", 1.0),
        ("not in May", "It is not in May.", "full_negated", 0.0),
        ("May", "It is in May. It is not cold.", "full_negated", 0.0),
        ("May", "April, June, May", "full_position", 2 / 3),
        ("big slow boats", "slow boats, big", "full_unbroken", 2 / 3),
        ("May", "in May", "full_unrelated_words", 0.0),
        ("May", "April, May, June, July", "full_unrelated_words", 0.75),
        ("May", "July. Then comes May.", "full_unrelated_words", 2 / 3),
        ("HIV", "the human immunodeficiency virus", "acronym_spelled_out", 1.0),
        ("H.I.V.", "the human immunodeficiency virus", "acronym_spelled_out", 1.0),
        ("HIV", "HIV, the human immunodeficiency virus", "acronym_spelled_out", 0.0),
        ("HIV", "a virus", "acronym_spelled_out", 0.0),
        ("May", "idk", "declines", 1.0),
        ("May", "I don't know when.", "declines", 1.0),
        ("May", "They know.", "declines", 0.0),
        ("May", "The grey moth.", "none_and_only_echo", 1.0),
        ("May", "The grey moth in June.", "none_and_only_echo", 0.0),
    ],
)
def test_one_number(gold, answer, name, value):
    assert describe(QUESTION, gold, answer)[name] == pytest.approx(value)


def test_words_of_the_question_are_no_news():
    described = describe("Is it a moth or a bee?", "a moth", "a moth")
    assert described["nothing_new"] == described["full_unbroken"] == 1.0
    described = describe("Which moth?", "the grey moth", "the moth")
    assert described["none"] == 1.0


def test_a_further_question_is_no_part_of_the_answer():
    answer = "In June.\n\nQuestion: What is May?\nAnswer: a month"
    described = describe(QUESTION, "May", answer)
    assert described["none"] == described["none_and_runs_on"] == 1.0
    assert describe(QUESTION, "June", answer)["full_runs_on"] == 1.0
    assert describe(QUESTION, "May", "\nQ: is it in May?")["full_runs_on"] == 1.0


def test_numbers_of_list_items_are_no_numbers():
    assert describe("How many?", "two", "1. a moth\n2. a bee")["none"] == 1.0
    assert describe("How many?", "two", "2 of them")["none"] == 0.0


@pytest.mark.parametrize(
    ("gold", "right", "wrong"), [(" $", "the $ sign", "the sign"), ("The Who", "the who?", "us")]
)
def test_gold_answers_without_content_words(gold, right, wrong):
    assert describe("Which?", gold, right)["full_unbroken"] == 1.0
    assert describe("Which?", gold, wrong)["none"] == 1.0
