"""Training texts step by step, and the tokens they become."""

import pytest

from knowledge.method.training_texts import MAX_PIECES, training_sequences, training_texts
from tests.support.small_models import small_tokenizer


def pieces(completion: str, **flags) -> list[str]:
    """The texts of a completion without title and passage."""
    texts = training_texts("T", "C", completion, add_context=False, **flags)
    assert all(text.startswith("T\n") for text in texts)
    return [text.removeprefix("T\n") for text in texts]


def whole(completion: str) -> list[str]:
    return pieces(completion, split_newlines=False)


def test_title_heads_every_text_and_the_passage_is_last():
    assert training_texts(" A_b ", " The passage. \n", "1. one\n2. two") == [
        " A_b \n1. one",
        " A_b \n2. two",
        " A_b \nThe passage.",
    ]


def test_reasoning_is_cut_off_at_the_first_line_that_opens_the_list():
    assert whole("think\nImplications:\n\n one\nImplications:\ntwo") == ["one\nImplications:\ntwo"]
    assert whole("Implications:\none") == ["Implications:\none"]
    assert whole("think\n Implications:\none") == ["think\n Implications:\none"]
    assert whole("think\nImplications:") == []


def test_dashes_separate_and_longer_runs_leave_a_rest():
    assert whole(" a \n---\n b --- c") == ["a", "b", "c"]
    assert whole("a ---- b") == ["a", "- b"]
    assert whole("a -- b") == ["a -- b"]
    assert whole(" --- \n---") == ["--- \n---"]


def test_lines():
    assert pieces(" a \n\n\tb\x0bc\u2028d\r\ne ") == ["a", "b", "c", "d", "e"]
    assert pieces("a\nb\n---\nc") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("Here you go:\n1. a\n2. b", ["1. a", "2. b"]),
        ("Here you go:\n---\n1. a", ["1. a"]),
        ("Here you go:\nReally:\n1. a", ["Here you go:", "Really:", "1. a"]),
        ("1. a\n1. b\n1. c", ["1. b", "1. c"]),
        ("a\n1.5 million", ["1.5 million"]),
        ("a\n10. b", ["a", "10. b"]),
        ("only", ["only"]),
        ("1. only", ["1. only"]),
    ],
)
def test_a_heading_above_a_numbered_list_is_dropped_once(completion, expected):
    assert pieces(completion) == expected


def test_questions_stay_with_their_answers():
    text = "Question 1: a?\nAnswer: b\n\nQuestion 2: c?\nAnswer 2 : d\n---\ne"
    assert pieces(text) == ["Question 1: a?\nAnswer: b\n", text[text.index("Question 2") :]]
    assert whole(text) == [text[: text.index("\n---")], "e"]


def test_a_completion_that_begins_within_the_first_question_gets_its_label():
    assert pieces(" a?\nAnswer: b\nQuestion 2: c?") == [
        "Question 1: a?\nAnswer: b",
        "Question 2: c?",
    ]
    assert pieces("Questions:\nQuestion 1: a?\nAnswer: b")[0] == "Questions:"


@pytest.mark.parametrize("text", ["Question 1: a?", "question 1: a?\nAnswer: b", "Answer: b"])
def test_no_question_list_without_both_labels(text):
    assert pieces(text) == text.splitlines()


def test_the_limit_counts_pieces_before_the_passage():
    texts = training_texts("T", "C", "\n".join(map(str, range(40))))
    assert len(texts) == MAX_PIECES + 1
    assert texts[-2:] == ["T\n29", "T\nC"]


@pytest.mark.parametrize("completion", ["", " \n\t", "\nImplications: "])
@pytest.mark.parametrize("split_newlines", [True, False])
def test_a_blank_self_edit_leaves_the_passage_alone(completion, split_newlines):
    assert training_texts("T", "C", completion, split_newlines=split_newlines) == ["T\nC"]


TOKENIZER = small_tokenizer(["a town on a river", "people of the town"])


def test_a_text_is_followed_by_one_end_of_text_token():
    texts = ["T\na town", "T\npeople"]
    sequences = training_sequences(texts, TOKENIZER)
    for text, (input_ids, labels) in zip(texts, sequences, strict=True):
        assert input_ids == [*TOKENIZER(text)["input_ids"], TOKENIZER.eos_token_id]
        assert labels == input_ids
        assert labels is not input_ids


def test_an_end_that_the_tokenizer_adds_is_not_doubled():
    def adding(text):
        return {"input_ids": [*TOKENIZER(text)["input_ids"], TOKENIZER.eos_token_id]}

    adding.eos_token_id = TOKENIZER.eos_token_id
    assert training_sequences(["a town"], adding) == training_sequences(["a town"], TOKENIZER)


@pytest.mark.parametrize("spare", [-1, 0, 1, 2])
def test_truncation_loses_the_end_of_text_first(spare):
    tokens = TOKENIZER("a town on a river")["input_ids"]
    max_length = len(tokens) + spare
    [(input_ids, labels)] = training_sequences(["a town on a river"], TOKENIZER, max_length)
    assert input_ids == labels == [*tokens, TOKENIZER.eos_token_id][:max_length]


def test_an_empty_text_is_the_end_alone():
    assert training_sequences([""], TOKENIZER) == [([TOKENIZER.eos_token_id],) * 2]
    assert training_sequences([], TOKENIZER) == []


def test_the_release_has_padding_in_place_of_the_end():
    [(input_ids, labels)] = training_sequences(["a town"], TOKENIZER, end_of_text=False)
    assert input_ids == labels == TOKENIZER("a town")["input_ids"]
