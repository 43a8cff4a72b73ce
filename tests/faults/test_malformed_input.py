"""Files of passages, tasks, prompts and records that are damaged: one line with file and place.

Or they still say the same. Nothing waits for a file that never ends.
"""

import copy
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arc.method.configurations import load_oracle
from arc.puzzles.grids import as_grid
from arc.puzzles.tasks import Task, load_tasks, select_tasks
from knowledge.data.passages import Passage, load_passages
from seal.errors import UserError
from seal.prompt_files import load_prompt
from seal.records import jsonl_rows, read_json, read_jsonl, read_text
from tests.faults.cases import EVERYTHING, chosen, line_of
from tests.programs.programs import load_program

GROUPED = [
    {"title": "Moth", "context": "It flies in May.", "questions": [
        {"question": "When?", "answer": "May"}, {"question": "Does it fly?", "answer": "yes"},
    ]},
    {"title": "Bée", "context": "It hums. \U0001f41d", "questions": [
        {"question": "Q", "answer": "A"},
    ]},
]  # fmt: skip
SQUAD = {"version": "1.1", "data": [
    {"title": "The_moth", "paragraphs": [
        {"context": "It flies.", "qas": [
            {"id": "1", "question": "When?", "answers": [{"text": "May", "answer_start": 3}]},
            {"id": "2", "question": "Why?", "answers": [{"text": "light"}, {"text": "fun"}]},
        ]},
        {"context": "It rests.", "qas": [{"id": "3", "question": "Q", "answers": [{"text": "A"}]}]},
    ]},
    {"title": "Bee", "paragraphs": [
        {"context": "It hums.", "qas": [{"id": "4", "question": "Q", "answers": [{"text": "A"}]}]},
    ]},
]}  # fmt: skip
TASK = {"train": [{"input": [[0, 1]], "output": [[1, 0]]}, {"input": [[2]], "output": [[3]]}],
        "test": [{"input": [[4, 5], [6, 7]], "output": [[5, 4], [7, 6]]}]}  # fmt: skip
CHALLENGES = {
    "aa": TASK,
    "bb": {"train": TASK["train"], "test": [{"input": [[1]]}, {"input": [[2]]}]},
}
SOLUTIONS = {"aa": [[[5, 4], [7, 6]]], "bb": [[[1]], [[2]]]}
OTHERS = [
    None,
    True,
    False,
    3,
    -1,
    1.5,
    10**400,
    "",
    " \n",
    "x",
    [],
    {},
    [[]],
    [{}],
    [None],
    {"a": 1},
]
TEXTS = [
    '"\\ud800"',
    '"a\\udfffb"',
    "NaN",
    "-Infinity",
    "1e400",
    "-1e999",
    "9" * 5000,
    "[" * 99_999,
]


def places(value: Any, at: tuple = ()) -> Iterator[tuple]:
    """The path of every value in a JSON value, the whole first."""
    yield at
    listed = dict(enumerate(value)) if isinstance(value, list) else value
    for key, inner in listed.items() if isinstance(listed, dict) else ():
        yield from places(inner, (*at, key))


def damaged(value: Any) -> Iterator[tuple[str, str]]:
    """JSON texts with another value at one place, or without it, or with it twice."""
    for at in places(value):
        for other in OTHERS:
            yield f"{at} is {str(other)[:9]!r}", json.dumps(put(value, at, other))
        for text in TEXTS:
            yield f"{at} is {text[:9]}", json.dumps(put(value, at, "@")).replace('"@"', text)
        if at:
            yield f"{at} is missing", json.dumps(put(value, at, None, remove=True))
        if at and isinstance(at[-1], str):
            key = json.dumps(at[-1])
            twice = json.dumps(put(value, at, "@@")).replace('"@@"', f"null, {key}: 1")
            yield f"{at} occurs twice", twice


def put(value: Any, at: tuple, other: Any, *, remove: bool = False) -> Any:
    """A copy with `other` at a place, or without what stands there."""
    if not at:
        return other
    whole = copy.deepcopy(value)
    inner = whole
    for key in at[:-1]:
        inner = inner[key]
    if remove:
        del inner[at[-1]]
    else:
        inner[at[-1]] = other
    return whole


