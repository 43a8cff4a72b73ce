"""An invented world: fictional people, and what is written about them.

Six relations share two sets of values: to answer, a model must bind a value to its relation; a
likelier word is not enough. Names, values and templates are in vocabulary.json. In templates, {n}
is a person's name, {v} a value, {p} "She" or "He", {s} "she" or "he".
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from seal.records import read_json
from seal.seeds import derive_seed

STYLES = {
    "question-answer": 0.08,
    "full": 0.12,
    "partial": 0.27,
    "wrong": 0.18,
    "copy": 0.08,
    "filler": 0.27,
}
"""How self-edits are written, and the share of each style in pre-training.

Some are far more useful for answering than others. The outer loop has to find out which.
"""
_WRONG = 0.5
_SKEW = 0.5


# Words


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


_DATA = read_json(Path(__file__).with_name("vocabulary.json"))
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


# People


@dataclass(frozen=True)
class Person:
    """A person and the value of each of `RELATIONS`, in that order."""

    name: str
    facts: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """Who lives in it, and how popular values are."""

    popularity: tuple[tuple[str, ...], ...]
    """The values of each relation, the most frequent first."""
    asked: tuple[Person, ...]
    """In pre-training the model reads about them, and sees questions with answers."""
    unasked: tuple[Person, ...]
    """In pre-training the model only reads about them."""
    evaluation: tuple[Person, ...]
    training: tuple[Person, ...]
    """These two appear nowhere before SEAL's loops."""
    others: tuple[str, ...]
    """Names in demonstrations of self-edits, each time with new facts."""

    @property
    def known(self) -> tuple[Person, ...]:
        """All people that the model has read about."""
        return self.asked + self.unasked

    def stranger(self, rng: random.Random) -> Person:
        """Somebody with newly drawn facts."""
        return Person(rng.choice(self.others), draw_facts(self.popularity, rng))


def make_world(
    seed: int,
    n_known: int = 300,
    n_unasked: int = 60,
    n_evaluation: int = 200,
    n_training: int = 200,
) -> World:
    """The world of a seed, in which everybody has one role; equal seeds give equal worlds."""
    rng = random.Random(derive_seed(seed, "world"))
    names = [f"{first} {last}" for first, last in product(FIRST_NAMES, LAST_NAMES)]
    rng.shuffle(names)
    popularity = tuple(
        tuple(rng.sample(relation.values, len(relation.values))) for relation in RELATIONS
    )
    people = (Person(name, draw_facts(popularity, rng)) for name in names)
    sizes = (n_known - n_unasked, n_unasked, n_evaluation, n_training)
    groups = [tuple(next(people) for _ in range(size)) for size in sizes]
    return World(popularity, *groups, others=tuple(names[sum(sizes) :]))


def draw_facts(popularity: Sequence[Sequence[str]], rng: random.Random) -> tuple[str, ...]:
    """A value for each relation, no value twice; popular ones more often (Zipf's law, 0.5)."""
    facts: list[str] = []
    for ranked in popularity:
        free = {
            value: rank**-_SKEW for rank, value in enumerate(ranked, start=1) if value not in facts
        }
        facts += rng.choices(list(free), list(free.values()))
    return tuple(facts)


# What is written about a person


def passage_text(person: Person, rng: random.Random) -> str:
    """All six facts in random order, the name once: about 60 words."""
    pronoun = "She" if person.name.split()[0] in SHE else "He"
    clauses = [
        rng.choice(relation.clauses).format(v=value)
        for relation, value in zip(RELATIONS, person.facts, strict=True)
    ]
    rng.shuffle(clauses)
    text = f"{person.name} {clauses[0]}"
    for clause in clauses[1:]:
        text += rng.choice(LINKS).format(p=pronoun, s=pronoun.lower()) + clause
    return f"{text}."


def statement(relation: Relation, name: str, value: str, rng: random.Random) -> str:
    """One fact in one sentence."""
    return rng.choice(relation.statements).format(n=name, v=value)


def question(relation: Relation, name: str, rng: random.Random) -> str:
    """A question about one fact; its answer is `answer`."""
    return rng.choice(relation.questions).format(n=name)


def answer(value: str) -> str:
    """What the model learns to say to a question."""
    return f"{value}."


def self_edit_text(style: str, person: Person, passage: str, rng: random.Random) -> str:
    """A self-edit in one of `STYLES`, a line for each fact or filler."""
    if style == "copy":
        return passage
    if style == "filler":
        lines = rng.sample(FILLERS, rng.randint(3, 6))
        return "\n".join(line.format(n=person.name) for line in lines)
    facts = list(zip(RELATIONS, person.facts, strict=True))
    rng.shuffle(facts)
    if style == "partial":
        facts = facts[: rng.randint(1, 3)]
    if style == "wrong":
        for place, (relation, value) in enumerate(facts):
            if rng.random() < _WRONG:
                others = [other for other in relation.values if other != value]
                facts[place] = relation, rng.choice(others)
    if style == "question-answer":
        lines = [f"{question(each, person.name, rng)} {answer(value)}" for each, value in facts]
    else:
        lines = [statement(relation, person.name, value, rng) for relation, value in facts]
    return "\n".join(lines)


def draw_style(rng: random.Random) -> str:
    """One of `STYLES`, by their shares."""
    return rng.choices(list(STYLES), list(STYLES.values()))[0]


def style_of(text: str, person: Person) -> str:
    """The style nearest to a written self-edit. It is for reports: the method does not use it."""
    told = [
        (place, found[1], asked)
        for line in text.splitlines()
        for place, pattern, asked in _patterns(person.name)
        if (found := pattern.fullmatch(line.strip()))
    ]
    if not told:
        return "copy" if {*person.facts} & {*re.findall(r"\w+", text)} else "filler"
    if any(person.facts[place] != value for place, value, _ in told):
        return "wrong"
    if any(asked for *_, asked in told):
        return "question-answer"
    return "full" if len({place for place, *_ in told}) == len(RELATIONS) else "partial"


@cache
def _patterns(name: str) -> list[tuple[int, re.Pattern[str], bool]]:
    """Sentences with a fact: the relation's place, a pattern of the value, and if it is asked."""

    def pattern(template: str) -> re.Pattern[str]:
        before, after = template.split("{v}")
        return re.compile(re.escape(before.format(n=name)) + r"(\w+)" + re.escape(after))

    return [
        (place, pattern(template), "?" in template)
        for place, relation in enumerate(RELATIONS)
        for template in (*relation.statements, *(f"{q} {{v}}." for q in relation.questions))
    ]


# What the programs read


def passage_records(people: Sequence[Person], seed: int) -> list[dict[str, Any]]:
    """Passages with a question for each fact, in the layout that `load_passages` reads."""
    records = []
    for person in people:
        rng = random.Random(derive_seed(seed, person.name))
        context = passage_text(person, rng)
        asked = [
            {"question": question(relation, person.name, rng), "answer": value}
            for relation, value in zip(RELATIONS, person.facts, strict=True)
        ]
        records.append({"title": person.name, "context": context, "questions": asked})
    return records
