"""EntiGraph: a passage's entities, and texts on how they are related (paper v2, baseline).

Source: Yang et al. 2024, "Synthetic continued pretraining". A writer lists the entities of a
passage, then writes a text on each pair, and on triples. All texts about a passage make one
self-edit, so that anything that trains on self-edits takes it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from knowledge.data.passages import Passage
from knowledge.data.prompts import self_edit_values
from knowledge.experiments.entity_lists import choose_groups, parse_entities
from knowledge.method.self_edits import SelfEdit
from knowledge.method.writers import Assignment, Writer, report_missing, write_texts
from knowledge.settings import EntiGraphSettings
from seal.errors import UserError
from seal.prompt_files import load_prompt
from seal.records import Record, write_jsonl
from seal.run import Run
from seal.seeds import derive_seed

ENTITIES = "entigraph-entities"
RELATIONS = {2: "entigraph-pair", 3: "entigraph-triple"}
"""Prompt files by how many entities they relate."""
_PLACES = ("first", "second", "third")


def check_entigraph(settings: EntiGraphSettings, prompts: Path) -> None:
    """Raise UserError for a prompt file that is missing or malformed, and for limits below 1."""
    if min(settings.max_pairs, settings.max_triples) < 1:
        raise UserError("--max_pairs and --max_triples: at least 1 is needed")
    about = frozenset({"title", "passage"})
    load_prompt(prompts / f"{ENTITIES}.txt", about)
    for size, name in RELATIONS.items():
        load_prompt(prompts / f"{name}.txt", about | {*_PLACES[:size]})


def entity_assignments(passages: Sequence[Passage]) -> list[Assignment]:
    """A list of entities to be written for every passage."""
    return [
        Assignment(f"{passage.id}/entities", passage.id, ENTITIES, self_edit_values(passage))
        for passage in passages
    ]


def relations_at_most(settings: EntiGraphSettings) -> int:
    """Texts that are written about a passage with many entities."""
    return sum(_limits(settings).values())


def _limits(settings: EntiGraphSettings) -> dict[int, int]:
    limits = {2: settings.max_pairs}
    return limits | ({3: settings.max_triples} if settings.relations == "pairs+triples" else {})


def write_entigraph(
    run: Run,
    passages: Sequence[Passage],
    writer: Writer,
    settings: EntiGraphSettings,
    seed: int,
    max_missing: float,
) -> tuple[list[SelfEdit], dict[str, int]]:
    """Entities, relations, self-edits: the whole of EntiGraph, as far as it is not done yet.

    Writes RUN/entities.jsonl, relations.jsonl and self_edits.jsonl. Returns the self-edits and the
    run's counts. Raises UserError, with all that came kept, where more than `max_missing` of the
    lists or of the texts are missing.
    """
    without = write_texts(
        run,
        "entities",
        entity_assignments(passages),
        writer,
        seed,
        fields=lambda _, text: {"entities": parse_entities(text)},
        label="lists of entities",
        objection=lambda text: None if len(parse_entities(text)) > 1 else "no list of entities",
    )
    report_missing(run, without, len(passages), max_missing, "lists of entities")
    entities = {record["passage_id"]: record["entities"] for record in run.records("entities")}
    n_entities = sum(map(len, entities.values()))
    relations = _relation_assignments(passages, entities, settings, seed)
    run.say(f"{n_entities:,} entities, {len(relations):,} relations")
    missing = write_texts(
        run,
        "relations",
        relations,
        writer,
        seed,
        fields=lambda *_: {},
        label="relations",
        objection=lambda text: None if text.strip() else "a blank text",
    )
    n_wanted = len(passages) + len(relations)
    report_missing(run, without | missing, n_wanted, max_missing, "lists and texts")
    return _join_relations(run, relations, f"entigraph-{settings.relations}"), {
        "n_entities": n_entities,
        "n_relations": len(relations) - len(missing),
        "n_missing": len(without) + len(missing),
    }


def _relation_assignments(
    passages: Sequence[Passage],
    entities: Mapping[str, Sequence[str]],
    settings: EntiGraphSettings,
    seed: int,
) -> list[Assignment]:
    """A text to be written for every chosen group of entities of every passage that has some.

    The pairs are the same with triples and without.
    """
    return [
        Assignment(
            id=f"{passage.id}/{' + '.join(group)}",
            passage_id=passage.id,
            prompt=RELATIONS[size],
            values=self_edit_values(passage) | dict(zip(_PLACES, group, strict=False)),
        )
        for passage in passages
        for size, most in _limits(settings).items()
        for group in choose_groups(
            entities.get(passage.id, []), size, most, derive_seed(seed, passage.id, size)
        )
    ]


def _join_relations(run: Run, relations: Sequence[Assignment], kind: str) -> list[SelfEdit]:
    """One self-edit per passage of the texts in RUN/relations.jsonl, into RUN/self_edits.jsonl.

    The file is written again at every start: texts that were missing may have come. Each text is a
    line of its own between separators, and so one training sequence, whether lines are split or not
    (golden rule G1).
    """
    written = {record["id"]: record for record in run.records("relations")}
    of_passage: dict[str, list[Record]] = {}
    for item in relations:
        if item.id in written:
            of_passage.setdefault(item.passage_id, []).append(written[item.id])
    self_edits = [
        SelfEdit(
            id=f"{passage_id}/{kind}/0",
            passage_id=passage_id,
            kind=kind,
            text="\n---\n".join(one_line(record["text"]) for record in records),
            finish_reason="length" if any(map(_is_cut_off, records)) else "stop",
            n_tokens=sum(record["n_tokens"] for record in records),
        )
        for passage_id, records in of_passage.items()
    ]
    write_jsonl(run.path("self_edits.jsonl"), (self_edit.record for self_edit in self_edits))
    return self_edits


def one_line(text: str) -> str:
    """A text as a single line, in which nothing separates training sequences."""
    return re.sub(r"-{3,}", "—", " ".join(text.split()))


def _is_cut_off(record: Record) -> bool:
    return record["finish_reason"] == "length"
