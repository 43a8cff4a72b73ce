"""ARC tasks: demonstrations of one rule, and test inputs to apply it to."""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from arc.puzzles.grids import Grid, as_grid
from arc.settings import TREE, TaskSettings
from seal.errors import UserError
from seal.records import field, read_json, read_text

PRESETS = TREE / "presets"
"""Lists of task ids that ship: `<preset>.txt`."""

# Ids become names of files and folders
_ID = re.compile(r"\w[\w.-]*")
_LONGEST_ID = 100


class Pair(NamedTuple):
    """An input grid and the output grid that the rule makes of it."""

    input: Grid
    output: Grid


class Item(NamedTuple):
    """A training example: demonstrations of a rule, and one pair to predict from them."""

    demonstrations: tuple[Pair, ...]
    test: Pair

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs, the test last."""
        return (*self.demonstrations, self.test)


@dataclass(frozen=True)
class Task:
    """One test input of an ARC task; `id` is the task's, a dash, and the test input's index."""

    id: str
    demonstrations: tuple[Pair, ...]
    test_input: Grid
    target: Grid | None = None
    """None where the solution is unknown."""


def load_tasks(path: Path, solutions: Path | None = None) -> list[Task]:
    """One Task per test input, in the order of the file, or of the names of a folder's files.

    `path` is one of
    - Kaggle's challenges file, {id: {"train": [...], "test": [...]}};
    - a folder of files with one task each, as in ARC's repository; the file's stem is the id;
    - one such file.

    Targets come from the solutions file, {id: [grid, ...]}, which may hold further tasks. Without
    it, they come from the file beside `path` that is named "solutions" where `path` is named
    "challenges", or else from the outputs of the test pairs, where there are any.

    Raises UserError, with file, task and place, for anything missing or malformed.
    """
    tasks = [task for entry in _entries(path) for task in _tasks_of(*entry)]
    if not tasks:
        raise UserError(f"{path}: no tasks; add some")
    if solutions is None and "challenges" in path.name:
        beside = path.with_name(path.name.replace("challenges", "solutions"))
        solutions = beside if beside.exists() else None
    return tasks if solutions is None else _with_solutions(tasks, solutions)


def select_tasks(
    tasks: Sequence[Task], task_ids: str | None, n_tasks: int | None, seed: int
) -> list[Task]:
    """The tasks that `task_ids` names, or `n_tasks` of them, drawn by the seed; None means all.

    `task_ids` is a preset or a file with an id a line, whose order counts; "#" begins a comment. An
    id without an index means all test inputs of its task. A draw depends on the set of tasks alone.
    Raises UserError for an unknown preset or id, and if there are fewer than `n_tasks`.
    """
    chosen = list(tasks) if task_ids is None else _named(tasks, task_ids)
    if n_tasks is None:
        return chosen
    if not 1 <= n_tasks <= len(chosen):
        raise UserError(
            f"{n_tasks} tasks are wanted, of {len(chosen)} available; change --n_tasks or name more"
            " tasks"
        )
    chosen.sort(key=lambda task: task.id)
    random.Random(seed).shuffle(chosen)
    return chosen[:n_tasks]


def read_tasks(settings: TaskSettings, seed: int) -> list[Task]:
    """The tasks that a program's flags ask for; raises UserError as the functions above do."""
    tasks = load_tasks(settings.tasks, settings.solutions)
    return select_tasks(tasks, settings.task_ids, settings.n_tasks, seed)


def require_targets(tasks: Sequence[Task]) -> None:
    """Raises UserError if the solution of a task is unknown."""
    unsolved = [task.id for task in tasks if task.target is None]
    if unsolved:
        raise UserError(
            f"no solution for {len(unsolved)} of {len(tasks)} tasks, the first {unsolved[0]}; give"
            " the solutions file with --solutions"
        )


