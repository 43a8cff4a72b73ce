"""EntiGraph: a passage's entities, and texts on how they are related (paper v2, baseline).

Source: Yang et al. 2024, "Synthetic continued pretraining". A writer lists the entities of a
passage, then writes a text on each pair, and on triples. All texts about a passage make one
self-edit, so that anything that trains on self-edits takes it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

from knowledge.data.passages import Passage
from knowledge.data.prompts import self_edit_values
from knowledge.method.self_edits import SelfEdit
from knowledge.method.writers import Assignment, Writer, WrittenText, report_missing, write_texts
from knowledge.settings import EntiGraphSettings
from seal.prompt_files import Prompt, load_prompt
from seal.run import Run
from seal.seeds import derive_seed

ENTITIES = "entigraph-entities"
RELATIONS = {2: "entigraph-pair", 3: "entigraph-triple"}
"""Prompt files by how many entities they relate."""
_PLACES = ("first", "second", "third")
MAX_ENTITIES = 50
"""Entities of a list that count, the first ones; a base model may list names without end."""
_LONGEST = 100  # characters
_MOST_WORDS = 10  # what has more is a sentence
_FEWEST_BETWEEN_COMMAS = 3  # "I am sorry, but I cannot" is not a list
_BULLET = re.compile(r"^\s*(?:[-*•–]+|\(?\d+[.):])\s+")
_AROUND = " \t\"'“”‘’`*_,;[]{}"


def check_entigraph(prompts: Path) -> list[Prompt]:
    """The prompts of EntiGraph; raises UserError for a file that is missing or malformed."""
    wanted = [(ENTITIES, 0), *((name, size) for size, name in RELATIONS.items())]
    about = frozenset({"title", "passage"})
    return [load_prompt(prompts / f"{name}.txt", about | {*_PLACES[:n]}) for name, n in wanted]


def entity_assignments(passages: Sequence[Passage]) -> list[Assignment]:
    """A list of entities to be written for every passage."""
    return [
        Assignment(f"{passage.id}/entities", passage.id, ENTITIES, self_edit_values(passage))
        for passage in passages
    ]


def relations_at_most(settings: EntiGraphSettings) -> dict[int, int]:
    """Texts about a passage with many entities, by how many entities they relate."""
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
    """Write what RUN/entities.jsonl and relations.jsonl lack, and RUN/self_edits.jsonl.

    Returns the self-edits and the run's counts. Raises UserError, with all that came kept, where
    more than `max_missing` of the lists or of the texts are missing.
    """
    assignments = entity_assignments(passages)
    without = write_texts(
        run,
        "entities",
        assignments,
        writer,
        seed,
        fields=lambda _, text: {"entities": parse_entities(text)},
        label="lists of entities",
        objection=lambda text: None if len(parse_entities(text)) > 1 else "no list of entities",
    )
    report_missing(run, without, len(passages), max_missing, "lists of entities")
    listed = {record.id: record.text for record in run.records("entities", WrittenText)}
    entities = {
        item.passage_id: parse_entities(listed[item.id])
        for item in assignments
        if item.id in listed
    }
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
    """A text for every chosen group of entities; pairs are the same with and without triples."""
    return [
        Assignment(
            id=f"{passage.id}/{' + '.join(group)}",
            passage_id=passage.id,
            prompt=RELATIONS[size],
            values=self_edit_values(passage) | dict(zip(_PLACES, group, strict=False)),
        )
        for passage in passages
        for size, most in relations_at_most(settings).items()
        for group in choose_groups(
            entities.get(passage.id, []), size, most, derive_seed(seed, passage.id, size)
        )
    ]


def _join_relations(run: Run, relations: Sequence[Assignment], kind: str) -> list[SelfEdit]:
    """One self-edit per passage of the texts in RUN/relations.jsonl, into RUN/self_edits.jsonl.

    The file is written again at every start: texts that were missing may have come. Each text is
    one line between separators, so one training sequence, with split lines too (golden rule G1).
    """
    written = {record.id: record for record in run.records("relations", WrittenText)}
    of_passage: dict[str, list[WrittenText]] = {}
    for item in relations:
        if item.id in written:
            of_passage.setdefault(item.passage_id, []).append(written[item.id])
    self_edits = [
        SelfEdit(
            id=f"{passage_id}/{kind}/0",
            passage_id=passage_id,
            kind=kind,
            text="\n---\n".join(one_line(record.text) for record in records),
            finish_reason="length" if "length" in {r.finish_reason for r in records} else "stop",
            n_tokens=sum(record.n_tokens for record in records),
        )
        for passage_id, records in of_passage.items()
    ]
    run.replace("self_edits", (self_edit.record for self_edit in self_edits))
    return self_edits


def one_line(text: str) -> str:
    """A text as a single line, in which nothing separates training sequences."""
    return re.sub(r"-{3,}", "—", " ".join(text.split()))


# Entities as a language model lists them


def parse_entities(text: str) -> list[str]:
    """The entities that a model lists in `text`, without repetitions, at most MAX_ENTITIES.

    Taken are the first JSON array of names (also under a key of an object, also within a code
    fence), else lines with or without bullets, else a single line with commas. A JSON text that was
    cut off is read by its lines. [] without a list.
    """
    names = _names_in_json(text)
    if not names:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) == 1:
            parts = lines[0].rpartition(":")[2].split(",")
            lines = parts if len(parts) >= _FEWEST_BETWEEN_COMMAS else []
        names = [_BULLET.sub("", line) for line in lines if not _is_frame(line)]
    found: dict[str, str] = {}
    for name in names:
        words = name.strip(_AROUND).split()
        entity = " ".join(words)
        if 0 < len(words) <= _MOST_WORDS and len(entity) <= _LONGEST:
            found.setdefault(entity.casefold(), entity)
    return list(found.values())[:MAX_ENTITIES]


def _is_frame(line: str) -> bool:
    """Whether a line stands around a list: a heading, a code fence, the key of a JSON object."""
    return line.strip().startswith("```") or line.rstrip(" [{*").endswith(":")


def _names_in_json(text: str) -> list[str]:
    """The names in the first JSON value of `text` that has some; [] without one."""
    decoder = json.JSONDecoder()
    for start in re.finditer(r"[\[{]", text):
        try:
            value, _ = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if names := list(_names(value)):
            return names
    return []


def _names(value: Any) -> Iterator[str]:
    """Names in a list, in an object's first list with names, or in objects with a name each."""
    if isinstance(value, list):
        for item in value:
            named = item.get("name", item.get("entity")) if isinstance(item, dict) else item
            if isinstance(named, str):
                yield named
    elif isinstance(value, dict):
        lists = [value.get("entities"), *value.values()]
        yield from next((names for entry in lists if (names := list(_names(entry)))), [])


def choose_groups(
    entities: Sequence[str], size: int, most: int, seed: int
) -> list[tuple[str, ...]]:
    """Groups of `size` entities in their order: all, or `most` drawn as the arguments alone say."""
    groups = list(combinations(entities, size))
    chosen = sorted(Random(seed).sample(range(len(groups)), min(most, len(groups))))
    return [groups[index] for index in chosen]
