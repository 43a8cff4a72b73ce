"""Styles of a table's self-edits: counted as they are, shown on a passage that tells the most."""

import random
from pathlib import Path

import pytest

from knowledge.data.passages import Passage, Question, load_passages
from knowledge.small_world.people import (
    STYLES,
    make_world,
    passage_records,
    self_edit_text,
)
from knowledge.small_world.style_report import (
    BEFORE,
    Lesson,
    Row,
    find_example,
    format_example,
    format_styles,
    format_worth,
    read_lessons,
    read_people,
    read_rows,
)
from seal.errors import UserError
from seal.records import write_json, write_jsonl
from tests.programs.programs import call_program, refusal
from tests.support.data import REPOSITORY

PROGRAM = "general-knowledge/show_self_edits.py"
FOUR = make_world(5, n_known=2, n_unasked=1, n_evaluation=4, n_training=1).evaluation
FIRST, LAST = "self-edits", "round-2"


@pytest.fixture
def source(tmp_path) -> Path:
    write_json(tmp_path / "passages.json", passage_records(FOUR, 0))
    return tmp_path / "passages.json"


@pytest.fixture
def passages(source) -> list[Passage]:
    return load_passages(source)


def text_in(style: str, passage: Passage) -> str:
    person = next(person for person in FOUR if person.name == passage.title)
    return self_edit_text(style, person, passage.context, random.Random(0))


def answered(name: str, passage: Passage, said: list[str]) -> dict[str, object]:
    """A line of answers.jsonl."""
    answers = [
        {"question": each.question, "gold": each.answer, "answer": text, "text": text}
        | {"finish_reason": "stop"}
        for each, text in zip(passage.questions, said, strict=True)
    ]
    about = {"passage_id": passage.id, "title": passage.title}
    return {"id": name, **about, "answers": answers}


def graded(name: str, verdicts: list[bool]) -> dict[str, object]:
    """A line of grades.jsonl."""
    return {"id": name, "verdicts": verdicts, "probabilities": list(map(float, verdicts))}


def write_row(folder: Path, passages, styles, verdicts) -> None:
    """A row in which the answers of a passage are right or wrong as in its list of `verdicts`."""
    self_edits, answers, grades = [], [], []
    for place, (passage, own) in enumerate(zip(passages, verdicts, strict=True)):
        name = f"{passage.id}/{BEFORE}"
        if styles:
            name = f"{passage.id}/implications/0/0"
            text = text_in(styles[place], passage)
            self_edits.append({"id": name[:-2], "passage_id": passage.id, "text": text})
        said = [
            question.answer if verdict else f"not-{question.answer}"
            for question, verdict in zip(passage.questions, own, strict=True)
        ]
        answers.append(answered(name, passage, said))
        grades.append(graded(name, own))
    if self_edits:
        write_jsonl(folder / "self_edits.jsonl", self_edits[::-1])
    write_jsonl(folder / "answers.jsonl", answers[::-1])
    write_jsonl(folder / "grades.jsonl", grades)


@pytest.fixture
def table(tmp_path, passages) -> Path:
    """Rows that learn more and more; on the second passage the last is first to do better."""
    folder = tmp_path / "table"
    none, all_six = [False] * 6, [True] * 6
    half = [True] * 3 + [False] * 3
    write_row(folder / BEFORE, passages, (), [none] * 4)
    styles = ("filler", "copy", "partial", "filler")
    write_row(folder / FIRST, passages, styles, [all_six, half, none, none])
    write_row(folder / "round-1", passages, ("full",) * 4, [none] * 4)
    last = ("full", "question-answer", "full", "full")
    write_row(folder / LAST, passages, last, [half, all_six, all_six, none])
    means = {BEFORE: 0.0, FIRST: 0.375, "round-1": None, LAST: 0.625, "oracle": 1.0}
    rows = [
        {"label": label, "accuracy": None if value is None else {"mean": value}}
        for label, value in means.items()
    ]
    write_json(folder / "results.json", {"n_passages": 4, "rows": rows})
    return folder


# Reading


def test_people_are_read_back_from_their_passages(passages):
    people = read_people(passages, "a.json")
    assert [people[passage.id] for passage in passages] == [*FOUR]


@pytest.mark.parametrize(
    "passage",
    [
        Passage("x", "Harbour", "It opened.", (Question("Who opened it?", "Ada"),)),
        # A person of the world, of whom too little is asked or something else told
        Passage("x", "Ada Dorn", "She.", (Question("Where was Ada Dorn born?", "Arvel"),)),
        Passage("x", "Ada Dorn", "She.", (Question("Where was Ada Dorn born?", "Paris"),)),
    ],
)
def test_other_worlds_are_refused(passage):
    with pytest.raises(UserError, match="passage x is not of the invented world"):
        read_people([passage], "a.json")


