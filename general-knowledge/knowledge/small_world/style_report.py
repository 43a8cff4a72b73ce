"""The styles of a table's self-edits, row by row, and an example; for the invented world alone."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from knowledge.data.passages import Passage
from knowledge.judging.answer_records import Answers, Grades
from knowledge.small_world.people import RELATIONS, STYLES, Person, style_of
from seal.checksums import check_sums
from seal.errors import UserError
from seal.records import field, jsonl_rows, of_kind, read_json
from seal.report.intervals import mean
from seal.report.tables import markdown_table, number, percent
from seal.run import Run

BEFORE = "no-update"
"""The row of eval_single_passage.py without an update."""
_HEADINGS = {"question-answer": "Q&A"}
_LEGEND = (
    "Q&A: questions with answers; full: all six facts; partial: fewer; wrong: any untrue; copy:"
    " words of the passage; filler: no fact. In percent; lines: mean number in a self-edit."
)
# 80 columns, less what `make demo` writes before each line
_WIDTH = 69
_VERDICTS = {True: "right", False: "wrong", None: "ungraded"}


@dataclass(frozen=True)
class Row:
    """A row of a table whose policy wrote self-edits."""

    label: str
    accuracy: float | None
    """None if nothing could be graded."""
    self_edits: tuple[tuple[str, str], ...]
    """Passage id and text of each."""


@dataclass(frozen=True)
class Lesson:
    """A self-edit about a passage, and the answers after training on it."""

    self_edit: str
    """Blank before any update."""
    answers: tuple[str, ...]
    verdicts: tuple[bool | None, ...]
    """Both in the order of the passage's questions; None is ungraded."""


# Reading


def read_people(passages: Sequence[Passage], source: str) -> dict[str, Person]:
    """The person of each passage, by its id.

    Raises UserError naming a passage of `source` that is not of the invented world.
    """
    people = {}
    for passage in passages:
        answers = {each.question: each.answer for each in passage.questions}
        facts = []
        for relation in RELATIONS:
            asked = (question.format(n=passage.title) for question in relation.questions)
            facts.append(next((answers[each] for each in asked if each in answers), None))
            if facts[-1] not in relation.values:
                raise UserError(
                    f"{source}: passage {passage.id} is not of the invented world, and only its"
                    " texts have styles; give passages that pretrain_small_model.py wrote"
                )
        people[passage.id] = Person(passage.title, tuple(facts))
    return people


def read_rows(table: Path, people: Mapping[str, Person]) -> list[Row]:
    """The rows of a table that have self-edits of their own, in its order.

    Raises UserError for a folder without a table or such rows, with passages that `people` lack, or
    that is not what it was when the table was finished.
    """
    path = table / "results.json"
    check_sums(table, "give a table as it was when it was finished")
    results = read_json(path) if path.exists() else {}
    if not isinstance(results, dict) or not {"n_passages", "rows"} <= results.keys():
        raise UserError(
            f"--table {table} has no finished table in its results.json; give the --run_dir of an"
            " eval_single_passage.py that has ended"
        )
    rows = []
    for row in of_kind(results["rows"], list, f'{path}: "rows"'):
        label = field(row, "label", str, f"{table / 'results.json'}: a row")
        accuracy = field(row, "accuracy", object, f"{table / 'results.json'}: row {label}")
        where = f"{table / 'results.json'}: accuracy of row {label}"
        found = None if accuracy is None else field(accuracy, "mean", float, where)
        path = table / label / "self_edits.jsonl"
        if path.exists():
            texts = tuple((passage, text) for _, passage, text in _self_edits(path))
            if missing := [passage for passage, _ in texts if passage not in people]:
                raise UserError(
                    f"{path}: passage {missing[0]} is not among --passages; give those that the"
                    " table was made with"
                )
            rows.append(Row(label, found, texts))
    if not rows:
        raise UserError(
            f"--table {table} has no row with self-edits of its own; give the --run_dir of an"
            " eval_single_passage.py"
        )
    return rows


