"""Training texts agree with the release on every record of G1."""

import hashlib

from knowledge.method.training_texts import training_texts
from tests.conformance.golden import canonical_json, golden


def texts_of(record: dict) -> list[str]:
    return training_texts(
        record["title"],
        record["context"],
        record["completion"],
        split_newlines=record["split_newlines"],
        add_context=record["add_context"],
    )


def test_every_record():
    records = golden("g1_train_sequences")
    assert [r["id"] for r in records if texts_of(r) != r["expected"]] == []


def test_v1_differs_where_the_records_say_so():
    """`v1_same` false: version 1 gave other texts than version 2, and so than ours."""
    records = [r for r in golden("g1_train_sequences") if r["v1_same"] is False]
    digests = {
        r["id"]: hashlib.sha256(canonical_json(texts_of(r)).encode()).hexdigest() for r in records
    }
    assert [r["id"] for r in records if digests[r["id"]] == r["v1_expected_sha256"]] == []
