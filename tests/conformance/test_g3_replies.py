"""Replies of judges and answerers are read as the release reads them, on every record of G3."""

from dataclasses import asdict

import pytest

from knowledge.judging.replies import parse_final_answer, parse_proxy_scores, read_verdict
from tests.conformance.golden import golden


@pytest.mark.parametrize(
    ("name", "parse"),
    [
        ("g3_yes_no", lambda reply: read_verdict(reply) is True),
        ("g3_final_answer", parse_final_answer),
        ("g3_proxy_scores", lambda reply: asdict(parse_proxy_scores(reply))),
    ],
)
def test_every_record(name, parse):
    records = golden(name)
    wrong = {
        record["id"]: (parse(record["input"]), record["expected"])
        for record in records
        if parse(record["input"]) != record["expected"]
    }
    assert records and wrong == {}
