"""Configurations of test-time training: what a self-edit of this domain says (paper, section 4.2).

A self-edit is the text of one JSON object. What the release trains on is a Configuration with the
same arguments. What made it crash, or train for no epoch at all, is a Rejection: it gets no
training, earns no reward and keeps its reason (golden A7).
"""

import json
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from sys import float_info
from typing import Any, Literal

from arc.puzzles.augmenters import Augmentations
from arc.settings import ORACLE_FILE
from seal.errors import UserError
from seal.records import read_text

MAX_STEPS = 375
BATCH_SIZE = 2

_SWITCHES = tuple(f"use_{name}_augmentations" for name in Augmentations._fields)
_ALL_TOKENS, _OUTPUT_TOKENS = "train_using_all_tokens", "train_using_output_tokens"
_SECTIONS = ("data_generation", "training")
_TRAINING_KEYS = ("strategy", "learning_rate", "num_train_epochs")
# Integers and nesting beyond what Python's parser takes raise these too
_NOT_JSON = (ValueError, RecursionError)
_Scalar = str | int | float | None
_Section = dict[str, _Scalar]


@dataclass(frozen=True)
class Configuration:
    """What to train on and how; numbers are kept as the self-edit gives them."""

    augmentations: Augmentations
    loss_on_all_tokens: bool
    """Otherwise on the tokens of output grids alone."""
    learning_rate: float
    """Finite and above 0."""
    epochs: float
    """Finite and above 0, with fractions; training takes ceil(epochs * batches per epoch) steps."""


@dataclass(frozen=True)
class Rejection:
    """Why a self-edit gets no training."""

    reason: str
    """One line."""
    kind: Literal["unparsed", "invalid", "dummy"]
    """`unparsed` is not JSON: sample again. `invalid` crashed the release, or cannot be trained.
    `dummy` leaves the bare model, which the release evaluated and could reward."""


def parse_self_edit(text: str) -> Configuration | Rejection:
    """The configuration that the text of a self-edit gives; never raises (golden A7).

    The text must be JSON from end to end, white space aside. Of equal keys the last counts. Unknown
    keys are ignored, and a switch is on where Python finds its value true, as in the release: the
    string "false" is on.
    """
    try:
        value = json.loads(text)
    except _NOT_JSON:
        return Rejection("not JSON", "unparsed")
    try:
        data_generation, training = _sections(value)
    except ValueError as error:
        return Rejection(str(error), "invalid")
    missing = [key for key in _SWITCHES if key not in data_generation]
    missing += [key for key in _TRAINING_KEYS if key not in training]
    if missing:
        return Rejection(f"{missing[0]} is missing", "dummy")
    strategy, learning_rate, epochs = (training[key] for key in _TRAINING_KEYS)
    return _fault(strategy, learning_rate, epochs) or Configuration(
        augmentations=Augmentations(*(bool(data_generation[key]) for key in _SWITCHES)),
        loss_on_all_tokens=strategy == _ALL_TOKENS,
        learning_rate=learning_rate,
        epochs=int(epochs) if isinstance(epochs, bool) else epochs,
    )


def check_steps(
    configuration: Configuration, n_items: int, max_steps: int = MAX_STEPS
) -> Rejection | None:
    """Why this configuration gets no training on a training set of `n_items`; None if it does.

    Too long is floor(n_items * epochs / BATCH_SIZE) > max_steps (paper, section 4.2; golden A7),
    which can be one step less per epoch than training would take.
    """
    if n_items == 0:
        return Rejection("empty training set", "invalid")
    # Whole steps exceed a whole limit as soon as they reach the next one; no floor, which inf lacks
    if n_items * configuration.epochs / BATCH_SIZE >= max_steps + 1:
        return Rejection(f"more than {max_steps} steps", "dummy")
    return None


