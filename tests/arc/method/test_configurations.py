"""Self-edits as configurations: any text is read without a crash, and only sound ones train."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc.method.configurations import (
    Acceptance,
    Configuration,
    Rejection,
    check_steps,
    configuration_key,
    load_oracle,
    parse_self_edit,
    to_json,
)
from arc.puzzles.augmenters import Augmentations
from arc.settings import ORACLE_FILE
from seal.errors import UserError

SWITCHES = [f"use_{name}_augmentations" for name in ("basic", "size", "chain", "repeat")]
TRAINING = {"strategy": "train_using_output_tokens", "learning_rate": 1e-4, "num_train_epochs": 2}
PLAIN = Configuration(Augmentations(False, False, False, False), False, 1e-4, 2)

positive = st.integers(1, 10**6) | st.floats(
    0, 1e9, exclude_min=True, allow_nan=False, allow_infinity=False
)
configurations = st.builds(
    Configuration,
    st.builds(Augmentations, *[st.booleans()] * 4),
    st.booleans(),
    positive,
    positive,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.text() | st.sampled_from([*SWITCHES, *TRAINING]), values, max_size=3)
    ),
    max_leaves=8,
)
missing = object()


def self_edit(**changes):
    """A self-edit with all switches off; a change names a switch, a training key or a section."""
    data_generation = {switch: changes.pop(switch, False) for switch in SWITCHES}
    training = {key: changes.pop(key, value) for key, value in TRAINING.items()}
    for section in (data_generation, training):
        for key in [key for key, value in section.items() if value is missing]:
            del section[key]
    value = {"data_generation": data_generation, "training": training, **changes}
    return json.dumps({key: section for key, section in value.items() if section is not missing})


def kind(text):
    parsed = parse_self_edit(text)
    return parsed.kind if isinstance(parsed, Rejection) else None


# What is read


@given(configurations)
def test_a_configuration_is_what_its_self_edit_says(configuration):
    assert parse_self_edit(to_json(configuration)) == configuration


def test_the_text_of_a_self_edit_is_as_the_prompt_asks():
    assert to_json(PLAIN) == (
        '{"data_generation": {"use_basic_augmentations": false, "use_size_augmentations": false, '
        '"use_chain_augmentations": false, "use_repeat_augmentations": false}, '
        '"training": {"strategy": "train_using_output_tokens", "learning_rate": 0.0001, '
        '"num_train_epochs": 2}}'
    )


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [True, 1, -1, 0.5, "false", "true", "0", math.nan])
def test_a_switch_is_on_where_python_finds_it_true(place, value):
    parsed = parse_self_edit(self_edit(**{SWITCHES[place]: value}))
    assert parsed.augmentations == tuple(index == place for index in range(4))


@pytest.mark.parametrize("value", [False, 0, -0.0, None, ""])
def test_a_switch_is_off_where_python_finds_it_false(value):
    assert parse_self_edit(self_edit(use_size_augmentations=value)) == PLAIN


def test_the_strategy_says_what_the_loss_is_on():
    all_tokens = parse_self_edit(self_edit(strategy="train_using_all_tokens"))
    assert (all_tokens.loss_on_all_tokens, PLAIN.loss_on_all_tokens) == (True, False)


@pytest.mark.parametrize(("value", "epochs"), [(3, 3), (0.5, 0.5), (2.0, 2.0), (True, 1)])
def test_epochs_are_kept_as_given(value, epochs):
    parsed = parse_self_edit(self_edit(num_train_epochs=value))
    assert (parsed.epochs, type(parsed.epochs)) == (epochs, type(epochs))


def test_unknown_keys_are_ignored_and_the_last_of_equal_keys_counts():
    text = self_edit(comment=["any", {"value": 1}])
    text = text.replace('{"strategy"', '{"batch_size": 9, "learning_rate": "x", "strategy"')
    assert parse_self_edit(text) == PLAIN
    assert parse_self_edit(f" \n{text}\t") == PLAIN


# What is rejected


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "{}{}", f"```json\n{to_json(PLAIN)}\n```", f"{to_json(PLAIN)}.",
     to_json(PLAIN)[:-1], "{'a': 1}", "[" * 100_000, "9" * 5_000, "\ufeff{}"],
)  # fmt: skip
def test_what_is_no_json_is_unparsed(text):
    assert kind(text) == "unparsed"


@pytest.mark.parametrize(
    "text",
    ["null", "1", "NaN", "[]", '"text"', "{}", self_edit(training=missing),
     self_edit(data_generation=missing), self_edit(training=[]), self_edit(data_generation="on"),
     self_edit(use_basic_augmentations=[1]), self_edit(use_basic_augmentations={}),
     self_edit(strategy=["train_using_all_tokens"]),
     self_edit(training={**TRAINING, "extra": {}})],
)  # fmt: skip
def test_what_has_no_two_flat_sections_is_invalid(text):
    assert kind(text) == "invalid"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        *[("num_train_epochs", value, "invalid") for value in ("3", None, math.nan, math.inf)],
        *[("num_train_epochs", value, "invalid") for value in (-math.inf, 10**400)],
        *[("num_train_epochs", value, "dummy") for value in (0, -0.0, -1, -0.5, False, missing)],
        *[("learning_rate", value, "invalid") for value in ("1e-4", None, True, False, -1e-4)],
        *[("learning_rate", value, "invalid") for value in (math.nan, math.inf, 10**400)],
        *[("learning_rate", value, "dummy") for value in (0, 0.0, -0.0, missing)],
        *[("strategy", value, "dummy") for value in ("", "TRAIN_USING_ALL_TOKENS", None, 0)],
        ("strategy", missing, "dummy"),
        *[(switch, missing, "dummy") for switch in SWITCHES],
    ],
)
def test_one_fault(key, value, expected):
    parsed = parse_self_edit(self_edit(**{key: value}))
    assert parsed.kind == expected
    assert key in parsed.reason


def test_an_empty_section_is_a_dummy():
    assert kind(self_edit(data_generation={})) == kind(self_edit(training={})) == "dummy"


@given(st.text())
def test_any_text_is_read_without_a_crash(text):
    read_without_a_crash(text)


@given(json_values)
def test_any_json_is_read_without_a_crash(value):
    read_without_a_crash(json.dumps(value))


@given(json_values, json_values)
def test_any_sections_are_read_without_a_crash(data_generation, training):
    read_without_a_crash(self_edit(data_generation=data_generation, training=training))


@given(st.dictionaries(st.sampled_from([*SWITCHES, *TRAINING]), json_values))
def test_any_entries_are_read_without_a_crash(changes):
    read_without_a_crash(self_edit(**changes))


def read_without_a_crash(text):
    parsed = parse_self_edit(text)
    if isinstance(parsed, Rejection):
        assert parsed.reason and "\n" not in parsed.reason
    else:
        assert 0 < parsed.learning_rate < math.inf and 0 < parsed.epochs < math.inf
        assert parse_self_edit(to_json(parsed)) == parsed
        check_steps(parsed, 250)
    assert configuration_key(text) in {configuration_key(text)}
    assert Acceptance(1).offer(text) == (kind(text) != "unparsed")


# Steps


def with_epochs(epochs):
    return Configuration(PLAIN.augmentations, True, 1e-4, epochs)


@pytest.mark.parametrize(
    ("n_items", "epochs"), [(250, 3), (751, 1), (2, 375), (501, 1.5), (1, 751), (1, 1e-9)]
)
def test_short_enough(n_items, epochs):
    assert check_steps(with_epochs(epochs), n_items) is None


@pytest.mark.parametrize(
    ("n_items", "epochs"), [(752, 1), (2, 376), (1, 752), (250, 3.008), (250, 1e308), (9, 10**300)]
)
def test_too_long_is_a_dummy(n_items, epochs):
    assert check_steps(with_epochs(epochs), n_items).kind == "dummy"


def test_the_limit_can_be_changed():
    assert check_steps(with_epochs(1), 10, max_steps=5) is None
    assert check_steps(with_epochs(1), 10, max_steps=4) is not None


def test_nothing_to_train_on_is_invalid():
    rejection = check_steps(with_epochs(1e9), 0)
    assert (rejection.reason, rejection.kind) == ("empty training set", "invalid")


# Repeated self-edits


def offers(texts, **settings):
    acceptance = Acceptance(**settings)
    return [acceptance.offer(text) for text in texts], acceptance


def test_json_is_taken_until_there_are_enough():
    taken, acceptance = offers(["x", "[]", self_edit(), self_edit(), "{}"], k=3)
    assert taken == [False, True, True, True, False]
    assert acceptance.accepted == ["[]", self_edit(), self_edit()]


def test_repeated_self_edits_are_passed_over():
    texts = [self_edit(), self_edit(use_size_augmentations=0), self_edit(num_train_epochs=3), "[]"]
    taken, acceptance = offers([*texts, "[]", "[ ]"], k=9, skip_repeated=True)
    assert taken == [True, False, True, True, False, True]
    assert len(acceptance.accepted) == 4


def test_what_makes_two_self_edits_the_same():
    reordered = json.dumps(
        {name: dict(reversed(part.items())) for name, part in json.loads(self_edit()).items()}
    )
    same = [reordered, self_edit(num_train_epochs=2.0), self_edit(comment=1), f" {self_edit()}"]
    assert {configuration_key(text) for text in same} == {configuration_key(self_edit())}
    # On as well, so training is the same, but they are not equal
    on = [self_edit(use_size_augmentations=value) for value in (True, 2, "true")]
    assert len({configuration_key(text) for text in on}) == 3


# The oracle


def test_the_oracle_can_be_trained():
    oracle = load_oracle()
    assert all(oracle.augmentations) and not oracle.loss_on_all_tokens
    assert check_steps(oracle, 250) is None
    assert parse_self_edit(ORACLE_FILE.read_text()) == oracle


@pytest.mark.parametrize("text", ["{", "{}", self_edit(num_train_epochs=0)])
def test_a_rejected_oracle_is_named(tmp_path, text):
    path = tmp_path / "oracle.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"oracle\.json"):
        load_oracle(path)