def damaged_bytes(value: Any) -> Iterator[tuple[str, bytes]]:
    """Files that are no JSON, or JSON of another encoding."""
    text = json.dumps(value, ensure_ascii=False)
    data = text.encode()
    for end in range(0, len(data), 5):
        yield f"cut at {end}", data[:end]
    for at in range(1, len(data), 11):
        yield f"NUL at {at}", data[:at] + b"\0" + data[at:]
        yield f"0xff at {at}", data[:at] + b"\xff" + data[at + 1 :]
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield name, text.encode(name)
    for end in (b"x", b"{}", b"\0", b",", data, b"//"):
        yield f"then {end[:2]!r}", data + end
    for start in (b"\0", b"\xff", b"// \n", b"x", b"'"):
        yield f"{start!r} first", start + data
    yield from (
        (name, b) for name, b in [("blank", b" \n"), ("zeros", bytes(999)), ("line", b"\n")]
    )


def well_formed(found: list[Any]) -> bool:
    """Whether what was loaded can be used."""
    ids = [each.id for each in found]
    return bool(found) and len(set(ids)) == len(ids) and all(map(_usable, found))


def _usable(one: Passage | Task) -> bool:
    if isinstance(one, Passage):
        asked = [text for each in one.questions for text in (each.question, each.answer)]
        texts = [one.title, one.context, *asked]
        return bool(asked) and all(isinstance(t, str) and t.strip() and t.encode() for t in texts)
    grids = [grid for pair in one.demonstrations for grid in pair]
    grids += [one.test_input] + ([] if one.target is None else [one.target])
    return bool(one.demonstrations) and all(as_grid(grid) == grid for grid in grids)


READERS: dict[str, tuple[Any, Callable[[Path], Any]]] = {
    "grouped": (GROUPED, load_passages),
    "squad": (SQUAD, load_passages),
    "task": (TASK, load_tasks),
    "challenges": (CHALLENGES, load_tasks),
    "solutions": (SOLUTIONS, lambda path: load_tasks(path.with_name("tasks.json"), path)),
}


def attempt(read: Callable[[Path], Any], path: Path) -> Any:
    """What a file says, or the line that refuses it, which must begin with the file."""
    start = time.process_time()
    try:
        found = read(path)
    except UserError as error:
        found = line_of(error)
        assert found.startswith(str(path)), found
        assert len(found) < 600, found
    assert time.process_time() - start < 5, "this would not end with a large file"
    return found


@pytest.mark.parametrize("kind", READERS)
def test_another_value_at_any_place(kind, tmp_path):
    value, read = READERS[kind]
    (tmp_path / "tasks.json").write_text(json.dumps(CHALLENGES))
    path, wrong = tmp_path / "damaged.json", []
    for what, text in chosen(list(damaged(value)), 3):
        path.write_text(text)
        found = attempt(read, path)
        refused = isinstance(found, str)
        if not refused and not well_formed(found):
            wrong.append(what)
        if not refused and ("twice" in what or what.endswith(tuple(t[:9] for t in TEXTS))):
            wrong.append(what)
    assert wrong == []


@pytest.mark.parametrize("kind", READERS)
def test_bytes_that_are_no_json(kind, tmp_path):
    value, read = READERS[kind]
    (tmp_path / "tasks.json").write_text(json.dumps(CHALLENGES))
    path, accepted = tmp_path / "damaged.json", []
    for what, data in chosen(list(damaged_bytes(value)), 4):
        path.write_bytes(data)
        if not isinstance(attempt(read, path), str):
            accepted.append(what)
    assert accepted == []


@pytest.mark.parametrize("kind", READERS)
def test_the_same_in_other_bytes_is_the_same(kind, tmp_path):
    value, read = READERS[kind]
    (tmp_path / "tasks.json").write_text(json.dumps(CHALLENGES))
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    undamaged = read(path)
    text = json.dumps(value, ensure_ascii=False, indent=2)
    for data in (
        text.encode("utf-8-sig"),
        text.replace("\n", "\r\n").encode(),
        json.dumps(value).encode(),
        b"\n\n" + text.encode() + b"\n\n",
    ):
        path.write_bytes(data)
        assert read(path) == undamaged


