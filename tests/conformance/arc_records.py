"""What the records of A1, A2, A4 and A5 speak of: tasks, hashes of items, augmenters by name."""

import ast
import hashlib
from functools import cache, lru_cache
from typing import Any

from arc.puzzles import augmenters
from arc.puzzles.tasks import Item, Pair, Task, load_tasks
from tests.conformance.golden import canonical_json
from tests.support.data import shared_data


@cache
def tasks() -> dict[str, Task]:
    """All tasks of both splits by id."""
    files = [f"arc/arc-agi_{split}_challenges.json" for split in ("training", "evaluation")]
    return {task.id: task for file in files for task in load_tasks(shared_data(file))}


def item_of(task_id: str) -> Item:
    task = tasks()[task_id]
    return Item(task.demonstrations, Pair(task.test_input, task.target))


@lru_cache(10_000)  # the sets of many switches share most of their items
def sha256(item: Item) -> str:
    """Of the canonical JSON of an item as a task, put together from that of its pairs."""
    demonstrations = ",".join(map(_canonical_pair, item.demonstrations))
    text = f'{{"test":[{_canonical_pair(item.test)}],"train":[{demonstrations}]}}'
    return hashlib.sha256(text.encode()).hexdigest()


def set_sha256(items: list[Item]) -> str:
    return hashlib.sha256("\n".join(sorted(map(sha256, items))).encode()).hexdigest()


@lru_cache(10_000)
def _canonical_pair(pair: Pair) -> str:
    return canonical_json(pair._asdict())


def augmenter_named(name: str) -> Any:
    """The augmenter of which `name` is the constructor's call."""
    return _build(ast.parse(name, mode="eval").body)


def _build(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id=kind), args=arguments, keywords=keywords):
            named = {keyword.arg: _build(keyword.value) for keyword in keywords}
            return getattr(augmenters, kind)(*map(_build, arguments), **named)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return tuple(map(_build, parts))
    return ast.literal_eval(node)
