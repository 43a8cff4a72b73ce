"""Passages from every layout; each defect of a file is named with its place and its fix."""

import json
import re

import datasets
import pytest

from knowledge.data.passages import Question, group_rows, load_passages
from seal.errors import UserError
from seal.records import read_json
from tests.support.data import shared_data

GROUPED = [
    {"title": "A b", "context": "One.", "questions": [{"question": "q1", "answer": "a1"}]},
    {"title": "C", "context": "Two.", "questions": [{"question": " q2", "answer": "a2 "}]},
]
SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "A_b%27s",
            "paragraphs": [
                {
                    "context": "One.",
                    "qas": [
                        {"question": "q1", "answers": [{"text": "a1"}, {"text": "other"}]},
                        {"question": "q2", "answers": [{"text": "a2", "answer_start": 3}]},
                    ],
                },
                {"context": "Two.", "qas": [{"question": "q3", "answers": [{"text": "a3"}]}]},
            ],
        }
    ],
}


@pytest.fixture
def load(tmp_path):
    """Write a value, or a text as it is, to a file and load its passages."""

    def load_value(value):
        path = tmp_path / "passages.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return load_passages(path)

    return load_value


def copy_of(value):
    return json.loads(json.dumps(value))


def test_grouped_layout_is_taken_verbatim(load):
    first, second = load([{**GROUPED[0], "completions": ["ignored"]}, GROUPED[1]])
    assert (first.title, first.context) == ("A b", "One.")
    assert first.questions == (Question("q1", "a1"),)
    assert second.questions == (Question(" q2", "a2 "),)


def test_squad_layout(load):
    first, second = load(SQUAD)
    assert first.title == second.title == "A b%27s"
    assert first.questions == (Question("q1", "a1"), Question("q2", "a2"))
    assert (second.context, second.questions) == ("Two.", (Question("q3", "a3"),))


def test_equal_paragraphs_become_one_passage(load):
    squad = copy_of(SQUAD)
    again = copy_of(squad["data"][0]["paragraphs"][0])
    again["qas"] = [{"question": "q9", "answers": [{"text": "a9"}]}]
    squad["data"][0]["paragraphs"].append(again)
    first, second = load(squad)
    assert [question.question for question in first.questions] == ["q1", "q2", "q9"]
    assert second.context == "Two."


def test_unanswerable_questions_and_unasked_paragraphs_are_left_out(load):
    squad = copy_of(SQUAD)
    paragraphs = squad["data"][0]["paragraphs"]
    paragraphs[0]["qas"][0] |= {"is_impossible": True, "answers": []}
    paragraphs[1]["qas"] = []
    [passage] = load(squad)
    assert passage.questions == (Question("q2", "a2"),)


def test_ids_are_readable_and_depend_on_title_and_context_alone(load):
    [passage] = load(GROUPED[:1])
    assert re.fullmatch(r"a-b-[0-9a-f]{8}", passage.id)
    changed = [{**GROUPED[0], "questions": [{"question": "x", "answer": "y"}]}]
    assert load(list(reversed(GROUPED)))[1].id == load(changed)[0].id == passage.id
    assert load([{**GROUPED[0], "context": "Three."}])[0].id != passage.id
    assert load([{**GROUPED[0], "title": "A-b"}])[0].id != passage.id


def test_equal_passages_get_numbered_ids(load):
    first, second, third, other = load([*[GROUPED[0]] * 3, GROUPED[1]])
    assert [second.id, third.id] == [f"{first.id}-2", f"{first.id}-3"]
    assert other.id.startswith("c-")


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Frédéric Chopin", "frederic-chopin"),
        ("Sky (United Kingdom)", "sky-united-kingdom"),
        ("日本", "passage"),
        ("../..", "passage"),
        ("x" * 39 + " y", "x" * 39),
    ],
)
def test_slugs_are_safe_in_file_names(load, title, slug):
    [passage] = load([{**GROUPED[0], "title": title}])
    assert passage.id[:-9] == slug


def test_rows_of_a_hub_data_set_are_grouped():
    rows = datasets.Dataset.from_list(
        [
            {"title": "A_b", "context": "One.", "question": "q1", "answers": {"text": ["a1", "x"]}},
            {"title": "A_b", "context": "One.", "question": "q2", "answers": {"text": ["a2"]}},
            {"title": "C", "context": "One.", "question": "q3", "answers": {"text": ["a3"]}},
            {"title": "A_b", "context": "One.", "question": "q4", "answers": {"text": ["a4"]}},
        ]
    )
    first, second = group_rows(rows, "hub")
    assert first.title == "A b"
    assert [question.answer for question in first.questions] == ["a1", "a2", "a4"]
    assert (second.title, second.questions) == ("C", (Question("q3", "a3"),))


def test_a_row_without_answers_is_named():
    rows = [{"title": "T", "context": "C", "question": "q", "answers": {"text": []}}]
    with pytest.raises(UserError, match="hub:x row 1: no answers"):
        group_rows(rows, "hub:x")


