"""Tasks from every layout; each defect of a file is named with its place; selection by id."""

import copy
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc.puzzles.tasks import PRESETS, Pair, Task, load_tasks, require_targets, select_tasks
from seal.errors import UserError
from tests.arc.strategies import grids
from tests.support.data import REPOSITORY, shared_data

TASK = {
    "train": [
        {"input": [[1, 2]], "output": [[2, 1]]},
        {"input": [[3], [4]], "output": [[3], [4]]},
    ],
    "test": [{"input": [[5, 6]]}, {"input": [[7, 8]]}],
}
SOLUTIONS = [[[6, 5]], [[8, 7]]]
SOLVED = {
    **TASK,
    "test": [{**pair, "output": grid} for pair, grid in zip(TASK["test"], SOLUTIONS, strict=True)],
}
DEMONSTRATIONS = (Pair(((1, 2),), ((2, 1),)), Pair(((3,), (4,)), ((3,), (4,))))


def expected(name: str) -> list[Task]:
    return [
        Task(f"{name}-0", DEMONSTRATIONS, ((5, 6),), ((6, 5),)),
        Task(f"{name}-1", DEMONSTRATIONS, ((7, 8),), ((8, 7),)),
    ]


@pytest.fixture
def write(tmp_path):
    """Write a value, or a text as it is, to a file; returns its path."""

    def write_value(name: str, value: object) -> Path:
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return write_value


def refusal(path: Path, solutions: Path | None = None) -> str:
    """The message about the files, less their folder."""
    with pytest.raises(UserError) as raised:
        load_tasks(path, solutions)
    assert "\n" not in str(raised.value)
    return str(raised.value).replace(f"{path.parent}/", "")


# Layouts


def test_kaggles_two_files(write):
    challenges = write("challenges.json", {"b": TASK, "a": TASK})
    named = write("x.json", {"a": SOLUTIONS, "b": SOLUTIONS, "c": []})
    assert load_tasks(challenges, named) == expected("b") + expected("a")


def test_the_solutions_beside_are_found(write):
    challenges = write("my-challenges-1.json", {"a": TASK})
    assert [task.target for task in load_tasks(challenges)] == [None, None]
    write("my-solutions-1.json", {"a": SOLUTIONS})
    assert load_tasks(challenges) == expected("a")


def test_named_solutions_come_before_those_beside_and_those_within(write):
    challenges = write("challenges.json", {"a": SOLVED})
    assert load_tasks(challenges) == expected("a")
    write("solutions.json", {"a": [[[1]], [[2]]]})
    assert [task.target for task in load_tasks(challenges)] == [((1,),), ((2,),)]
    assert load_tasks(challenges, write("x.json", {"a": SOLUTIONS})) == expected("a")


def test_a_file_with_one_task(write):
    assert load_tasks(write("a.b_c.json", SOLVED)) == expected("a.b_c")


def test_a_folder_of_tasks(write, tmp_path):
    for name in ["b.json", "a.json"]:
        write(name, SOLVED)
    write("notes.txt", "no task")
    write("._a.json", "no task")
    assert load_tasks(tmp_path) == expected("a") + expected("b")


def test_other_keys_are_ignored(write):
    assert load_tasks(write("a.json", {**SOLVED, "name": "x"})) == expected("a")