def _entries(path: Path) -> list[tuple[str, Any, str]]:
    """Id and JSON of every task, and the words that begin messages about it."""
    if path.is_dir():
        # macOS and editors leave hidden files about
        files = sorted(file for file in path.glob("*.json") if not file.name.startswith("."))
        if not files:
            raise UserError(f"{path}: no .json files; name the folder that holds the tasks")
        return [(file.stem, read_json(file), str(file)) for file in files]
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: neither one task nor {{id: task}}; give ARC's or Kaggle's layout")
    if {"train", "test"} & content.keys():
        return [(path.stem, content, str(path))]
    return [(name, task, f"{path} task {name}") for name, task in content.items()]


def _tasks_of(id: str, content: Any, where: str) -> Iterator[Task]:
    if not _ID.fullmatch(id) or len(id.encode()) > _LONGEST_ID:
        wanted = f"an id of letters, digits, dots, dashes, at most {_LONGEST_ID} bytes"
        raise UserError(f"{where[:200]}: {id[:40]!r} is not {wanted}; rename it")
    demonstrations = tuple(Pair(*grids) for grids in _pairs(content, "train", where))
    for index, grids in enumerate(_pairs(content, "test", where)):
        yield Task(f"{id}-{index}", demonstrations, *grids)


def _pairs(content: Any, key: str, where: str) -> Iterator[list[Grid]]:
    """Input and output of each pair under `key`; a test may lack the output."""
    pairs = field(content, key, object, where)
    if not isinstance(pairs, list) or not pairs:
        raise UserError(f'{where}: "{key}" must be a list with at least one pair; fill it in')
    for index, pair in enumerate(pairs):
        place = f"{where} {key}[{index}]"
        grids = [_grid(field(pair, "input", object, place), f"{place} input")]
        if key == "train" or "output" in pair:
            grids.append(_grid(field(pair, "output", object, place), f"{place} output"))
        yield grids


def _grid(rows: Any, where: str) -> Grid:
    try:
        return as_grid(rows)
    except ValueError as error:
        raise UserError(f"{where}: {error}; fix this grid") from None


def _with_solutions(tasks: list[Task], path: Path) -> list[Task]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: not {{id: [grid, ...]}}; give Kaggle's solutions file")
    named = _by_name(tasks)
    missing = [name for name in named if name not in content]
    if missing:
        raise UserError(
            f"{path}: no solution for {len(missing)} of {len(named)} tasks, the first {missing[0]};"
            " give the solutions file of the same split"
        )
    solved = []
    for name, group in named.items():
        grids, where = content[name], f"{path} task {name}"
        found = len(grids) if isinstance(grids, list) else repr(str(grids)[:40])
        if found != len(group):
            raise UserError(
                f"{where}: found {found}, and the task has {len(group)} test inputs; give a list"
                " with a grid for each"
            )
        for index, (task, rows) in enumerate(zip(group, grids, strict=True)):
            solved.append(replace(task, target=_grid(rows, f"{where} [{index}]")))
    return solved


def _by_name(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """The test inputs of each task, by the id without its index."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.id.rpartition("-")[0], []).append(task)
    return groups


def _named(tasks: Sequence[Task], task_ids: str) -> list[Task]:
    """The tasks of a preset or a file of ids, in its order."""
    presets = {path.stem: path for path in sorted(PRESETS.glob("*.txt"))}
    path = presets.get(task_ids, Path(task_ids))
    if not path.exists():
        raise UserError(
            f"{task_ids}: neither a file of ids nor a preset; the presets are {', '.join(presets)}"
        )
    known = _by_name(tasks) | {task.id: [task] for task in tasks}
    chosen: dict[str, Task] = {}
    for row, line in enumerate(read_text(path).split("\n"), start=1):
        name = line.partition("#")[0].strip()
        if name and name not in known:
            raise UserError(
                f"{path} row {row}: {name!r} is not among the {len(tasks)} tasks that were loaded;"
                " give the file of its split, or remove the row"
            )
        chosen |= {task.id: task for task in known.get(name, [])}
    if not chosen:
        raise UserError(f"{path}: no ids; write one a line")
    return list(chosen.values())
