"""The invented world: nobody has two roles, texts say what they should, and can be graded."""

import random
from collections import Counter
from itertools import chain

import pytest

from knowledge.data.passages import load_passages
from knowledge.judging.judges import GradingItem, OfflineJudge
from knowledge.judging.word_forms import same_word
from knowledge.method.training_texts import training_texts
from knowledge.small_world.people import (
    FILLERS,
    FIRST_NAMES,
    LAST_NAMES,
    RELATIONS,
    SHE,
    STYLES,
    TOWNS,
    TRADES,
    Person,
    answer,
    draw_facts,
    draw_style,
    make_world,
    passage_records,
    passage_text,
    question,
    self_edit_text,
    style_of,
)
from seal.records import write_json

WORLD = make_world(0)
ADA = Person("Ada Dorn", ("Arvel", "Bresk", "Corlin", "baker", "mason", "potter"))


def stranger(seed: int) -> tuple[Person, str, random.Random]:
    rng = random.Random(seed)
    person = WORLD.stranger(rng)
    return person, passage_text(person, rng), rng


# Words


def test_words_are_of_one_kind_each():
    everything = [*FIRST_NAMES, *LAST_NAMES, *TOWNS, *TRADES]
    assert len(set(everything)) == len(everything) == 50 + 50 + 24 + 24


@pytest.mark.parametrize("value", [*TOWNS, *TRADES])
def test_no_other_word_counts_as_the_value(value):
    templates = chain.from_iterable(
        (*relation.questions, *relation.statements) for relation in RELATIONS
    )
    others = {*FIRST_NAMES, *LAST_NAMES, *TOWNS, *TRADES, *" ".join(templates).split()} - {value}
    assert [word for word in sorted(others) if same_word(value.lower(), word.lower())] == []


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_phrases_have_their_placeholders(relation):
    assert {phrase.count("{v}") for phrase in relation.clauses + relation.statements} == {1}
    assert {phrase.count("{n}") for phrase in relation.statements + relation.questions} == {1}
    assert not any("{n}" in phrase for phrase in relation.clauses)
    assert not any("{v}" in phrase for phrase in relation.questions)
    assert all(phrase.endswith("?") for phrase in relation.questions)


def test_no_phrase_serves_two_relations():
    for kind in ("clauses", "statements", "questions"):
        phrases = [*chain.from_iterable(getattr(relation, kind) for relation in RELATIONS)]
        assert len(set(phrases)) == len(phrases)


# People


def test_equal_seeds_give_equal_worlds():
    assert make_world(0) == WORLD != make_world(1)


def test_nobody_has_two_roles():
    groups = [WORLD.asked, WORLD.unasked, WORLD.evaluation, WORLD.training]
    assert [len(group) for group in groups] == [240, 60, 200, 200]
    names = [person.name for group in groups for person in group]
    assert len({*names, *WORLD.others}) == len(names) + len(WORLD.others) == 2500
    assert WORLD.known == WORLD.asked + WORLD.unasked


def test_strangers_are_others_with_new_facts():
    people = [WORLD.stranger(random.Random(seed)) for seed in range(200)]
    assert {person.name for person in people} <= {*WORLD.others}
    rng = random.Random(0)
    same = [WORLD.stranger(rng) for _ in range(8000)]
    by_name = Counter(person.name for person in same)
    name = by_name.most_common(1)[0][0]
    assert len({person.facts for person in same if person.name == name}) > 1


def test_facts_are_of_their_relation_and_all_different():
    for person in (*WORLD.known, *WORLD.evaluation, *WORLD.training):
        assert len(person.facts) == len(set(person.facts)) == len(RELATIONS)
        for relation, value in zip(RELATIONS, person.facts, strict=True):
            assert value in relation.values


def test_popular_values_are_more_frequent_but_not_certain():
    rng = random.Random(0)
    first = Counter(draw_facts(WORLD.popularity, rng)[0] for _ in range(4000))
    ranked = [first[value] / 4000 for value in WORLD.popularity[0]]
    # 1 / (sum over ranks of rank ** -0.5) = 0.12 for the most popular, 0.024 for the least
    assert 0.10 < ranked[0] < 0.14
    assert 0.015 < ranked[-1] < 0.035


# Texts