def read_lessons(row: Path, passages: Sequence[Passage]) -> dict[str, Lesson]:
    """The lesson of each passage, by its id: the first inner loop of the first self-edit.

    Raises UserError for records that are damaged, or not of these passages and their questions.
    """
    run, path = Run(row), row / "self_edits.jsonl"
    texts = {id_: text for id_, _, text in _self_edits(path)} if path.exists() else {}
    verdicts = {each.id: tuple(each.verdicts) for each in run.records("grades", Grades)}
    asked = {each.id: [question.question for question in each.questions] for each in passages}
    lessons: dict[str, Lesson] = {}
    for record in sorted(run.records("answers", Answers), key=lambda record: record.id):
        questions = [answer.question for answer in record.answers]
        if questions != asked.get(record.passage_id):
            raise UserError(
                f"{run.path('answers.jsonl')}: {record.id} is not of a passage of --passages and"
                " its questions; give those that the table was made with"
            )
        if len(verdicts.get(record.id, ())) != len(questions):
            problem = f"answers.jsonl has other answers to {record.id} than grades.jsonl has grades"
            raise UserError(f"{row}: {problem}; finish the run")
        self_edit, _, _ = record.id.rpartition("/")
        answers = tuple(answer.answer for answer in record.answers)
        lesson = Lesson(texts.get(self_edit, ""), answers, verdicts[record.id])
        lessons.setdefault(record.passage_id, lesson)
    return lessons


def _self_edits(path: Path) -> list[tuple[str, str, str]]:
    """Id, passage and text of each self-edit of a file."""
    names = ("id", "passage_id", "text")
    return [
        tuple(field(record, name, str, where) for name in names)
        for where, record in jsonl_rows(path)
    ]


# The table


def format_styles(rows: Sequence[Row], people: Mapping[str, Person]) -> str:
    """How often each row's policy wrote in each style, what the styles are, and its accuracy."""
    header = ["", *(_HEADINGS.get(style, style) for style in STYLES), "lines", "accuracy"]
    cells = []
    for row in rows:
        found = [style_of(text, people[passage]) for passage, text in row.self_edits]
        shares = (100 * found.count(style) / len(found) for style in STYLES)
        n_lines = _mean_lines([text for _, text in row.self_edits])
        of_styles = [number(share, digits=0) for share in shares]
        cells.append([row.label, *of_styles, n_lines, percent(row.accuracy)])
    return f"{markdown_table(header, cells)}\n\n{textwrap.fill(_LEGEND, _WIDTH)}"


def format_worth(lessons: Mapping[str, Lesson], people: Mapping[str, Person]) -> str:
    """The accuracy after training on one row's self-edits, by their style."""
    of_style: dict[str, list[Lesson]] = {}
    for passage, lesson in lessons.items():
        of_style.setdefault(style_of(lesson.self_edit, people[passage]), []).append(lesson)
    cells = []
    for style in STYLES:
        if found := of_style.get(style):
            verdicts = [v for lesson in found for v in lesson.verdicts if v is not None]
            n_lines = _mean_lines([lesson.self_edit for lesson in found])
            worth = percent(mean(verdicts) if verdicts else None)
            cells.append([_HEADINGS.get(style, style), str(len(found)), n_lines, worth])
    return markdown_table(["style", "self-edits", "lines", "accuracy"], cells)


def _mean_lines(texts: Sequence[str]) -> str:
    lines = [sum(bool(line.strip()) for line in text.splitlines()) for text in texts]
    return number(mean(lines))


# An example


def find_example(passages: Sequence[Passage], *rows: Mapping[str, Lesson]) -> tuple[Passage, int]:
    """The first passage with a question that is wrong in the row before the last, but right there.

    Returns it with the question's place; without such a question, the first question of all. Raises
    UserError if no passage is in all rows.
    """
    first, last = rows[-2:]
    examined = [each for each in passages if all(each.id in lessons for lessons in rows)]
    if not examined:
        raise UserError("--table: no passage is in all rows that are compared; finish the table")
    for passage in examined:
        for place in range(len(passage.questions)):
            if first[passage.id].verdicts[place] is False and last[passage.id].verdicts[place]:
                return passage, place
    return examined[0], 0


def format_example(
    passage: Passage, place: int, person: Person, lessons: Mapping[str, Lesson]
) -> str:
    """The passage, the self-edits about it, and the answers to one of its questions.

    `lessons` are by row; that of BEFORE has no self-edit.
    """
    question = passage.questions[place]
    parts = [f"A passage about {passage.title}:", _block(passage.context)]
    rows = []
    for label, lesson in lessons.items():
        if label != BEFORE:
            style = style_of(lesson.self_edit, person)
            parts += [f"{label} wrote ({style}):", _block(lesson.self_edit)]
        rows.append([label, lesson.answers[place], _VERDICTS[lesson.verdicts[place]]])
    parts.append(textwrap.fill(f"{question.question} {question.answer}.", _WIDTH))
    return "\n\n".join([*parts, markdown_table(["closed-book after", "answer", ""], rows)])


def _block(text: str) -> str:
    """A verbatim block of Markdown; continued lines are indented further."""
    lines = text.splitlines() or ["(blank)"]
    return "\n".join(
        textwrap.fill(line, _WIDTH, initial_indent=4 * " ", subsequent_indent=6 * " ")
        for line in lines
    )
