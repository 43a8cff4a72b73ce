"""grade_answers.py: any file of answers, resumable, and nothing of others is harmed."""

import json

import pytest

from knowledge.judging.answer_files import describe_grades
from seal.command_line.program import run_program
from tests.programs.programs import load_program
from tests.support.chat_stub import completion, refusal, running_stub

ROWS = [
    {"question": "When does the moth fly?", "gold": "May", "answer": "in May", "id": 7},
    {"question": "When does the moth fly?", "gold": "May", "answer": "in June", "title": "Moth"},
    {"question": "When does the moth fly?", "gold": "May", "answer": " \n", "title": None},
    {
        "question": "Wie heißt sie?",
        "gold": "Zoë\u2028Berg",
        "answer": "zoe berg",
        "x": [1, {"y": 2}],
    },
    {"question": "When does the moth fly?", "gold": "May", "answer": "in May", "id": 7},
]
VERDICTS = [True, False, False, True, True]


@pytest.fixture
def stub():
    with running_stub() as running:
        running.reply = lambda prompt: completion("no" if "in June" in prompt else "yes")
        yield running


@pytest.fixture
def files(tmp_path):
    source, output = tmp_path / "answers.jsonl", tmp_path / "new" / "graded.jsonl"
    write(source, ROWS)
    return source, output


