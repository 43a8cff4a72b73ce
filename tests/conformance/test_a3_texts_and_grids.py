"""Texts of tasks, and grids read from answers, agree with the release on every record of A3."""

import re

from arc.puzzles.grids import COLORS, MAX_SIZE, Grid, as_grid
from arc.puzzles.rendering import (
    answer_text,
    decode_grid,
    demonstrations_text,
    examples_text,
    query_text,
)
from arc.puzzles.tasks import Pair, Task
from tests.conformance.arc_records import tasks
from tests.conformance.golden import golden


def task_of(record: dict) -> Task:
    """The record's own task, else that of the data with its id."""
    if "task_json" not in record:
        return tasks()[record["id"]]
    *demonstrations, test = [
        Pair(as_grid(pair["input"]), as_grid(pair["output"]))
        for pair in record["task_json"]["train"] + record["task_json"]["test"]
    ]
    return Task(record["id"], tuple(demonstrations), *test)


def test_messages():
    """The demonstrations in the system's message, the user's and the assistant's, whole."""
    records = golden("a3_messages")
    wrong = []
    for record in records:
        task = task_of(record)
        system, user = (message["content"] for message in record["messages"])
        demonstrations = system[system.index("[[") :]
        texts = (demonstrations_text(task.demonstrations), query_text(task.test_input))
        if (*texts, answer_text(task.target)) != (
            demonstrations,
            user,
            record["answer_message"]["content"],
        ):
            wrong.append(record["id"])
    assert records and wrong == []


def test_examples_of_the_self_edit_prompt():
    records = golden("a3_self_edit_prompt")
    wrong = [
        record["id"]
        for record in records
        if examples_text(task_of(record).demonstrations) != record["examples_block"]
    ]
    assert records and wrong == []


def test_answers_are_read_as_the_release_reads_them():
    records = golden("a3_decode")
    wrong = [
        record["id"]
        for record in records
        if decode_grid(record["model_output"], release_bugs=True) != expected_of(record)
    ]
    assert records and wrong == []


def test_by_default_we_differ_only_in_what_we_refuse():
    for record in golden("a3_decode"):
        grid, expected = decode_grid(record["model_output"]), expected_of(record)
        if grid != expected:
            assert grid is None and refusals(record), record["id"]


def test_what_we_refuse_is_no_prediction():
    for record in golden("a3_decode"):
        if refusals(record):
            assert decode_grid(record["model_output"]) is None, record["id"]


def expected_of(record: dict) -> Grid | None:
    return None if record["expected"] is None else tuple(map(tuple, record["expected"]))


def refusals(record: dict) -> list[str]:
    """Why an answer that is a grid to the release is none to us; told from the record alone."""
    expected = expected_of(record)
    if expected is None:
        return []
    reasons = {
        "no cells": not any(expected),
        "more than 30 rows or columns": max(len(expected), len(expected[0])) > MAX_SIZE,
        "numbers beyond the colours": any(
            not 0 <= number < COLORS for number in numbers(record["model_output"])
        ),
        "rows of unequal length, cut anew": unequal_rows(record["model_output"], expected),
    }
    return [reason for reason, holds in reasons.items() if holds]


def numbers(answer: str) -> list[int]:
    """The numbers of an answer that the release reads; brackets do not part them."""
    return [int(token) for token in re.findall(r"[-+\w]+", bare(answer))]


def unequal_rows(answer: str, expected: Grid) -> bool:
    rows = [len(line.split()) for line in bare(answer).strip().split("\n")]
    return rows != [len(row) for row in expected]


def bare(answer: str) -> str:
    """An answer without the signs that do not count, and without what surrounds a fence."""
    fenced = re.fullmatch(r".*?```(.*?)(```.*)?", answer, re.DOTALL)
    return re.sub(r"[\[\]#]", "", fenced[1] if fenced else answer)
