"""EntiGraph: entities, the texts that relate them, and one self-edit of all texts on a passage."""

import json
import re
from itertools import combinations

import pytest

from knowledge.data.passages import Passage
from knowledge.experiments.entigraph import (
    MAX_ENTITIES,
    check_entigraph,
    choose_groups,
    one_line,
    parse_entities,
    relations_at_most,
    write_entigraph,
)
from knowledge.method.training_texts import MAX_PIECES, training_texts
from knowledge.method.writers import ATTEMPTS, ChatWriter
from knowledge.settings import PROMPTS, EntiGraphSettings, SamplingSettings
from seal.chat.client import ChatClient
from seal.errors import UserError
from seal.records import read_jsonl
from seal.run import Run
from tests.support.chat_stub import completion, refusal, running_stub

PASSAGES = [Passage(name, name.title(), f"All about the {name}.", ()) for name in ("moth", "ferry")]
NAMES = ["Anna", "Berg", "Cove", "Dock"]


def reply(prompt: str):
    """Entities as JSON; a relation names its entities and tries to look like several texts."""
    if "JSON" in prompt:
        return completion(json.dumps(NAMES))
    named = re.findall(r"^\d\. (.+)$", prompt, re.MULTILINE)
    return completion(f"{' and '.join(named)}:\n---\nQuestion 1: of {prompt.split()[0]}.\n")


@pytest.fixture
def stub():
    with running_stub() as running:
        running.reply = reply
        yield running


def run_it(run: Run, stub, relations="pairs", passages=PASSAGES, max_missing=0.0, **limits):
    client = ChatClient("writer", stub.url)
    writer = ChatWriter(client, SamplingSettings(), concurrency=2)
    settings = EntiGraphSettings(relations=relations, **limits)
    return write_entigraph(run, passages, writer, settings, 1, max_missing)


def test_defaults_are_as_many_texts_as_one_self_edit_trains_on():
    both = relations_at_most(EntiGraphSettings(relations="pairs+triples"))
    assert sum(both.values()) == MAX_PIECES
    assert relations_at_most(EntiGraphSettings()) == {2: 15}


@pytest.mark.parametrize(("relations", "n"), [("pairs", 6), ("pairs+triples", 6 + 4)])
def test_one_self_edit_per_passage_with_every_relation(stub, tmp_path, relations, n):
    self_edits, counts = run_it(Run(tmp_path), stub, relations)
    assert counts == {"n_entities": 8, "n_relations": 2 * n, "n_missing": 0}
    assert [(s.id, s.kind) for s in self_edits] == [
        (f"{passage.id}/entigraph-{relations}/0", f"entigraph-{relations}") for passage in PASSAGES
    ]
    assert len(stub.bodies) == 2 * (1 + n)
    for split_newlines in (True, False):
        texts = training_texts(
            "T", "C", self_edits[0].text, split_newlines=split_newlines, add_context=False
        )
        assert len(texts) == n
        assert texts[0] == "T\nAnna and Berg: — Question 1: of Moth."
    if n == 10:
        assert texts[-1].startswith("T\nBerg and Cove and Dock")


def test_pairs_are_the_same_with_triples(stub, tmp_path):
    limits = {"max_pairs": 2, "max_triples": 3}
    (pairs, *_), _ = run_it(Run(tmp_path / "a"), stub, "pairs", **limits)
    (both, *_), _ = run_it(Run(tmp_path / "b"), stub, "pairs+triples", **limits)
    assert both.text.startswith(f"{pairs.text}\n---\n")
    assert (pairs.text.count("---"), both.text.count("---")) == (1, 4)


def test_a_finished_run_asks_nothing_and_says_the_same(stub, tmp_path):
    first = run_it(Run(tmp_path), stub)
    before = (tmp_path / "self_edits.jsonl").read_bytes()
    asked = len(stub.bodies)
    assert run_it(Run(tmp_path), stub) == first
    assert (tmp_path / "self_edits.jsonl").read_bytes() == before and len(stub.bodies) == asked


def test_a_list_that_cannot_be_read_is_asked_for_again_and_then_missing(stub, tmp_path):
    def refuse_moth(prompt):
        moth = prompt.startswith("Moth") and "JSON" in prompt
        return completion("I am sorry, but I cannot.") if moth else reply(prompt)

    stub.reply = refuse_moth
    run = Run(tmp_path)
    with pytest.raises(UserError, match=r"1 of 2 lists of entities .*no list of entities"):
        run_it(run, stub)
    assert len(stub.bodies) == 1 + ATTEMPTS
    assert [record["id"] for record in read_jsonl(run.path("missing.jsonl"))] == ["moth/entities"]
    self_edits, counts = run_it(run, stub, max_missing=0.5)
    assert [s.passage_id for s in self_edits] == ["ferry"] and counts["n_missing"] == 1
    stub.reply = reply
    self_edits, counts = run_it(run, stub)
    assert [s.passage_id for s in self_edits] == ["moth", "ferry"] and counts["n_missing"] == 0


def test_a_missing_relation_comes_with_a_later_start(stub, tmp_path):
    stub.reply = lambda prompt: (
        refusal(400, "no") if "1. Anna\n2. Berg" in prompt else reply(prompt)
    )
    run = Run(tmp_path)
    with pytest.raises(UserError, match=r"2 of 14 lists and texts .*status 400: no"):
        run_it(run, stub)
    self_edits, counts = run_it(run, stub, max_missing=0.2)
    assert (counts["n_relations"], counts["n_missing"]) == (10, 2)
    assert not any("Anna and Berg" in s.text for s in self_edits)
    missing = [record["id"] for record in read_jsonl(run.path("missing.jsonl"))]
    assert missing == ["moth/Anna + Berg", "ferry/Anna + Berg"]
    stub.reply = reply
    self_edits, counts = run_it(run, stub)
    assert counts["n_missing"] == 0 and all(s.text.startswith("Anna and Berg") for s in self_edits)
    assert read_jsonl(run.path("missing.jsonl")) == []


def test_a_cut_off_text_shows_in_the_self_edit(stub, tmp_path):
    def cut(prompt):
        return completion("x", "length") if "1. Cove\n2. Dock" in prompt else reply(prompt)

    stub.reply = cut
    self_edits, _ = run_it(Run(tmp_path), stub, passages=PASSAGES[:1])
    assert self_edits[0].finish_reason == "length"


def test_one_line():
    assert one_line(" a\n\nb\x0bc --- d ----- e -- f ") == "a b c — d — e -- f"


def test_prompts_are_checked(tmp_path):
    assert len(check_entigraph(PROMPTS)) == 3
    with pytest.raises(UserError, match=r"entigraph-entities\.txt: no such file"):
        check_entigraph(tmp_path)


# Lists of entities are read however a model writes them

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