@pytest.fixture
def grade(files, tmp_path, monkeypatch):
    """Run the program on the two files with further flags."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("seal.endpoints.REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    program = load_program("general-knowledge", "grade_answers")

    def run(**flags):
        flags = {"input": files[0], "output": files[1]} | flags
        words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        run_program(program.main, program.Config, words)

    return run


@pytest.fixture
def complain(grade, capsys):
    def run(**flags):
        with pytest.raises(SystemExit) as ended:
            grade(**flags)
        assert ended.value.code == 2
        (line,) = (line for line in capsys.readouterr().err.splitlines() if "error: " in line)
        return line

    return run


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read(path):
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def openai(stub, tmp_path):
    return {"judge": "openai", "judge_url": stub.url, "judge_cache": tmp_path / "cache.jsonl"}


def test_rows_keep_their_order_and_all_they_had(grade, files, capsys):
    grade()
    graded = read(files[1])
    assert [row.pop("verdict") for row in graded] == VERDICTS
    assert {row.pop("judge") for row in graded} == {"offline"}
    probabilities = [row.pop("probability") for row in graded]
    assert [p >= 0.5 for p in probabilities] == VERDICTS and probabilities[2] == 0.0
    assert graded == ROWS
    mean = sum(probabilities) / 5
    assert capsys.readouterr().out == (
        f"5 answers, 60.0% correct, calibrated {mean:.1%}, 20.0% blank, 0 ungraded\n"
    )


def test_a_second_run_changes_nothing(grade, files):
    grade()
    first = files[1].read_bytes()
    grade()
    assert files[1].read_bytes() == first


def test_earlier_grades_in_the_input_are_replaced(grade, files, tmp_path):
    write(files[0], [row | {"verdict": "?", "probability": 3, "judge": "me"} for row in ROWS])
    grade()
    assert [row["verdict"] for row in read(files[1])] == VERDICTS
    again = tmp_path / "again.jsonl"
    grade(input=files[1], output=again)
    assert again.read_bytes() == files[1].read_bytes()


def test_every_row_is_asked_once_with_its_title_and_blanks_never(grade, stub, tmp_path):
    grade(**openai(stub, tmp_path))
    assert len(stub.prompts) == 4, "the check and three answers that differ"
    assert sum("Topic: Moth\n" in prompt for prompt in stub.prompts) == 1


def test_a_killed_run_resumes(grade, files, stub, tmp_path):
    flags = openai(stub, tmp_path)
    grade(**flags)
    complete = files[1].read_bytes()
    lines = complete.splitlines(keepends=True)
    # Killed while its third line was written; the cache is gone too
    files[1].write_bytes(b"".join(lines[:2]) + lines[3][:-20])
    flags["judge_cache"].unlink()
    before = len(stub.bodies)
    grade(**flags)
    assert files[1].read_bytes() == complete
    assert len(stub.bodies) - before == 2, "the check and the only answer that was not there"


def test_ungraded_rows_are_never_wrong_and_are_asked_again(complain, grade, files, stub, tmp_path):
    flags = openai(stub, tmp_path)
    healthy = stub.reply
    stub.reply = lambda prompt: refusal(400, "busy") if "June" in prompt else healthy(prompt)
    error = complain(**flags)
    assert "1 of 5 answers could not be graded (mostly: status 400: busy)" in error
    assert [row["verdict"] for row in read(files[1])] == [True, None, False, True, True]
    assert read(files[1])[1]["probability"] is None
    grade(**flags, max_ungraded=0.2)
    stub.reply = healthy
    before = len(stub.bodies)
    grade(**flags)
    assert [row["verdict"] for row in read(files[1])] == VERDICTS
    assert len(stub.bodies) - before == 2


def test_what_was_graded_before_a_breakdown_is_kept(complain, grade, files, stub, tmp_path):
    program = load_program("general-knowledge", "grade_answers")
    rows = [ROWS[0] | {"answer": f"May {n}"} for n in range(program.ROWS_AT_A_TIME + 3)]
    write(files[0], rows)
    healthy = stub.reply
    last = f"May {program.ROWS_AT_A_TIME}\n"
    stub.reply = lambda prompt: refusal(401) if last in prompt else healthy(prompt)
    flags = openai(stub, tmp_path)
    assert "refuses the key" in complain(**flags)
    assert len(read(files[1])) == program.ROWS_AT_A_TIME
    stub.reply = healthy
    grade(**flags)
    assert [row["answer"] for row in read(files[1])] == [row["answer"] for row in rows]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ('{"question": "q", "gold": "g", "answer": "a"}\n\n{"question": ', "row 3: malformed JSON"),
        ("[]\n", "row 1: expected a JSON object"),
        ('\n{"question": "q", "gold": "g"}\n', 'row 2: "answer" is missing'),
        ('{"question": "q", "gold": "g", "answer": null}\n', 'row 1: "answer" must be a text'),
        ('{"question": "q", "gold": ["g"], "answer": "a"}\n', 'row 1: "gold" must be a text'),
        ('{"question": "q", "gold": " ", "answer": "a"}\n', 'row 1: "gold" is blank'),
        ('{"question": "q", "gold": "g", "answer": "a", "title": 3}\n', '"title" must be a text'),
        (
            '{"question": "q", "gold": "g", "answer": "a", "x": NaN}\n',
            "row 1: NaN is not a finite number",
        ),
        ('{"question": "q", "gold": "g", "answer": "\\ud800"}\n', "is half of a surrogate pair"),
    ],
)
def test_input_that_cannot_be_graded(complain, files, stub, tmp_path, text, message):
    files[0].unlink() if text is None else files[0].write_text(text)
    error = complain(**openai(stub, tmp_path))
    assert "answers.jsonl" in error and message in error
    assert not files[1].exists() and stub.bodies == [], "nothing is begun"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my thesis", "row 1 is not a graded row"),
        ("my thesis\n", "row 1 is not a graded row"),
        (json.dumps(ROWS[0]) + "\n", "row 1 is not a graded row"),
        (
            json.dumps(
                {**ROWS[0], "gold": "June", "verdict": 1, "probability": 1, "judge": "offline"}
            )
            + "\n",
            "row 1 is not a graded row",
        ),
        (
            json.dumps({**ROWS[0], "verdict": True, "probability": 1.0, "judge": "gpt"}) + "\n",
            "graded by gpt, not by offline",
        ),
    ],
)
def test_a_file_of_something_else_is_left_alone(complain, files, text, message):
    files[1].parent.mkdir()
    files[1].write_text(text)
    error = complain()
    assert "graded.jsonl" in error and message in error
    assert files[1].read_text() == text


def test_an_empty_output_file_is_filled(grade, files):
    files[1].parent.mkdir()
    files[1].touch()
    grade()
    assert len(read(files[1])) == 5


def test_the_input_is_not_overwritten(complain, files):
    before = files[0].read_bytes()
    assert "is the input" in complain(output=files[0].parent / "." / files[0].name)
    assert files[0].read_bytes() == before


def test_no_key(complain, files):
    assert "OPENAI_API_KEY" in complain(judge="openai")
    assert not files[1].exists()


def test_summary_of_nothing_graded():
    row = {"answer": "a", "verdict": None, "probability": None}
    assert describe_grades([row, row | {"answer": ""}]) == "2 answers, 50.0% blank, 2 ungraded"
