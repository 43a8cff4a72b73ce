"""Words in comparable form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.judging.word_forms import (
    Words,
    content_words,
    is_number,
    letter_overlap,
    longest_run,
    normalise,
    same_word,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Tiěmùzhēn, Çengiz-Han!", ["tiemuzhen", "cengiz", "han"]),
        ("ﬁne ＡＢＣ Straße", ["fine", "abc", "strasse"]),
        ("Newton’s law isn't the Doctors' law", ["newton", "law", "is", "not", "the", "doctors"]),
        ("$5 million, 5,000,000 and 5.0 Million", ["5000000", "5000000", "and", "5000000"]),
        ("67,890 or 1,5", ["67890", "or", "1", "5"]),
        ("twenty-one, Forty fifth, twenty", ["21", "45", "20"]),
        ("Two SECOND twice, one twenty", ["2", "2", "2", "1", "20"]),
        ("the 11th, the eleventh, Louis XI", ["the", "11", "the", "11", "louis", "11"]),
        ("1970s 36% 5V H2O", ["1970", "s", "36", "5", "v", "h", "2", "o"]),
        ("I, v and x", ["i", "v", "and", "x"]),
        ("$ ! _ \n", []),
    ],
)
def test_normalise(text, words):
    assert normalise(text)[: len(words)] == words
    assert bool(normalise(text)) == bool(words)


@given(st.text())
def test_normalised_words_stay_as_they_are(text):
    for word in normalise(text):
        assert word.isalnum() or is_number(word)
        if is_number(word):
            float(word)


@pytest.mark.parametrize(
    ("word", "other", "same"),
    [
        ("greek", "greece", True),
        ("journalism", "journalist", True),
        ("universities", "university", True),
        ("palestine", "palestinian", True),
        ("may", "mayor", False),
        ("inter", "international", False),
        ("north", "south", False),
        ("1960", "1961", False),
        ("1960", "1960", True),
        ("a", "a", True),
    ],
)
def test_same_word(word, other, same):
    assert same_word(word, other) is same
    assert same_word(other, word) is same
    assert (word in Words([other])) is same


def test_words_keep_their_order_and_forget_repetitions():
    words = Words(["b", "a", "b"])
    assert (list(words), len(words), "c" in words) == (["b", "a"], 2, False)
    assert words.share_of(["a", "c", "a", "b"]) == 0.75
    assert words.share_of([]) == 0.0
    assert "a" not in Words([])


def test_content_words():
    assert content_words(normalise("What is the name of his ferry?")) == ["name", "ferry"]


@pytest.mark.parametrize(
    ("words", "text", "longest"),
    [
        ("a b c", "x a b c y", 3),
        ("a b c", "a b x b c", 2),
        ("a b c", "c b a", 1),
        ("a a b", "a a a b", 3),
        ("greek poets", "the greece poetry", 2),
        ("a", "", 0),
        ("", "a", 0),
    ],
)
def test_longest_run(words, text, longest):
    assert longest_run(words.split(), text.split()) == longest


def test_letter_overlap():
    assert letter_overlap(["moth"], ["moth"], []) == 1.0
    # " mo" "mot" "oth" are there, "th " is not
    assert letter_overlap(["moth"], ["mothers"], []) == 0.75
    assert letter_overlap(["moth"], ["ferry"], []) == 0.0
    assert letter_overlap(["moth"], [], []) == 0.0
    assert letter_overlap([], ["moth"], []) in (0.0, 1.0)


def test_letters_of_the_question_do_not_count():
    assert letter_overlap(["big", "moth"], ["big"], ["big"]) < 0.2
    assert letter_overlap(["big"], ["big"], ["big"]) == 1.0, "unless there are no others"