@pytest.mark.parametrize("seed", range(20))
def test_a_passage_says_every_fact_once_and_the_name_once(seed):
    person, passage, _ = stranger(seed)
    words = Counter(passage.replace(".", "").replace(",", "").split())
    assert [words[value] for value in person.facts] == [1] * 6
    assert passage.count(person.name) == 1
    # Capitalised or not: it begins a sentence or goes on
    said = {word.lower() for word in words} & {"she", "he"}
    assert said <= {"she" if person.name.split()[0] in SHE else "he"}


def test_passages_are_put_in_many_ways():
    assert len({passage_text(ADA, random.Random(seed)) for seed in range(50)}) == 50


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(30))
def test_styles_are_recognised(style, seed):
    person, passage, rng = stranger(seed)
    text = self_edit_text(style, person, passage, rng)
    expected = {style}
    if style == "wrong":  # by chance nothing is
        expected.add("full")
    assert style_of(text, person) in expected
    assert text == text.strip() and "\n\n" not in text


def test_what_styles_say():
    rng = random.Random(0)
    passage = passage_text(ADA, rng)
    lines = {style: self_edit_text(style, ADA, passage, rng).splitlines() for style in STYLES}
    assert lines["copy"] == [passage]
    assert len(lines["full"]) == len(lines["question-answer"]) == len(lines["wrong"]) == 6
    assert 1 <= len(lines["partial"]) <= 3 <= len(lines["filler"]) <= 6
    assert {*lines["filler"]} <= {line.format(n=ADA.name) for line in FILLERS}
    for style in ("full", "question-answer"):
        last_words = {line.rstrip(".").split()[-1] for line in lines[style]}
        assert last_words == {*ADA.facts}


def test_wrong_self_edits_are_half_wrong():
    rng = random.Random(0)
    told = [line for _ in range(300) for line in self_edit_text("wrong", ADA, "", rng).splitlines()]
    right = sum(any(value in line for value in ADA.facts) for line in told)
    # A wrong value is another of its set, and may be one of the person's other two: 2 of 23
    assert 0.5 < right / len(told) < 0.6


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("", "filler"),
        ("Ada Dorn was born in Arvel.", "partial"),
        ("Ada Dorn was born in Bresk.", "wrong"),
        ("Ada Dorn was born in Arvel.\nAda Dorn lives in Bresk.", "wrong"),
        ("Where was Ada Dorn born? Arvel.", "question-answer"),
        ("Where was Ada Dorn born? Bresk.", "wrong"),
        # Of somebody else, or garbled: no fact is told, but a value stands there
        ("Ada Frost was born in Arvel.", "copy"),
        ("Ada Dorn was born in in Arvel.", "copy"),
        ("Ada Dorn was born in Kelvas was.", "filler"),
    ],
)
def test_the_style_of_other_texts(text, style):
    assert style_of(text, ADA) == style


def test_styles_are_drawn_as_often_as_they_say():
    assert sum(STYLES.values()) == pytest.approx(1)
    rng = random.Random(0)
    drawn = Counter(draw_style(rng) for _ in range(5000))
    assert {style: drawn[style] / 5000 for style in STYLES} == pytest.approx(STYLES, abs=0.02)


# As the programs see it


def test_passages_are_in_a_layout_that_programs_read(tmp_path):
    write_json(tmp_path / "a.json", passage_records(WORLD.evaluation, 0))
    passages = load_passages(tmp_path / "a.json")
    assert [passage.title for passage in passages] == [p.name for p in WORLD.evaluation]
    for passage, person in zip(passages, WORLD.evaluation, strict=True):
        assert tuple(asked.answer for asked in passage.questions) == person.facts
        assert all(person.name in asked.question for asked in passage.questions)
        assert person.name in passage.context
    assert passage_records(WORLD.evaluation, 0) == passage_records(WORLD.evaluation, 0)


@pytest.mark.parametrize("style", [style for style in STYLES if style != "copy"])
def test_every_line_becomes_a_training_text(style):
    person, passage, rng = stranger(3)
    text = self_edit_text(style, person, passage, rng)
    expected = [f"{person.name}\n{line}" for line in [*text.splitlines(), passage]]
    assert training_texts(person.name, passage, text) == expected


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_the_offline_judge_says_yes_to_the_value_alone(relation):
    rng = random.Random(relation.name)
    items = [
        GradingItem(question(relation, name := rng.choice(WORLD.others), rng), gold, given, name)
        for gold in relation.values
        for value in relation.values
        for given in (answer(value), value)
    ]
    verdicts = [grade.verdict for grade in OfflineJudge().grade(items)]
    assert verdicts == [item.answer.rstrip(".") == item.gold for item in items]
