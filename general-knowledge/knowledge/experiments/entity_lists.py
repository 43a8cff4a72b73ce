"""Entities of a passage as a language model lists them, and which of them to relate (EntiGraph)."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from random import Random
from typing import Any

MAX_ENTITIES = 50
"""Entities of a list that count, the first ones; a base model may list names without end."""
_LONGEST = 100  # characters
_MOST_WORDS = 10  # what has more is a sentence
_FEWEST_BETWEEN_COMMAS = 3  # "I am sorry, but I cannot" is not a list
_BULLET = re.compile(r"^\s*(?:[-*•–]+|\(?\d+[.):])\s+")
_AROUND = " \t\"'“”‘’`*_,;[]{}"


def parse_entities(text: str) -> list[str]:
    """The entities that a model lists in `text`, without repetitions, at most MAX_ENTITIES.

    Taken are the first JSON array of names (also under a key of an object, also within a code
    fence), else lines with or without bullets, else a single line with commas. A JSON text that was
    cut off is read by its lines. [] without a list.
    """
    names = _names_in_json(text)
    if names is None:
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


def _names_in_json(text: str) -> list[str] | None:
    """The names in the first JSON value of `text` that has some."""
    decoder = json.JSONDecoder()
    for start in re.finditer(r"[\[{]", text):
        try:
            value, _ = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if names := list(_names(value)):
            return names
    return None


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
    """Groups of `size` entities: all, or `most` of them chosen at random; in the entities' order.

    The choice depends on the arguments alone, and a group's order on that of the entities.
    """
    groups = list(combinations(entities, size))
    chosen = sorted(Random(seed).sample(range(len(groups)), min(most, len(groups))))
    return [groups[index] for index in chosen]
