"""Self-edits are taken, refused and trained on as in the release, on every record of A7."""

from math import isfinite

from arc.method.configurations import (
    Acceptance,
    Configuration,
    Rejection,
    check_steps,
    parse_self_edit,
)
from arc.puzzles.augmenters import augmenters_for
from tests.conformance.golden import golden

KINDS = {
    "rejected, sampled again": "unparsed",
    "crash": "invalid",
    "no adapter (empty training set)": "invalid",
    "dummy adapter (0 epochs)": "dummy",
}
"""What the release did, and what a self-edit is here that it did this to."""


def judged(record) -> Configuration | Rejection:
    parsed = parse_self_edit(record["response"])
    if isinstance(parsed, Rejection):
        return parsed
    return check_steps(parsed, record["n_training_items"]) or parsed


def is_trainable(record):
    """Whether the arguments that the release handed to its trainer can train anything."""
    rate, epochs = record["learning_rate"], record["num_train_epochs"]
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    return is_number and isfinite(rate) and rate > 0 and epochs > 0


def test_trained_self_edits_give_the_same_arguments():
    trained = [r for r in golden("a7_config_rules") if r["outcome"] == "trained"]
    compared = 0
    for record in filter(is_trainable, trained):
        ours = judged(record)
        assert isinstance(ours, Configuration), (record["id"], ours)
        assert ours.epochs == record["num_train_epochs"], record["id"]
        assert ours.learning_rate == record["learning_rate"], record["id"]
        assert ours.loss_on_all_tokens == record["loss_on_all_tokens"], record["id"]
        augmenters = [str(augmenter) for augmenter in augmenters_for(ours.augmentations)]
        assert augmenters == record["augmenters"], record["id"]
        compared += 1
    assert compared


def test_what_cannot_train_is_rejected_though_the_release_tried():
    trained = [r for r in golden("a7_config_rules") if r["outcome"] == "trained"]
    for record in trained:
        if not is_trainable(record):
            ours = judged(record)
            assert isinstance(ours, Rejection) and ours.kind != "unparsed", record["id"]


def test_what_was_not_trained_is_rejected():
    records = [r for r in golden("a7_config_rules") if r["outcome"] != "trained"]
    found = {record["id"]: judged(record) for record in records}
    assert (
        records
        and {name for name, ours in found.items() if isinstance(ours, Configuration)} == set()
    )
    for record in records:
        # Of several faults it is the order of the checks that decides which one is named
        if record["note"] != "several problems":
            assert found[record["id"]].kind == KINDS[record["outcome"]], record["id"]


def test_repeated_self_edits_are_passed_over():
    records = golden("a7_duplicates")
    for record in records:
        acceptance = Acceptance(record["k"], record["skip_repeated_configs"])
        for response in record["responses"]:
            acceptance.offer(response)
        if record["exception"] is None:
            assert acceptance.accepted == record["accepted"], record["id"]
    assert records
