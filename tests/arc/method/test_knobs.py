"""Knobs: shares over valid self-edits, in an order that a reader expects."""

from dataclasses import replace

from arc.method.configurations import Configuration, Rejection, to_json
from arc.method.knobs import choices, format_knobs, knob_shares, read_knobs
from arc.puzzles.augmenters import Augmentations
from seal.run import Run

PLAIN = Configuration(Augmentations(False, False, True, False), False, 1e-2, 2)
OTHER = Configuration(Augmentations(True, False, True, False), True, 1e-5, 10)
BAD = Rejection("not JSON", "unparsed")


def test_choices_of_a_self_edit():
    assert choices(PLAIN) == {
        "basic": "off",
        "size": "off",
        "chain": "on",
        "repeat": "off",
        "strategy": "output tokens",
        "learning_rate": "0.01",
        "epochs": "2",
    }
    assert choices(OTHER)["strategy"] == "all tokens"


def test_equal_numbers_are_one_choice():
    shares = knob_shares([PLAIN, replace(PLAIN, epochs=2.0)])
    assert shares["epochs"] == {"2": 1.0}


def test_shares_are_of_valid_self_edits():
    shares = knob_shares([PLAIN, BAD, OTHER, PLAIN, PLAIN])
    assert shares["basic"] == {"off": 0.75, "on": 0.25}
    assert shares["chain"] == {"on": 1.0}
    assert shares["strategy"] == {"all tokens": 0.25, "output tokens": 0.75}
    assert knob_shares([BAD]) == knob_shares([]) == {}


def test_numbers_stand_in_their_order():
    shares = knob_shares([PLAIN, OTHER])
    assert list(shares["learning_rate"]) == ["1e-05", "0.01"]
    assert list(shares["epochs"]) == ["2", "10"]


def test_shares_of_a_run(tmp_path):
    run = Run(tmp_path)
    texts = [to_json(PLAIN), "no JSON"]
    run.append(
        "self_edits",
        *({"id": f"t/{n}", "task_id": "t", "text": text} for n, text in enumerate(texts)),
    )
    assert read_knobs(run) == knob_shares([PLAIN])


def test_a_table_has_all_choices_that_anyone_made():
    columns = {"self-edits": [PLAIN, PLAIN, OTHER], "round-1": [OTHER], "none": [BAD]}
    table = format_knobs({label: knob_shares(parsed) for label, parsed in columns.items()})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert rows[0] == ["knob", "choice", "self-edits", "round-1", "none"]
    assert rows[2:] == [
        ["basic", "off", "67", "0", "-"],
        ["basic", "on", "33", "100", "-"],
        ["size", "off", "100", "100", "-"],
        ["chain", "on", "100", "100", "-"],
        ["repeat", "off", "100", "100", "-"],
        ["strategy", "all tokens", "33", "100", "-"],
        ["strategy", "output tokens", "67", "0", "-"],
        ["learning_rate", "1e-05", "33", "100", "-"],
        ["learning_rate", "0.01", "67", "0", "-"],
        ["epochs", "2", "67", "0", "-"],
        ["epochs", "10", "33", "100", "-"],
    ]