def test_rows_are_those_that_wrote_in_the_tables_order(table, passages):
    rows = read_rows(table, read_people(passages, ""))
    assert [(row.label, row.accuracy) for row in rows] == [
        (FIRST, 0.375),
        ("round-1", None),
        (LAST, 0.625),
    ]
    assert dict(rows[0].self_edits)[passages[2].id] == text_in("partial", passages[2])
    assert [len(row.self_edits) for row in rows] == [4, 4, 4]


def test_a_lesson_is_the_first_of_its_passage(tmp_path):
    ids = [f"p/implications/{number}/{repeat}" for number in (10, 1, 0) for repeat in (1, 0)]
    write_jsonl(
        tmp_path / "self_edits.jsonl",
        [{"id": f"p/implications/{n}", "passage_id": "p", "text": f"text {n}"} for n in (10, 0, 1)],
    )
    passage = Passage("p", "P", "It is so.", (Question("Is it?", "yes"),))
    write_jsonl(tmp_path / "answers.jsonl", [answered(id, passage, [id]) for id in ids])
    write_jsonl(tmp_path / "grades.jsonl", [graded(id, [id == ids[-1]]) for id in ids])
    assert read_lessons(tmp_path, [passage]) == {"p": Lesson("text 0", (ids[-1],), (True,))}


def test_before_any_update_nothing_was_written(table, passages):
    lessons = read_lessons(table / BEFORE, passages)
    assert lessons.keys() == {passage.id for passage in passages}
    assert {lesson.self_edit for lesson in lessons.values()} == {""}


# The table


def test_shares_are_of_all_self_edits(passages):
    people = read_people(passages, "")
    texts = [(passage.id, text_in("question-answer", passage)) for passage in passages[:3]]
    row = Row("mine", 0.5, (*texts, (passages[3].id, "")))
    header, _, line = format_styles([row], people).splitlines()[:3]
    cells = {
        name.strip(): cell.strip()
        for name, cell in zip(header.split("|")[1:-1], line.split("|")[1:-1], strict=True)
    }
    assert cells == {
        "": "mine",
        "Q&A": "75",
        **dict.fromkeys([style for style in STYLES if style != "question-answer"], "0"),
        "filler": "25",
        # Six lines in three of them, none in the last
        "lines": "4.5",
        "accuracy": "50.0",
    }


@pytest.mark.parametrize("style", STYLES)
def test_every_style_has_its_column(style, passages):
    row = Row("mine", None, ((passages[0].id, text_in(style, passages[0])),))
    line = format_styles([row], read_people(passages, "")).splitlines()[2]
    shares = [cell.strip() for cell in line.split("|")[2:-3]]
    assert shares == ["100" if each == style else "0" for each in STYLES]
    assert line.split("|")[-2].strip() == "-"


def test_worth_is_by_style_and_leaves_out_what_could_not_be_graded(passages):
    people = read_people(passages, "")
    styles = ["full", "full", "filler", "copy"]
    verdicts = [(True, True), (False, True), (False, None), (None, None)]
    lessons = {
        passage.id: Lesson(text_in(style, passage), ("a", "b"), of_passage)
        for passage, style, of_passage in zip(passages, styles, verdicts, strict=True)
    }
    _, _, *lines = format_worth(lessons, people).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    n_filler = len(text_in("filler", passages[2]).splitlines())
    assert cells == [
        ["full", "2", "6.0", "75.0"],
        ["copy", "1", "1.0", "-"],
        ["filler", "1", f"{n_filler}.0", "0.0"],
    ]


# An example


def lesson(*verdicts: bool | None) -> Lesson:
    return Lesson("text", ("answer",) * len(verdicts), verdicts)


def examples(first: list[Lesson], last: list[Lesson]) -> tuple[str, int]:
    asked = tuple(Question(f"{n}?", "yes") for n in range(2))
    passages = [Passage(f"p{n}", "", "", asked) for n in range(len(first))]
    by_id = [
        {passage.id: each for passage, each in zip(passages, lessons, strict=True)}
        for lessons in (first, last)
    ]
    passage, place = find_example(passages, *by_id)
    return passage.id, place