@given(st.lists(st.tuples(grids(5), grids(5)), min_size=2, max_size=4))
def test_every_layout_gives_the_same_tasks(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("tasks")
    task = {
        key: [{"input": given_grid, "output": answer} for given_grid, answer in part]
        for key, part in [("train", pairs[1:]), ("test", pairs[:1])]
    }
    bare = {**task, "test": [{"input": pairs[0][0]}]}
    (folder / "t.json").write_text(json.dumps(task))
    (folder / "challenges.txt").write_text(json.dumps({"t": bare}))
    (folder / "solutions.txt").write_text(json.dumps({"t": [pairs[0][1]]}))
    demonstrations = tuple(Pair(*pair) for pair in pairs[1:])
    for name in ["t.json", ".", "challenges.txt"]:
        assert load_tasks(folder / name) == [Task("t-0", demonstrations, *pairs[0])]


# Defects


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"a": }', "t.json: malformed JSON at line 1 column 7"),
        ([TASK], "t.json: neither one task nor {id: task}"),
        ({}, "t.json: no tasks"),
        ({"a": 3}, "t.json task a: expected an object with \"train\", found '3'"),
        ({"a": TASK, "b": {}}, 't.json task b: "train" is missing'),
        ({"../a": TASK}, "t.json task ../a: '../a' is not an id"),
        ({"": TASK}, "is not an id"),
        ({"test": TASK["test"]}, 't.json: "train" is missing'),
        ({"train": TASK["train"]}, 't.json: "test" is missing'),
    ],
)
def test_wrong_files(write, value, message):
    assert message in refusal(write("t.json", value))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["train"], [], 't.json task a: "train" must be a list with at least one pair'),
        (["train"], {}, '"train" must be a list'),
        (["test"], [], 't.json task a: "test" must be a list with at least one pair'),
        (["train", 1], [], 'task a train[1]: expected an object with "input"'),
        (["train", 1], {"input": [[1]]}, 'task a train[1]: "output" is missing'),
        (["test", 1], {"output": [[1]]}, 'task a test[1]: "input" is missing'),
        (["train", 1, "output"], [[1, 2], [3]], "a train[1] output: row 1 has 1 cells, row 0 has"),
        (["train", 0, "input"], [[0]] * 31, "a train[0] input: it is 31 x 1;"),
        (["train", 0, "input"], [[0] * 31], "a train[0] input: it is 1 x 31;"),
        (["test", 0, "input"], [[1], [10]], "a test[0] input: row 1 holds '10'; colours are"),
        (["test", 0, "input"], [[-1]], "a test[0] input: row 0 holds '-1'"),
        (["test", 0, "input"], [[True]], "a test[0] input: row 0 holds 'True'"),
        (["test", 1, "output"], [[1.0]], "a test[1] output: row 0 holds '1.0'"),
        (["test", 1, "output"], None, "a test[1] output: a grid is a list of rows"),
        (["test", 1, "output"], [], "a test[1] output: a grid is a list of rows"),
    ],
)
def test_defects_of_a_task(write, place, value, message):
    task = copy.deepcopy(SOLVED)
    *parents, last = place
    damaged = task
    for key in parents:
        damaged = damaged[key]
    damaged[last] = value
    assert message in refusal(write("t.json", {"a": task}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "s.json: not {id: [grid, ...]}"),
        ({"x": SOLUTIONS}, "s.json: no solution for 2 of 2 tasks, the first b;"),
        ({"b": SOLUTIONS}, "s.json: no solution for 1 of 2 tasks, the first a;"),
        ({"b": SOLUTIONS, "a": SOLUTIONS[:1]}, "s.json task a: found 1, and the task has 2 test"),
        ({"b": SOLUTIONS, "a": SOLUTIONS * 2}, "s.json task a: found 4, and the task has 2 test"),
        ({"b": SOLUTIONS, "a": "xx"}, "s.json task a: found 'xx', and"),
        ({"b": SOLUTIONS, "a": [[[1]], [[True]]]}, "s.json task a [1]: row 0 holds 'True'"),
        ({"b": SOLUTIONS, "a": [[[1, 2], [3]], [[1]]]}, "s.json task a [0]: row 1 has 1 cells"),
    ],
)
def test_defects_of_the_solutions(write, value, message):
    challenges = write("challenges.json", {"b": TASK, "a": TASK})
    assert message in refusal(challenges, write("s.json", value))


def test_missing_files(tmp_path, write):
    assert "no such file" in refusal(tmp_path / "none.json")
    assert "no such file" in refusal(write("t.json", {"a": TASK}), tmp_path / "none.json")
    (tmp_path / "empty").mkdir()
    assert "empty: no .json files" in refusal(tmp_path / "empty")


def test_a_folder_names_the_file_at_fault(tmp_path, write):
    write("a.json", SOLVED)
    write("b.json", {"train": TASK["train"]})
    assert f'{tmp_path.name}/b.json: "test" is missing' in refusal(tmp_path)
    write("b.json", SOLVED)
    write("no id.json", SOLVED)
    assert "no id.json: 'no id' is not an id" in refusal(tmp_path)


def test_targets_can_be_required(write):
    tasks = load_tasks(write("t.json", {"a": SOLVED, "b": TASK}))
    require_targets(tasks[:2])
    with pytest.raises(UserError, match="no solution for 2 of 4 tasks, the first b-0;"):
        require_targets(tasks)


# Selection


@pytest.fixture
def tasks() -> list[Task]:
    """a-0, a-1, b-0 to e-1, in another order."""
    return [task for name in "cabed" for task in expected(name)]


def ids(tasks: list[Task]) -> list[str]:
    return [task.id for task in tasks]


def test_all_tasks_in_their_order(tasks):
    assert select_tasks(tasks, None, None, seed=0) == tasks


