"""Whatever lies in the files of grade_answers.py, it is graded rightly or named in one line."""

import json
import os

import pytest

from seal.command_line.program import run_program
from tests.programs.programs import load_program

ROWS = [
    {"question": "When does the moth fly?", "gold": "May", "answer": "in May", "id": 7},
    {"question": "When does the moth fly?", "gold": "May", "answer": "in June"},
    {"question": "When does the moth fly?", "gold": "May", "answer": ""},
]
DEEP = "[" * 100_000 + "]" * 100_000
ODD = {
    "NaN": "NaN",
    "infinite": "-Infinity",
    "too large": "1e400",
    "null": "null",
    "true": "true",
    "a number": "1",
    "digits": "9" * 6000,
    "a list": '["in May"]',
    "an object": '{"text": "in May"}',
    "deep": DEEP,
    "half a pair": '"in May \\ud800"',
    "cut": '"in May',
    "nothing": "",
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "answers.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return source, tmp_path / "graded.jsonl"


@pytest.fixture
def grade(files, capsys):
    """Run the program; the line with which it refuses, if it does."""
    program = load_program("general-knowledge", "grade_answers")

    def run() -> str | None:
        words = ["--input", str(files[0]), "--output", str(files[1])]
        try:
            run_program(program.main, program.Config, words)
        except SystemExit as ended:
            assert ended.code == 2
            (line,) = (t for t in capsys.readouterr().err.splitlines() if "error: " in t)
            return line[line.index("error: ") + 7 :]
        return None

    return run


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["question", "gold", "answer", "title", "other"])
def test_a_row_of_odd_values_is_named(grade, files, name, kind):
    row = {**ROWS[0], "title": "", "other": "", name: "HERE"}
    text = json.dumps(row).replace('"HERE"', ODD[kind])
    files[0].write_text(f"{json.dumps(ROWS[1])}\n\n{text}\n")
    error = grade()
    kept = name == "other" and kind in ("null", "true", "a number", "a list", "an object")
    if kept or (name, kind) == ("title", "null"):
        assert error is None
        assert json.loads(files[1].read_text().split("\n")[1]).items() >= json.loads(text).items()
    else:
        assert error.startswith(f"{files[0]} row 3: ") and not files[1].exists()


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["verdict", "probability", "judge", "answer", "other"])
def test_an_output_of_odd_values_is_named_and_left_alone(grade, files, name, kind):
    assert grade() is None
    first, second, _ = files[1].read_text().splitlines(keepends=True)
    row = {**json.loads(second), name: "HERE"}
    damaged = first + json.dumps(row).replace('"HERE"', ODD[kind]) + "\n"
    files[1].write_text(damaged)
    error = grade()
    assert error.startswith(f"--output {files[1]} row 2 ") and "; name another file" in error
    assert files[1].read_text() == damaged


@pytest.mark.parametrize(
    ("verdict", "probability"),
    [
        (True, 0.2),
        (False, 0.8),
        (None, 0.2),
        (True, None),
        (True, 1.5),
        (False, -0.1),
        (1, 1.0),
        (0, 0.0),
        (True, True),
        ("yes", 1.0),
    ],
)
def test_a_grade_that_no_judge_gives_is_named(grade, files, verdict, probability):
    assert grade() is None
    row = json.loads(files[1].read_text().split("\n")[0])
    files[1].write_text(json.dumps({**row, "verdict": verdict, "probability": probability}) + "\n")
    assert grade().startswith(f"--output {files[1]} row 1 is not a graded row")


def test_rows_that_contradict_each_other_are_named(grade, files):
    assert grade() is None
    whole = files[1].read_text()
    first = json.loads(whole.split("\n")[0])
    other = json.dumps({**first, "verdict": False, "probability": 0.0}) + "\n"
    ungraded = json.dumps({**first, "verdict": None, "probability": None}) + "\n"
    files[1].write_text(whole + other)
    assert grade().startswith(f"--output {files[1]} row 4 was graded otherwise")
    # What a resumed run leaves behind: the row as it was ungraded, then graded, and twice in input
    for fine in (ungraded + whole, whole + whole.split("\n")[0] + "\n"):
        files[1].write_text(fine)
        assert grade() is None and files[1].read_text() == whole


@pytest.mark.parametrize("data", [b"\xff\n", b"\n", b"\0" * 99, b"[" * 10**5 + b"\n", b"7\n", b"x"])
def test_an_output_of_something_else_is_left_alone(grade, files, data):
    files[1].write_bytes(data)
    assert grade().startswith(f"--output {files[1]} row 1 is not a graded row")
    assert files[1].read_bytes() == data


def test_an_output_that_is_no_file_is_named(grade, files, tmp_path):
    output = files[1]
    output.mkdir()
    assert grade().startswith(
        f"--output {output} cannot be used (no regular file); name another file"
    )
    output.rmdir()
    os.mkfifo(output)
    assert grade().startswith(
        f"--output {output} cannot be used (no regular file); name another file"
    )
    output.unlink()
    output.symlink_to("/dev/null")
    assert grade().startswith(
        f"--output {output} cannot be used (no regular file); name another file"
    )
    output.unlink()
    output.symlink_to(tmp_path / "missing" / "folder" / "file")
    assert grade().startswith(f"{output}: No such file")


def test_a_folder_that_is_missing_is_made(grade, files):
    assert grade() is None
    whole = files[1].read_bytes()
    files[1].unlink()
    parent = files[1].parent / "new" / "deep"
    files_before = files
    program = load_program("general-knowledge", "grade_answers")
    words = ["--input", str(files_before[0]), "--output", str(parent / "graded.jsonl")]
    run_program(program.main, program.Config, words)
    assert (parent / "graded.jsonl").read_bytes() == whole