def test_a_hub_name_is_loaded_with_its_split(monkeypatch):
    def load_dataset(name, split):
        assert (name, split) == ("rajpurkar/squad", "train")
        row = {"title": "T", "context": "C", "question": "q", "answers": {"text": ["a"]}}
        return datasets.Dataset.from_list([row])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    [passage] = load_passages("rajpurkar/squad:train")
    assert passage.questions == (Question("q", "a"),)


def test_what_the_hub_refuses_is_one_line(monkeypatch):
    def load_dataset(name, split):
        raise ValueError('Unknown split "dev".\nMore')

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError, match=r'rajpurkar/squad:dev .*Unknown split "dev"\.') as refusal:
        load_passages("rajpurkar/squad:dev")
    assert "\n" not in str(refusal.value)


def test_a_hub_name_without_split_is_refused():
    with pytest.raises(UserError, match="rajpurkar/squad:train"):
        load_passages("rajpurkar/squad")


@pytest.mark.parametrize("source", ["nowhere.json", "no/where.json", "/no/where/at/all"])
def test_missing_file(source):
    with pytest.raises(UserError, match=f"{source}.*no such file"):
        load_passages(source)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('[{"title": "T",}]', r"malformed JSON at line 1 column \d+"),
        ({"passages": []}, "neither"),
        ("3", "neither"),
        ([], "no passages"),
        ({"data": []}, "no passages"),
        ([1], r'passage 1: expected an object with "title", found \'1\''),
    ],
)
def test_wrong_files(load, value, message):
    with pytest.raises(UserError, match=rf"passages\.json.*{message}"):
        load(value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["title"], None, r'passage 2: "title" is missing'),
        (["title"], " ", r'passage 2: "title" is blank'),
        (["title"], 3, r'passage 2: "title" must be a text, found \'3\''),
        (["context"], None, r'passage 2 \(C\): "context" is missing'),
        (["context"], "\n", r'passage 2 \(C\): "context" is blank'),
        (["questions"], None, r'passage 2 \(C\): "questions" is missing'),
        (["questions"], {}, r'passage 2 \(C\): "questions" must be a list'),
        (["questions"], [], r"passage 2 \(C\): no questions"),
        (["questions", 0], "q", r"passage 2 \(C\) question 1: expected an object"),
        (["questions", 0, "question"], " ", r'passage 2 \(C\) question 1: "question" is blank'),
        (["questions", 0, "question"], None, r'passage 2 \(C\) question 1: "question" is missing'),
        (["questions", 0, "answer"], "", r'passage 2 \(C\) question 1: "answer" is blank'),
        (["questions", 0, "answer"], None, r'passage 2 \(C\) question 1: "answer" is missing'),
    ],
)
def test_defects_of_the_grouped_layout(load, path, value, message):
    with pytest.raises(UserError, match=rf"passages\.json {message}"):
        load(with_defect(GROUPED, [1, *path], value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ([], 1, r"article 1: expected an object"),
        (["title"], None, r'article 1: "title" is missing'),
        (["paragraphs"], None, r'article 1 \(A_b%27s\): "paragraphs" is missing'),
        (["paragraphs", 1, "context"], "", r'\(A_b%27s\) paragraph 2: "context" is blank'),
        (["paragraphs", 1, "qas"], None, r'paragraph 2: "qas" is missing'),
        (["paragraphs", 0, "qas", 1], 1, r"paragraph 1 question 2: expected an object"),
        (["paragraphs", 0, "qas", 1, "question"], "", r'question 2: "question" is blank'),
        (["paragraphs", 0, "qas", 1, "answers"], None, r'question 2: "answers" is missing'),
        (["paragraphs", 0, "qas", 1, "answers"], [], r"question 2: no answers"),
        (["paragraphs", 0, "qas", 1, "answers"], [{"text": " "}], r'answer 1: "text" is blank'),
        (["paragraphs", 0, "qas", 1, "answers"], [{}], r'answer 1: "text" is missing'),
    ],
)
def test_defects_of_the_squad_layout(load, path, value, message):
    with pytest.raises(UserError, match=message):
        load(with_defect(SQUAD, ["data", 0, *path], value))


def with_defect(value, path: list, defect):
    """A copy in which the item at `path` is replaced, or removed for None."""
    damaged = copy_of(value)
    *parents, last = path
    place = damaged
    for key in parents:
        place = place[key]
    if defect is None:
        del place[last]
    else:
        place[last] = defect
    return damaged


def test_the_whole_validation_split():
    path = shared_data("squad/squad_val.json")
    passages = load_passages(str(path))
    assert len(passages) == 2_067
    assert sum(len(passage.questions) for passage in passages) == 10_570
    assert len({passage.id for passage in passages}) == 2_067
    assert [passage.title for passage in passages] == [entry["title"] for entry in read_json(path)]
