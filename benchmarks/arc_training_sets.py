"""Building ARC training sets: this repository's way beside a naive one, and a defect's extent.

Reads   SEAL_DATA/arc/arc-agi_training_challenges.json
Writes  two Markdown tables to the terminal and, with --output, everything as JSON
Run     OMP_NUM_THREADS=1 python benchmarks/arc_training_sets.py --output runs/arc-items.json

Every task's items are built both ways, one right after the other, for each combination of a
self-edit's four switches, with one permuted copy of each item (the release's setting). The naive
way transforms item by item and tells items apart by their JSON; the program ends if the two
differ in a single item. Then: how many items the release's translation spoils (golden A2).
"""

import json
import platform
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from random import Random

from timing import DEFAULT_DATA

from arc.puzzles.augmenters import (
    Augmentations,
    RandomTranslateXY,
    augmenters_for,
    draw_colors,
    shuffle,
)
from arc.puzzles.grids import Grid, fits
from arc.puzzles.tasks import Item, Pair, Task, load_tasks
from arc.puzzles.training_sets import (
    augmented_items,
    initial_items,
    permuted_items,
    select_items,
    training_items,
)
from seal.command_line.arguments import arg
from seal.command_line.flag_values import LARGEST_SEED
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.seeds import derive_seed

CAP = 250
COMBINATIONS = [Augmentations(*switches) for switches in product([False, True], repeat=4)]
WAYS = ("naive", "ours")


@dataclass(frozen=True)
class Config:
    data: Path = arg("folder of data", DEFAULT_DATA)
    limit: int | None = arg("how many tasks, for a quick trial; default: all", None, at_least=1)
    seed: int = arg(
        "random draws of translations, colours, orders", 0, at_least=0, at_most=LARGEST_SEED
    )
    output: Path | None = arg("JSON file for the measurements", None)


@dataclass(frozen=True)
class Measurement:
    """One combination of switches, on all tasks."""

    switches: str
    """Names of those that are on."""
    items: float
    """Per task, before the choice of 250."""
    naive_seconds: float
    """Processor time per task; wall time would also count other work."""
    our_seconds: float
    naive_mebibytes: float
    """Peak while the items of the task are built whose items have most cells."""
    our_mebibytes: float


@dataclass(frozen=True)
class Defect:
    """How far translation with different shifts of a task's grids reaches."""

    switches: str
    share_of_items: float
    """Of all the items that all tasks are trained on, at most 250 each."""
    share_of_tasks: float
    """That are trained on one such item at least."""