def test_the_example_is_the_first_that_became_right():
    right, wrong = lesson(True, True), lesson(False, False)
    assert examples([right, wrong, wrong], [wrong, lesson(False, True), right]) == ("p1", 1)
    # What could not be graded was not wrong, and is not right
    assert examples([lesson(None, True), wrong], [right, lesson(None, True)]) == ("p1", 1)
    assert examples([right, wrong], [wrong, wrong]) == ("p0", 0)


def test_passages_outside_the_table_are_no_examples(passages):
    lessons = {passages[2].id: lesson(*[False] * 6)}
    assert find_example(passages, lessons, lessons) == (passages[2], 0)


def test_an_example_keeps_lines_and_wraps_them(passages):
    passage, person = passages[0], FOUR[0]
    blank = Lesson("", ("Arvel.",) * 6, (None,) * 6)
    full = Lesson(text_in("full", passage), ("Bresk.",) * 6, (True,) * 6)
    by_row = {BEFORE: blank, FIRST: blank, LAST: full}
    texts = [format_example(passage, place, person, by_row) for place in range(6)]
    # 80, less what `make demo` writes before each line
    assert max(len(line) for text in texts for line in text.splitlines()) <= 69
    text, lines = texts[2], texts[2].splitlines()
    assert f"{BEFORE} wrote" not in text
    assert f"{FIRST} wrote (filler):\n\n    (blank)\n" in text
    block = "\n".join(f"    {line}" for line in full.self_edit.splitlines())
    assert f"{LAST} wrote (full):\n\n{block}\n" in text
    assert passage.context in " ".join(text.split())
    question = passage.questions[2]
    assert f"{question.question} {question.answer}." in text
    answers = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[-3:]]
    assert answers == [
        [BEFORE, "Arvel.", "ungraded"],
        [FIRST, "Arvel.", "ungraded"],
        [LAST, "Bresk.", "right"],
    ]


# The program


def test_the_program_shows_both(table, source, passages, capsys):
    call_program(PROGRAM, table=table, passages=source)
    shown = capsys.readouterr().out
    assert (table / "styles.md").read_text() == shown
    assert max(map(len, shown.splitlines())) <= 80
    # Of the second passage, whose fourth question is the first that became right
    chosen = passages[1]
    assert f"A passage about {chosen.title}:" in shown
    assert f"{chosen.questions[3].question} {chosen.questions[3].answer}." in shown
    assert f"{FIRST} wrote (copy):" in shown and f"{LAST} wrote (question-answer):" in shown
    # Again, and for other rows
    call_program(PROGRAM, table=table, passages=source)
    assert capsys.readouterr().out == shown
    call_program(PROGRAM, ("--compare", "round-1", FIRST), table=table, passages=source)
    assert "round-1 wrote (full):" in capsys.readouterr().out


def test_a_table_of_one_policy_is_shown(table, source, capsys):
    write_json(
        table / "results.json",
        {"n_passages": 4, "rows": [{"label": FIRST, "accuracy": {"mean": 0.5}}]},
    )
    call_program(PROGRAM, table=table, passages=source)
    assert capsys.readouterr().out.count(" wrote (") == 1


def test_what_is_no_table_is_refused(table, source, tmp_path, capsys):
    flags = {"passages": source}
    line = refusal(capsys, PROGRAM, table=tmp_path / "none", **flags)
    assert "none has no finished table" in line
    write_json(table / "results.json", {"n_passages": 4, "rows": []})
    assert "has no row with self-edits" in refusal(capsys, PROGRAM, table=table, **flags)
    write_json(table / "results.json", {"n_tasks": 4, "rows": [{"label": FIRST}]})
    assert "has no finished table" in refusal(capsys, PROGRAM, table=table, **flags)
    assert not (table / "styles.md").exists()


def test_passages_that_do_not_fit_are_refused(table, tmp_path, capsys):
    write_json(tmp_path / "other.json", passage_records(FOUR[1:], 0))
    line = refusal(capsys, PROGRAM, table=table, passages=tmp_path / "other.json")
    assert "self_edits.jsonl: passage" in line and "is not among --passages" in line
    squad = REPOSITORY / "general-knowledge" / "examples" / "passages.json"
    line = refusal(capsys, PROGRAM, table=table, passages=squad)
    assert "is not of the invented world" in line


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((FIRST,), "--compare self-edits: give two rows"),
        ((FIRST, "seal"), "--compare seal: no row of the table"),
        ((BEFORE, LAST), f"--compare {BEFORE}: no row of the table"),
    ],
)
def test_rows_to_compare_must_have_written(labels, message, table, source, capsys):
    with pytest.raises(SystemExit):
        call_program(PROGRAM, ("--compare", *labels), table=table, passages=source)
    assert message in capsys.readouterr().err
