"""Configurations of test-time training: what a self-edit of this domain says (paper, section 4.2).

A self-edit is the text of one JSON object. What the release trains on is a Configuration with the
same arguments; what made it crash, or train for no epoch at all, is a Rejection here, which gets no
training, earns no reward and keeps its reason (golden A7).
"""

import json
from collections.abc import Hashable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from arc.puzzles.augmenters import Augmentations
from arc.settings import ORACLE_FILE
from seal.errors import UserError
from seal.records import read_text

MAX_STEPS = 375
BATCH_SIZE = 2

_SWITCHES = tuple(f"use_{name}_augmentations" for name in Augmentations._fields)
_ALL_TOKENS, _OUTPUT_TOKENS = "train_using_all_tokens", "train_using_output_tokens"
_TRAINING_KEYS = ("strategy", "learning_rate", "num_train_epochs")
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
    """`unparsed` is no JSON: sample again. `invalid` crashed the release, or cannot be trained.
    `dummy` leaves the bare model: the release evaluated and could reward it all the same."""


def parse_self_edit(text: str) -> Configuration | Rejection:
    """The configuration that the text of a self-edit gives; never raises (golden A7).

    The text must be JSON from end to end, white space aside. Of equal keys the last counts. Unknown
    keys are ignored, and a switch is on where Python finds its value true, as in the release: the
    string "false" is on.
    """
    try:
        value = _load(text)
    except ValueError:
        return Rejection("not JSON", "unparsed")
    try:
        data_generation, training = _sections(value)
    except ValueError as error:
        return Rejection(str(error), "invalid")
    missing = [key for key in _SWITCHES if key not in data_generation]
    missing += [key for key in _TRAINING_KEYS if key not in training]
    rejection = (
        Rejection(f"{missing[0]} is missing", "dummy")
        if missing
        else _bad_epochs(training["num_train_epochs"])
        or _bad_strategy(training["strategy"])
        or _bad_learning_rate(training["learning_rate"])
    )
    return rejection or _configuration(data_generation, training)


def check_steps(
    configuration: Configuration,
    n_items: int,
    max_steps: int = MAX_STEPS,
    batch_size: int = BATCH_SIZE,
) -> Rejection | None:
    """Why this configuration gets no training on a training set of `n_items`; None if it does.

    Too long is floor(n_items * epochs / batch_size) > max_steps (paper, section 4.2; golden A7),
    which can be one step less per epoch than training would take.
    """
    if n_items == 0:
        return Rejection("empty training set", "invalid")
    # Whole steps exceed a whole limit as soon as they reach the next one; no floor, which inf lacks
    if n_items * configuration.epochs / batch_size >= max_steps + 1:
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
    no valid self-edit.
    """
    parsed = parse_self_edit(read_text(path))
    if isinstance(parsed, Rejection):
        raise UserError(f"{path}: not a configuration to train with ({parsed.reason}); mend it")
    return parsed


def configuration_key(text: str) -> Hashable:
    """What two self-edits that say the same have in common (golden A7, duplicates).

    Both sections are compared by Python value, whatever the order of keys: 0, 0.0 and false are
    the same. A text without such sections equals itself alone.
    """
    try:
        sections = _sections(_load(text))
    except ValueError:
        return text
    return tuple(frozenset(section.items()) for section in sections)


@dataclass
class Acceptance:
    """Takes samples one by one until `k` self-edits are there.

    A sample is taken if it is JSON, be it one that cannot be trained: that one then earns nothing.
    `skip_repeated` passes over those that say the same as one before.
    """

    k: int
    skip_repeated: bool = False
    accepted: list[str] = field(default_factory=list, init=False)
    _keys: set[Hashable] = field(default_factory=set, init=False)

    @property
    def full(self) -> bool:
        """Whether no further sample will be taken."""
        return len(self.accepted) >= self.k

    def offer(self, text: str) -> bool:
        """Whether this sample was taken."""
        parsed = parse_self_edit(text)
        unparsed = isinstance(parsed, Rejection) and parsed.kind == "unparsed"
        key = configuration_key(text)
        if self.full or unparsed or (self.skip_repeated and key in self._keys):
            return False
        self.accepted.append(text)
        self._keys.add(key)
        return True


def _load(text: str) -> Any:
    """Parsed JSON; ValueError also for integers and nesting beyond what Python's parser takes."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _sections(value: Any) -> tuple[_Section, _Section]:
    """The two sections of a self-edit; ValueError unless both are objects of plain values."""
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    data_generation, training = (_section(value, name) for name in ("data_generation", "training"))
    return data_generation, training


def _section(value: dict[str, Any], name: str) -> _Section:
    if name not in value:
        raise ValueError(f"{name} is missing")
    if not isinstance(value[name], dict):
        raise ValueError(f"{name} is not an object")
    # The release hashes every value of a section, known or not, so a list or object ends its run
    if any(isinstance(entry, dict | list) for entry in value[name].values()):
        raise ValueError(f"{name} holds a list or an object")
    return value[name]


def _bad_epochs(value: _Scalar) -> Rejection | None:
    if not isinstance(value, int | float):
        return Rejection("num_train_epochs is not a number", "invalid")
    if not _is_finite(value):
        return Rejection("num_train_epochs is not finite", "invalid")
    if value <= 0:
        return Rejection("num_train_epochs is not above 0", "dummy")
    return None


def _bad_strategy(value: _Scalar) -> Rejection | None:
    known = value in (_ALL_TOKENS, _OUTPUT_TOKENS)
    return None if known else Rejection("strategy is unknown", "dummy")


def _bad_learning_rate(value: _Scalar) -> Rejection | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return Rejection("learning_rate is not a number", "invalid")
    if not _is_finite(value):
        return Rejection("learning_rate is not finite", "invalid")
    if value < 0:
        return Rejection("learning_rate is negative", "invalid")
    return None if value else Rejection("learning_rate is 0", "dummy")


def _is_finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def _configuration(data_generation: _Section, training: _Section) -> Configuration:
    epochs = training["num_train_epochs"]
    return Configuration(
        augmentations=Augmentations(*(bool(data_generation[key]) for key in _SWITCHES)),
        loss_on_all_tokens=training["strategy"] == _ALL_TOKENS,
        learning_rate=training["learning_rate"],
        epochs=int(epochs) if isinstance(epochs, bool) else epochs,
    )