def test_ids_choose_and_order(tasks, write):
    path = write("ids.txt", "# some\nb-1\n\n  a # both\nb-1\na-0\r\n")
    assert ids(select_tasks(tasks, str(path), None, 0)) == ["b-1", "a-0", "a-1"]


def test_an_exact_id_comes_before_a_name(write):
    tasks = expected("a") + expected("a-0")
    path = write("ids.txt", "a-0")
    assert ids(select_tasks(tasks, str(path), None, 0)) == ["a-0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nz", r"ids\.txt row 2: 'z' is not among the 10 tasks"),
        ("a-7", r"ids\.txt row 1: 'a-7' is not"),
        ("# a\n", r"ids\.txt: no ids"),
    ],
)
def test_wrong_ids(tasks, write, text, message):
    with pytest.raises(UserError, match=message):
        select_tasks(tasks, str(write("ids.txt", text)), None, 0)


@pytest.mark.parametrize("name", ["nowhere", "no/where.txt", "../presets/paper-training"])
def test_neither_file_nor_preset(tasks, name):
    with pytest.raises(UserError, match=rf"{name}: neither .*presets are paper-evaluation, paper-"):
        select_tasks(tasks, name, None, 0)


def test_a_draw_depends_on_the_set_of_tasks_and_the_seed(tasks):
    drawn = ids(select_tasks(tasks, None, 4, seed=3))
    assert drawn == ids(select_tasks(tasks[::-1], None, 4, seed=3))
    order = sorted(ids(tasks))
    random.Random(3).shuffle(order)
    assert drawn == order[:4]
    assert len({tuple(ids(select_tasks(tasks, None, 4, seed))) for seed in range(9)}) > 1


def test_a_draw_leaves_the_tasks_alone(tasks):
    before = list(tasks)
    select_tasks(tasks, None, 10, seed=3)
    assert tasks == before


@pytest.mark.parametrize("n_tasks", [-1, 0, 3])
def test_as_many_as_there_are(tasks, write, n_tasks):
    path = str(write("ids.txt", "a"))
    assert len(select_tasks(tasks, path, 2, 0)) == 2
    with pytest.raises(UserError, match=rf"{n_tasks} tasks are wanted, of 2 available"):
        select_tasks(tasks, path, n_tasks, 0)


# What ships, and ARC itself


def preset(name: str) -> list[str]:
    lines = (PRESETS / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_presets_hold_what_they_say():
    assert {path.stem: len(preset(path.stem)) for path in PRESETS.glob("*.txt")} == {
        "release-training": 12,
        "release-evaluation": 10,
        "paper-training": 11,
        "paper-evaluation": 8,
        "small-grids-training": 53,
        "small-grids-evaluation": 16,
    }
    for split in ["training", "evaluation"]:
        tasks = {f"{name}-0" for name in preset(f"release-{split}")}
        assert {*preset(f"paper-{split}")} < tasks
    drawn = sorted(preset("release-training"))
    random.Random(42).shuffle(drawn)
    assert {*preset("paper-training")} == {f"{name}-0" for name in drawn[:11]}


def largest_side(task: Task) -> int:
    grids = [grid for pair in task.demonstrations for grid in pair]
    return max(max(len(grid), len(grid[0])) for grid in (*grids, task.test_input, task.target))


@pytest.mark.parametrize(
    ("split", "inputs", "released", "papers"),
    [("training", 416, 13, 11), ("evaluation", 419, 11, 8)],
)
def test_arc_with_its_presets(split, inputs, released, papers):
    tasks = load_tasks(shared_data(f"arc/arc-agi_{split}_challenges.json"))
    require_targets(tasks)
    assert len(tasks) == len({task.id for task in tasks}) == inputs
    assert len(select_tasks(tasks, f"release-{split}", None, 0)) == released
    assert len(select_tasks(tasks, f"paper-{split}", None, 0)) == papers
    # Those with a token of the small model for every cell
    small = [task.id for task in tasks if largest_side(task) <= 6]
    assert ids(select_tasks(tasks, f"small-grids-{split}", None, 0)) == small


def test_the_splits_solutions_are_not_mixed_up():
    path = shared_data("arc/arc-agi_training_challenges.json")
    message = refusal(path, path.with_name("arc-agi_evaluation_solutions.json"))
    assert "no solution for 400 of 400 tasks" in message


def test_the_examples_are_whole_and_small():
    tasks = load_tasks(REPOSITORY / "few-shot" / "examples")
    require_targets(tasks)
    assert {len(task.demonstrations) for task in tasks} == {3}
    sizes = {(len(task.target), len(task.target[0])) for task in tasks}
    assert {(1, 1), (3, 3)} <= sizes
    assert max(max(size) for size in sizes) <= 8
