"""Lists of entities are read however a model writes them, and groups are chosen reproducibly."""

from itertools import combinations

import pytest

from knowledge.experiments.entity_lists import MAX_ENTITIES, choose_groups, parse_entities

LIST = ["Anna Berg", "Old Harbour", "1934"]


@pytest.mark.parametrize(
    "text",
    [
        '["Anna Berg", "Old Harbour", "1934"]',
        'Here they are:\n```json\n["Anna Berg", "Old Harbour", "1934"]\n```\nAnything else?',
        '{"summary": "A [short] text", "entities": ["Anna Berg", "Old Harbour", "1934"]}',
        '{"summary": ["one"], "entities": ["Anna Berg", "Old Harbour", "1934"]}',
        '{"list": [{"name": "Anna Berg"}, {"entity": "Old Harbour"}, {"name": "1934", "n": 2}]}',
        '[] then ["Anna Berg", "Old Harbour", "1934"]',
        '["Anna Berg", "anna berg", "  Old\\n Harbour ", "", "1934", 7, null]',
        "1. Anna Berg\n2. Old Harbour\n3. 1934",
        "(1) Anna Berg\n2) **Old Harbour**\n3: 1934",
        "Entities:\n\n- Anna Berg\n* `Old Harbour`\n• “1934”\n",
        "**Entities of the text:**\nAnna Berg\nOld Harbour\n1934",
        "Anna Berg, Old Harbour, 1934",
        "Entities: Anna Berg, Old Harbour, 1934",
        # Cut off before its end
        '["Anna Berg", "Old Harbour", "1934',
        '```json\n{\n  "entities": [\n    "Anna Berg",\n    "Old Harbour",\n    "1934',
    ],
)
def test_lists(text):
    assert parse_entities(text) == LIST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "I am sorry, but I cannot.",
        "There are no entities",
        "[]",
        "[1, 2]",
        "{}",
        "[" * 9999,
    ],
)
def test_texts_without_a_list(text):
    assert len(parse_entities(text)) < 2


def test_sentences_are_no_entities():
    sentence = "This text speaks of a great many things that all have to do with boats."
    assert parse_entities(f"{sentence}\nAnna Berg\n{'x' * 101}\nOld Harbour") == LIST[:2]


def test_a_list_without_end_is_cut():
    names = [f"Entity {n}" for n in range(3 * MAX_ENTITIES)]
    assert parse_entities("\n".join(names)) == names[:MAX_ENTITIES]


def test_all_groups_where_they_are_few_enough():
    assert choose_groups("abcd", 2, 6, seed=1) == list(combinations("abcd", 2))
    assert choose_groups("abc", 3, 9, seed=1) == [("a", "b", "c")]
    assert choose_groups("a", 2, 9, seed=1) == choose_groups("ab", 3, 9, seed=1) == []


def test_the_choice_is_by_the_seed_and_in_order():
    every = list(combinations("abcdefgh", 2))
    chosen = [choose_groups("abcdefgh", 2, 10, seed) for seed in range(20)]
    assert chosen == [choose_groups("abcdefgh", 2, 10, seed) for seed in range(20)]
    assert len(set(map(tuple, chosen))) == 20
    assert all(len(set(groups)) == 10 and groups == sorted(groups) for groups in chosen)
    assert set().union(*chosen) == set(every)
