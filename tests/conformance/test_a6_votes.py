"""Votes end as in the release, on every record of A6.

Many of its votes depend on the order of a Python set. The records list what came out under 400
random orders; a rare outcome can be missing there, so single second attempts may be unlisted.
"""

from arc.puzzles.views import Prediction, vote
from tests.conformance.golden import golden

LISTED = 0.97


def as_tuples(grid):
    return tuple(map(tuple, grid))


def pair(attempts):
    return tuple(map(as_tuples, attempts))


def votes():
    """Every record of A6 with our attempts."""
    for record in golden("a6_voting"):
        predictions = [
            Prediction(as_tuples(p["output"]), p["inverter"]) for p in record["predictions"]
        ]
        yield record, vote(predictions)


def test_votes_that_depend_on_no_order():
    stable = [(record, ours) for record, ours in votes() if record["expected"] is not None]
    wrong = [record["id"] for record, ours in stable if ours != pair(record["expected"])]
    assert stable and wrong == []


def test_first_attempts_that_depend_on_no_order():
    stable = [(r, ours) for r, ours in votes() if r.get("expected_first") is not None]
    wrong = [r["id"] for r, ours in stable if ours[0] != as_tuples(r["expected_first"])]
    assert stable and wrong == []


def test_other_votes_end_as_they_may():
    listed = [
        (record["id"], ours, set(map(pair, record["acceptable_results"])))
        for record, ours in votes()
        if record["acceptable_results"] is not None
    ]
    other_first = [
        name for name, ours, results in listed if ours[0] not in {first for first, _ in results}
    ]
    unlisted = [name for name, ours, results in listed if ours not in results]
    assert listed and other_first == []
    assert len(unlisted) <= (1 - LISTED) * len(listed), unlisted