def test_a_message_says_the_line_and_the_column(tmp_path):
    path = tmp_path / "a.json"
    for text, said in [
        ('{"a": 1,\n  "b": 2, "a": 3}', "the key 'a' occurs twice in one object, the second"),
        ('{"a": 1,\n  "b": 2, "a": 3}', "at line 2 column 11"),
        ('{"a": {"a": 1},\n "b": {"a": 1, "\\u0061": 2}}', "the second time at line 2 column 16"),
        ('[1,\n NaN]', "NaN is not a finite number at line 2 column 2"),
        ('["NaN, 1e999", 1e999]', "1e999 is not a finite number at line 1 column 16"),
        ('["\\\\ud800", "x\\ud800"]', "half of a surrogate pair, not text, at line 1 column 13"),
        (f'["{"1" * 5000}", {"1" * 5000}]', "a number of 5,000 digits at line 1 column 5006"),
        ("[1,\n\n 2", "malformed JSON at line 3 column 3"),
        ("[" * 100_000, "nested too deeply"),
        ("ab\n\0", "line 2: a NUL byte"),
    ]:  # fmt: skip
        path.write_text(text)
        with pytest.raises(UserError) as refused:
            read_json(path)
        assert str(refused.value).startswith(str(path)) and said in str(refused.value)


def test_pairs_of_surrogates_and_odd_numbers_are_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('["\\ud83d\\udc1d", "\\\\ud800", "NaN", 1e308, -0.0, 1E-400, {"a": {"a": 1}}]')
    assert read_json(path) == ["\U0001f41d", "\\ud800", "NaN", 1e308, 0.0, 0.0, {"a": {"a": 1}}]


# Records


GOOD = '{"id": "1"}'
BAD_LINES = [
    *("{", "}", "x", "[]", "3", "null", "true", '"x"', GOOD[:-1], GOOD + ",", GOOD * 2),
    *('{"id": NaN}', '{"id": 1e999}', '{"id": "\\ud800"}', '{"id": 1, "id": 1}', "\0", "{" * 9999),
    *('{"id": ' + "9" * 5000 + "}", '{"id": "a\tb"}', "\ufeff" + GOOD, '{"id": -Infinity}', "// x"),
    "{'id': 1}",
]  # fmt: skip


def test_a_row_is_a_line_of_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    for blank in ("", " ", "\r", "\t"):
        for before in range(6):
            lines = [GOOD if row % 2 else blank for row in range(1, before + 1)]
            for bad in BAD_LINES:
                path.write_text("\n".join([*lines, bad, GOOD]))
                place = "line" if bad == "\0" else "row"
                if bad.startswith("\ufeff") and not before:
                    assert len(read_jsonl(path)) == 2  # a mark of the encoding, not of the row
                    continue
                with pytest.raises(UserError) as refused:
                    read_jsonl(path)
                assert f"{path} {place} {before + 1}: " in str(refused.value)
            path.write_text("\n".join([*lines, GOOD]))
            rows = [int(where.split()[-1]) for where, _ in jsonl_rows(path)]
            assert rows == [*range(1, before + 1, 2), before + 1]


# What is no file


