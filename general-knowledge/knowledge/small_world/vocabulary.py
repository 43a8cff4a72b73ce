"""The words of the invented world, from vocabulary.json: names, values, and ways to put facts.

All texts are built from whole words, which are the small model's tokens. In templates, {n} is a
person's name, {v} a value, {p} "She" or "He", {s} "she" or "he".
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seal.records import read_json


@dataclass(frozen=True)
class Relation:
    """One thing to know about a person, and the ways to say it."""

    name: str
    values: tuple[str, ...]
    clauses: tuple[str, ...]
    """What follows the person in a passage."""
    statements: tuple[str, ...]
    questions: tuple[str, ...]


def _words(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(" ".join(lines).split())


_DATA = read_json(Path(__file__).with_suffix(".json"))
TOWNS, TRADES = _words(_DATA["towns"]), _words(_DATA["trades"])
SHE = frozenset(_words(_DATA["first_names"]["she"]))
"""First names of those who are called "she"."""
FIRST_NAMES = _words([*_DATA["first_names"]["she"], *_DATA["first_names"]["he"]])
LAST_NAMES = _words(_DATA["last_names"])
RELATIONS = tuple(
    Relation(
        each["name"],
        _words(_DATA[each["values"]]),
        *(tuple(each[kind]) for kind in ("clauses", "statements", "questions")),
    )
    for each in _DATA["relations"]
)
LINKS, FILLERS = tuple(_DATA["links"]), tuple(_DATA["fillers"])


def all_texts() -> Iterator[str]:
    """Texts that hold every word that can be written in this world."""
    yield from (*FIRST_NAMES, *LAST_NAMES, *TOWNS, *TRADES, "She", "He", "she", "he")
    templates = [*LINKS, *FILLERS]
    for relation in RELATIONS:
        templates += [*relation.clauses, *relation.statements, *relation.questions]
    yield from (re.sub(r"\{\w\}", "", template) for template in templates)
