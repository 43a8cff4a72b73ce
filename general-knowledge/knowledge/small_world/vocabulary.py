"""The words of the invented world: names, values, and how facts about people are put.

All texts are built from whole words, which are the small model's tokens.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TOWNS = _words(
    "Arvel Bresk Corlin Dunmor Estrel Falgar Gilwen Hestor Imbrel Jorvik Kelvas Lomond Marwel"
    " Nestor Ostrin Pelmar Quorn Rustel Selkow Tarvin Umbrel Velmar Wexlow Zandor"
)
TRADES = _words(
    "baker carpenter dyer falconer gardener harper jeweller knitter locksmith mason notary painter"
    " quilter roofer saddler tailor printer vintner weaver beekeeper cobbler fiddler glazier"
    " potter"
)
FIRST_NAMES = _words(
    "Ada Bela Caro Dina Edda Fenna Gitta Hanne Ines Jule Kaja Lene Mira Nora Olga Petra Ronja Sanne"
    " Tilda Ursa Vera Wanda Xenia Yara Zita Alwin Bodo Claas Dirk Emil Falk Gero Hauke Ivo Jasper"
    " Knut Lars Malte Nils Otto Piet Quentin Ralf Sven Till Udo Volker Wim Yannick Zeno"
)
LAST_NAMES = _words(
    "Abend Bohm Caspar Dorn Ebert Frost Grimm Hollen Iversen Jansen Krug Lund Moll Nagel Ohm Pohl"
    " Quast Rieck Storm Thiel Uhland Voss Winkel Yster Zeller Asmus Brahm Clasen Dehn Engel Flint"
    " Gruber Hagen Isen Juhl Kramer Lorenz Menge Niemann Oster Prell Runge Sommer Trapp Ulrich Vogt"
    " Wolter Ziegler Barlach Reuter"
)
SHE = frozenset(FIRST_NAMES[:25])


@dataclass(frozen=True)
class Relation:
    """One thing to know of a person and the ways of saying it; {n} is the name, {v} the value."""

    name: str
    values: tuple[str, ...]
    clauses: tuple[str, ...]
    """What follows the person in a passage."""
    statements: tuple[str, ...]
    questions: tuple[str, ...]


RELATIONS = (
    Relation(
        "born",
        TOWNS,
        (
            "was born in {v}",
            "came into the world in {v}",
            "began life in {v}",
            "is a native of {v}",
            "spent the first days of life in {v}",
        ),
        (
            "{n} was born in {v}.",
            "The birthplace of {n} is {v}.",
            "The town where {n} was born is {v}.",
            "{n} comes from {v}.",
        ),
        ("Where was {n} born?", "What is the birthplace of {n}?"),
    ),
    Relation(
        "school",
        TOWNS,
        (
            "went to school in {v}",
            "had lessons as a child in {v}",
            "learned to read in {v}",
            "was a pupil in {v}",
            "sat at a school desk in {v}",
        ),
        (
            "{n} went to school in {v}.",
            "The school of {n} was in {v}.",
            "The town where {n} went to school is {v}.",
            "{n} was a pupil in {v}.",
        ),
        ("Where did {n} go to school?", "In which town was the school of {n}?"),
    ),
    Relation(
        "home",
        TOWNS,
        (
            "lives in {v}",
            "has a house in {v}",
            "moved to {v}",
            "now has a home in {v}",
            "settled in {v}",
        ),
        (
            "{n} lives in {v}.",
            "The home of {n} is in {v}.",
            "The town where {n} lives is {v}.",
            "{n} has a house in {v}.",
        ),
        ("Where does {n} live?", "In which town is the home of {n}?"),
    ),
    Relation(
        "parent",
        TRADES,
        (
            "is the child of a {v}",
            "was raised by a {v}",
            "grew up as the child of a {v}",
            "comes from the family of a {v}",
            "has a {v} for a father",
        ),
        (
            "{n} is the child of a {v}.",
            "The father of {n} is a {v}.",
            "The trade of the father of {n} is that of a {v}.",
            "{n} was raised by a {v}.",
        ),
        ("What is the father of {n}?", "What was the trade of the father of {n}?"),
    ),
    Relation(
        "training",
        TRADES,
        (
            "trained as a {v}",
            "learned the trade of a {v}",
            "was apprenticed to a {v}",
            "spent years with a {v} as apprentice",
            "was taught by a {v}",
        ),
        (
            "{n} trained as a {v}.",
            "The training of {n} was that of a {v}.",
            "The trade that {n} learned is that of a {v}.",
            "{n} was apprenticed to a {v}.",
        ),
        ("What did {n} train as?", "Which trade did {n} learn?"),
    ),
    Relation(
        "work",
        TRADES,
        (
            "works as a {v}",
            "earns a living as a {v}",
            "is paid as a {v}",
            "found work as a {v}",
            "is today a {v}",
        ),
        (
            "{n} works as a {v}.",
            "The work of {n} is that of a {v}.",
            "The job that {n} has today is that of a {v}.",
            "{n} earns a living as a {v}.",
        ),
        ("What does {n} work as?", "Which job does {n} have today?"),
    ),
)
# {p}: She or He, {s}: she or he
LINKS = (". {p} ", " and ", ". {p} also ", ", and {s} ", ". And {s} ")
FILLERS = (
    "This is a text about {n}.",
    "{n} is a person.",
    "The text tells of {n}.",
    "Many people know {n}.",
    "There is much to say about {n}.",
    "{n} has a name and a life.",
    "One can read about {n} here.",
    "The life of {n} is like that of many people.",
)


def all_texts() -> Iterator[str]:
    """Every word that can be written in this world stands in one of these texts."""
    yield from (*FIRST_NAMES, *LAST_NAMES, *TOWNS, *TRADES, "She", "He", "she", "he")
    templates = [*LINKS, *FILLERS]
    for relation in RELATIONS:
        templates += [*relation.clauses, *relation.statements, *relation.questions]
    yield from (re.sub(r"\{\w\}", "", template) for template in templates)