def special_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Paths that cannot be read as text."""
    yield "a folder", folder
    yield "no such file", folder / "missing.json"
    (folder / "file").write_text("x")
    yield "under a file", folder / "file" / "a.json"
    yield "a long name", folder / ("x" * 300)
    yield "a long path", folder / "/".join(["x" * 99] * 60)
    yield "NUL in the name", Path(f"{folder}/a\0b")
    yield "half a character", Path(f"{folder}/\ud800")
    (folder / "loop").symlink_to(folder / "loop")
    yield "a loop of links", folder / "loop"
    (folder / "dangling").symlink_to(folder / "nothing")
    yield "a link to nothing", folder / "dangling"
    os.mkfifo(folder / "pipe")
    yield "a pipe", folder / "pipe"
    (folder / "to-pipe").symlink_to(folder / "pipe")
    yield "a link to a pipe", folder / "to-pipe"
    yield "/dev/zero", Path("/dev/zero")
    yield "/dev/full", Path("/dev/full")
    yield "/dev/null", Path("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "socket"))
        yield "a socket", folder / "socket"
    with (folder / "large").open("wb") as file:
        file.truncate(2**31 + 1)
    yield "a large file", folder / "large"
    if os.geteuid():
        (folder / "closed").touch(mode=0)
        yield "no permission", folder / "closed"


def some_tasks(folder: Path) -> list[Task]:
    (folder / "t.json").write_text(json.dumps(CHALLENGES))
    return load_tasks(folder / "t.json")


def test_what_is_no_file_is_refused_at_once(tmp_path):
    tasks, folder = some_tasks(tmp_path), tmp_path / "inner"
    folder.mkdir()
    readers = [read_text, read_json, read_jsonl, load_passages, load_tasks, load_oracle]
    readers += [
        lambda path: load_tasks(tmp_path / "t.json", path),
        lambda path: select_tasks(tasks, str(path), None, 0),
        lambda path: load_prompt(path, frozenset({"title"})),
    ]
    for what, path in special_files(folder):
        for read in readers:
            # Programs print both as one line
            with pytest.raises((UserError, OSError)) as refused:
                read(path)
            assert str(path)[:50] in line_of(refused.value), what
            assert isinstance(refused.value, UserError) or what.startswith("a long")


# Passages and tasks of odd sizes


def test_many_questions_and_long_texts_are_read_in_a_moment(tmp_path):
    path = tmp_path / "a.json"
    asked = [{"question": f"q{n}", "answers": [{"text": "a"}]} for n in range(20_000)]
    long = "word " * 2_000_000
    both = [{"context": "short", "qas": asked}, {"context": long, "qas": asked[:1]}]
    path.write_text(json.dumps({"data": [{"title": "T", "paragraphs": both}]}))
    first, second = attempt(load_passages, path)
    assert len(first.questions) == 20_000 and len(second.context) == len(long)


@pytest.mark.parametrize(
    "id", ["", ".", "..", "../x", "a/b", "-a", " a", "a b", "a\n", "a\0", "x" * 101, "é" * 51, "~"]
)
def test_ids_that_cannot_name_a_file(id, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"aa": TASK, id: TASK}))
    assert "is not an id" in attempt(load_tasks, path)


def test_two_tasks_with_one_id(tmp_path):
    path = tmp_path / "a.json"
    task = json.dumps(TASK)
    path.write_text(f'{{"aa": {task},\n"bb": {task},\n"aa": {task}}}')
    assert "the key 'aa' occurs twice" in attempt(load_tasks, path)


GRIDS = [
    *(None, True, 3, "x", {}, [], [[]], [[], []], [[1], [1, 2]], [[1, "2"]], [[10]], [[-1]]),
    *([[1.0]], [[True]], [[None]], [[[1]]], [1], ["11"], [[1] * 31], [[1]] * 31, [[10**400]]),
    {"0": [1]},
]  # fmt: skip


def test_grids_that_are_none(tmp_path):
    path = tmp_path / "tasks.json"
    for at in [
        ("train", 0, "input"),
        ("train", 1, "output"),
        ("test", 0, "input"),
        ("test", 0, "output"),
    ]:
        for grid in GRIDS:
            path.write_text(json.dumps(put(TASK, at, grid)))
            assert f"{at[0]}[{at[1]}] {at[2]}" in attempt(load_tasks, path)
    path.write_text(json.dumps(CHALLENGES))
    solutions = tmp_path / "solutions.json"
    for grid in GRIDS:
        solutions.write_text(json.dumps(put(SOLUTIONS, ("bb", 1), grid)))
        assert "task bb" in attempt(
            lambda path: load_tasks(tmp_path / "tasks.json", path), solutions
        )


def test_lists_of_ids(tmp_path):
    tasks, path = some_tasks(tmp_path), tmp_path / "ids.txt"
    for data in (
        b"",
        b"\n\n",
        b"# aa\n",
        b"\xff",
        b"aa\0",
        b"\0",
        "aa\n".encode("utf-16"),
        b"aa,bb",
    ):
        path.write_bytes(data)
        with pytest.raises(UserError) as refused:
            select_tasks(tasks, str(path), None, 0)
        assert str(path) in str(refused.value)
    path.write_bytes(b"\n\naa\n\ncc\n")
    with pytest.raises(UserError, match="row 5: 'cc'"):
        select_tasks(tasks, str(path), None, 0)
    path.write_bytes(b"\xef\xbb\xbfaa\r\nbb\r\n")
    assert select_tasks(tasks, str(path), None, 0) == tasks


def test_passages_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    # The Hub's, without network: loading its package takes a while
    hub = ["../x:train", "nobody/nothing:train"] if EVERYTHING else []
    for name in ["folder", "missing.json", "a/b", "a/b:c:d", "s3:a", "~/x", "-", "a/b/c", *hub]:
        with pytest.raises(UserError) as refused:
            load_passages(name)
        assert str(refused.value).startswith(name)


def test_a_passage_of_ones_own(tmp_path):
    adapt, path = load_program("general-knowledge", "adapt"), tmp_path / "news.txt"
    for data in (b"", b" \n", b"\0", b"a\0b", b"\xff\xfea\0", b"\xff", b"\xef\xbb\xbf"):
        path.write_bytes(data)
        config = adapt.Config(run_dir=tmp_path, passage_file=path, question=["Q"])
        with pytest.raises(UserError) as refused:
            adapt.read_passage(config)
        assert str(refused.value).startswith(str(path))