def main(config: Config) -> None:
    path = config.data / "arc/arc-agi_training_challenges.json"
    # A task's test inputs share its demonstrations
    tasks = [task for task in load_tasks(path) if task.id.endswith("-0")][: config.limit]
    if not tasks:
        raise UserError("no tasks to measure; --limit must be at least 1")
    print(f"{len(tasks)} tasks\n")
    print("| switches | items a task | naive tasks/s | ours | speed | naive peak MiB | ours |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    measurements = []
    for augmentations in COMBINATIONS:
        measurements.append(measure(tasks, augmentations, config))
        print_row(measurements[-1])
    print("\n| switches | items translated apart | tasks with such items |\n|---|---:|---:|")
    extents = []
    for augmentations in COMBINATIONS:
        if augmentations.basic:
            extents.append(row := measure_defect(tasks, augmentations, config.seed))
            shares = f"{row.share_of_items:.1%} | {row.share_of_tasks:.1%}"
            print(f"| {row.switches} | {shares} |", flush=True)
    if config.output is not None:
        write_output(config, len(tasks), measurements, extents)


# Time and memory


def measure(tasks: Sequence[Task], augmentations: Augmentations, config: Config) -> Measurement:
    """Build every task's items both ways; raises RuntimeError if they differ."""
    seconds, n_items, n_cells = dict.fromkeys(WAYS, 0.0), 0, []
    for task in tasks:
        seed, built = derive_seed(config.seed, task.id), {}
        for way in WAYS:
            start = time.process_time()
            built[way] = build(way, task, augmentations, seed)
            seconds[way] += time.process_time() - start
        if built["naive"] != built["ours"]:
            raise RuntimeError(f"the two ways differ on task {task.id}, {augmentations}")
        n_items += len(built["ours"])
        n_cells.append(sum(map(cells, built["ours"])))
    largest = tasks[n_cells.index(max(n_cells))]
    memory = {
        way: peak_mebibytes(partial(build, way, largest, augmentations, config.seed))
        for way in WAYS
    }
    return Measurement(
        name(augmentations),
        n_items / len(tasks),
        seconds["naive"] / len(tasks),
        seconds["ours"] / len(tasks),
        memory["naive"],
        memory["ours"],
    )


def build(way: str, task: Task, augmentations: Augmentations, seed: int) -> list[Item]:
    made = training_items if way == "ours" else naive_items
    return made(task.demonstrations, augmentations, seed)


def cells(item: Item) -> int:
    return sum(len(grid) * len(grid[0]) for pair in pairs_of(item) for grid in pair)


def peak_mebibytes(action: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def print_row(row: Measurement) -> None:
    rates = f"{1 / row.naive_seconds:.1f} | {1 / row.our_seconds:.1f}"
    speed = f"{row.naive_seconds / row.our_seconds:.1f}x"
    memory = f"{row.naive_mebibytes:.1f} | {row.our_mebibytes:.1f}"
    print(f"| {row.switches} | {row.items:.0f} | {rates} | {speed} | {memory} |", flush=True)


# The naive way


def naive_items(
    demonstrations: Sequence[Pair], augmentations: Augmentations, seed: int
) -> list[Item]:
    """The items of `training_items`, by the same draws."""
    rng = Random(seed)
    augmenters = augmenters_for(augmentations)
    items = []
    for leave_n in (1, 2):
        plain = initial_items(demonstrations, leave_n)
        for augmenter in augmenters:
            for item in initial_items(demonstrations, leave_n):
                if isinstance(augmenter, RandomTranslateXY):
                    plain.append(augmenter(item, rng))
                else:
                    transformed = map_grids(item, augmenter)
                    if all(fits(grid) for pair in pairs_of(transformed) for grid in pair):
                        plain.append(transformed)
        plain = sorted_without_duplicates(plain)
        permuted = []
        for item in plain:
            copy = recolor(item, rng) if augmenters else item
            permuted.append(copy._replace(demonstrations=shuffle(copy.demonstrations, rng)))
        items += sorted_without_duplicates([*plain, *permuted])
    return items


def sorted_without_duplicates(items: Iterable[Item]) -> list[Item]:
    return sorted({json.dumps(item): item for item in items}.values())


def recolor(item: Item, rng: Random) -> Item:
    used = {cell for pair in pairs_of(item) for grid in pair for row in grid for cell in row}
    table = draw_colors(used, rng)
    return map_grids(item, lambda grid: tuple(tuple(table[c] for c in row) for row in grid))


def map_grids(item: Item, change: Callable[[Grid], Grid]) -> Item:
    pairs = [Pair(change(pair.input), change(pair.output)) for pair in pairs_of(item)]
    return Item(tuple(pairs[:-1]), pairs[-1])


def pairs_of(item: Item) -> tuple[Pair, ...]:
    return (*item.demonstrations, item.test)


# The release's translation


def measure_defect(tasks: Sequence[Task], augmentations: Augmentations, seed: int) -> Defect:
    """How many of the chosen items no common shift makes of a task's own items."""
    n_items = n_apart = n_tasks = 0
    for task in tasks:
        items, apart = defects(task, augmentations, derive_seed(seed, task.id))
        chosen = select_items(items, lambda item: item, CAP, seed)
        found = sum(item in apart for item in chosen)
        n_items += len(chosen)
        n_apart += found
        n_tasks += found > 0
    return Defect(name(augmentations), n_apart / n_items, n_tasks / len(tasks))


def defects(task: Task, augmentations: Augmentations, seed: int) -> tuple[list[Item], set[Item]]:
    """The release's items of a task, and those whose grids were translated apart.

    Permuted copies of such items are such items too. An item that also comes about by shifting all
    grids alike, or without translation, is none.
    """
    rng, augmenters = Random(seed), augmenters_for(augmentations)
    without = [augmenter for augmenter in augmenters if augmenter != RandomTranslateXY()]
    items, apart = [], set()
    for leave_n in (1, 2):
        together = set(augmented_items(task.demonstrations, leave_n, without, rng))
        for down, right in product(range(4), repeat=2):
            shifted = [
                Pair(*(cyclic_shift(grid, down, right) for grid in pair))
                for pair in task.demonstrations
            ]
            together.update(initial_items(shifted, leave_n))
        found = set()
        plain = augmented_items(task.demonstrations, leave_n, augmenters, rng, release_bugs=True)
        for item in plain:
            both = permuted_items([item], 1, rng, new_colors=True)
            found.update(both)
            if item not in together:
                apart.update(both)
        items += sorted(found)
    if items != training_items(task.demonstrations, augmentations, seed, release_bugs=True):
        raise RuntimeError(f"these are not the items of task {task.id}")
    return items, apart


def cyclic_shift(grid: Grid, down: int, right: int) -> Grid:
    start, first = -down % len(grid), -right % len(grid[0])
    return tuple(row[first:] + row[:first] for row in grid[start:] + grid[:start])


def name(augmentations: Augmentations) -> str:
    on = [switch for switch, value in augmentations._asdict().items() if value]
    return ", ".join(on) or "none"


def write_output(
    config: Config,
    n_tasks: int,
    measurements: Sequence[Measurement],
    extents: Sequence[Defect],
) -> None:
    record = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        },
        "tasks": n_tasks,
        "rows": [asdict(row) for row in measurements],
        "defects": [asdict(row) for row in extents],
    }
    config.output.parent.mkdir(parents=True, exist_ok=True)
    config.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    run_program(main, Config)