def to_json(configuration: Configuration) -> str:
    """The self-edit that says this, as the prompt asks for it; parses back to its equal."""
    strategy = _ALL_TOKENS if configuration.loss_on_all_tokens else _OUTPUT_TOKENS
    values = (strategy, configuration.learning_rate, configuration.epochs)
    value = {
        "data_generation": dict(zip(_SWITCHES, configuration.augmentations, strict=True)),
        "training": dict(zip(_TRAINING_KEYS, values, strict=True)),
    }
    return json.dumps(value, allow_nan=False)


def load_oracle(path: Path = ORACLE_FILE) -> Configuration:
    """The hand-made configuration that bounds what self-edits can reach (paper, table 1).

    The paper does not print its values. Those of the file that ships are ours, after the work on
    test-time training on ARC that the paper builds on (arXiv 2411.07279): every augmentation, the
    loss on outputs, and two epochs at 1e-4. Raises UserError that names a file that is missing or
    not a valid self-edit.
    """
    parsed = parse_self_edit(read_text(path))
    if isinstance(parsed, Rejection):
        raise UserError(f"{path}: not a configuration to train with ({parsed.reason}); fix it")
    return parsed


def configuration_key(text: str) -> Hashable:
    """What two self-edits that say the same have in common (golden A7, duplicates).

    Both sections are compared by Python value, whatever the order of keys: 0, 0.0 and false are
    the same. A text without such sections equals itself alone.
    """
    try:
        sections = _sections(json.loads(text))
    except _NOT_JSON:
        return text
    return tuple(frozenset(section.items()) for section in sections)


@dataclass
class Acceptance:
    """Takes samples one by one until `k` self-edits are there.

    A sample is taken if it is JSON, even if it cannot be trained: that one then earns nothing.
    `skip_repeated` passes over those that say the same as one before.
    """

    k: int
    skip_repeated: bool = False
    accepted: list[str] = field(default_factory=list, init=False)
    refused: list[str] = field(default_factory=list, init=False)

    def offer(self, text: str) -> bool:
        """Whether this sample was taken."""
        parsed = parse_self_edit(text)
        unparsed = isinstance(parsed, Rejection) and parsed.kind == "unparsed"
        before = map(configuration_key, self.accepted)
        repeated = self.skip_repeated and configuration_key(text) in before
        taken = len(self.accepted) < self.k and not unparsed and not repeated
        (self.accepted if taken else self.refused).append(text)
        return taken

    def filled_up(self) -> list[str]:
        """k samples: those refused last stand in for missing ones, and earn what they are worth."""
        missing = self.k - len(self.accepted)
        return [*self.accepted, *self.refused[len(self.refused) - missing :]]


def _sections(value: Any) -> list[_Section]:
    """The two sections of a self-edit; ValueError unless both are objects of plain values."""
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    for name in _SECTIONS:
        if name not in value:
            raise ValueError(f"{name} is missing")
        if not isinstance(value[name], dict):
            raise ValueError(f"{name} is not an object")
        # The release hashes every value of a section, known or not: a list or object ends its run
        if any(isinstance(entry, dict | list) for entry in value[name].values()):
            raise ValueError(f"{name} holds a list or an object")
    return [value[name] for name in _SECTIONS]


def _fault(strategy: _Scalar, learning_rate: _Scalar, epochs: _Scalar) -> Rejection | None:
    """The first fault among the values of the training section; None if there is none."""
    if fault := _number_fault(epochs):
        return Rejection(f"num_train_epochs is {fault}", "invalid")
    if epochs <= 0:
        return Rejection("num_train_epochs is not above 0", "dummy")
    if strategy not in (_ALL_TOKENS, _OUTPUT_TOKENS):
        return Rejection("strategy is unknown", "dummy")
    # `true` is one epoch, but not a learning rate
    fault = "not a number" if isinstance(learning_rate, bool) else _number_fault(learning_rate)
    if fault or learning_rate < 0:
        return Rejection(f"learning_rate is {fault or 'negative'}", "invalid")
    return None if learning_rate else Rejection("learning_rate is 0", "dummy")


def _number_fault(value: _Scalar) -> str | None:
    if not isinstance(value, int | float):
        return "not a number"
    # NaN is not either; integers compare exactly, however large
    return None if abs(value) <= float_info.max else "not finite"
