"""The blank-answer rates that docs/differences.md quotes, counted again in the release's files."""

import pytest

from seal.records import read_json
from tests.support.data import shared_data

FOLDER = "seal-release/general-knowledge/results/query_server/eval"


@pytest.mark.parametrize(("file", "percent"), [("base", 16.6), ("iter1", 15.0), ("iter2", 10.1)])
def test_blank_answers_of_the_release(file, percent):
    questions = [
        question
        for article in read_json(shared_data(f"{FOLDER}/{file}.json"))["articles"]
        for completion in article["completions"]
        for question in completion["questions"]
    ]
    blank = sum(not question["adapter_answer"].strip() for question in questions)
    assert round(100 * blank / len(questions), 1) == percent
    assert not any(not question["baseline_answer"].strip() for question in questions)
