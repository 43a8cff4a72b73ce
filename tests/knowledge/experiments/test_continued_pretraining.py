"""Continued pretraining: what is trained on, which questions are graded, how rows are summed up."""

from dataclasses import replace

import pytest

from knowledge.data.passages import Passage, Question, load_passages
from knowledge.data.splits import evaluation_passages
from knowledge.experiments.continued_pretraining import (
    LAYOUT,
    examine,
    pretraining_job,
    pretraining_rows,
    with_questions,
)
from knowledge.judging.judges import Grade, OfflineJudge
from knowledge.method.closed_book import Outcome, Trial
from knowledge.method.self_edits import SelfEdit
from knowledge.method.single_passage_table import format_rows, summarize_rows
from knowledge.release.records import Pretraining
from knowledge.release.results import questions_asked
from knowledge.release.scan import parse_released
from knowledge.settings import PretrainingSettings
from seal.records import read_json
from seal.run import Run
from seal.settings import ModelSettings
from tests.support.data import shared_data

PASSAGES = [
    Passage(
        f"p{i}", f"Title {i}", f" Context {i}. ", tuple(Question(f"q{i}{j}", "a") for j in "ab")
    )
    for i in range(3)
]
SELF_EDITS = [
    SelfEdit(f"p{i}/implications/{n}", f"p{i}", "implications", text, "stop", 3)
    for i in range(2)
    for n, text in enumerate([f"One {i}.\nTwo {i}.", ""])
]


def texts(**flags) -> list[str]:
    rows = pretraining_rows(PASSAGES[:2], flags.pop("edits", SELF_EDITS), settings(**flags))
    assert {row.prompt for row in rows} == {""}
    return [row.completion for row in rows]


def settings(**flags) -> PretrainingSettings:
    return PretrainingSettings(**flags)


def test_self_edits_are_whole_and_the_passage_comes_once():
    assert texts() == [
        text
        for i in range(2)
        for text in (f"Title {i}\nOne {i}.\nTwo {i}.", f"Title {i}\nContext {i}.")
    ]


def test_in_the_first_version_the_passage_comes_with_each_self_edit():
    assert texts(passage_copies="with-each")[:3] == [
        "Title 0\nOne 0.\nTwo 0.",
        "Title 0\nContext 0.",
        "Title 0\nContext 0.",  # of the blank self-edit
    ]


def test_self_edits_may_be_split_into_lines():
    expected = ["Title 0\nOne 0.", "Title 0\nTwo 0.", "Title 0\nContext 0."]
    assert texts(split_newlines=True)[:3] == expected


@pytest.mark.parametrize("copies", ["once", "with-each"])
def test_without_self_edits_each_passage_comes_once(copies):
    expected = ["Title 0\nContext 0.", "Title 1\nContext 1."]
    assert texts(edits=[], passage_copies=copies) == expected


@pytest.mark.parametrize(
    ("file", "copies"), [("cpt/200/base_200.json", "once"), ("cpt/old/cpt_base.json", "with-each")]
)
def test_as_many_sequences_as_in_the_releases_runs(file, copies):
    """Its self-edits are implications, each one piece."""
    results = read_json(shared_data(f"seal-release/general-knowledge/results/{file}"))
    passages = [PASSAGES[0]] * results["n_articles"]
    k = results.get("k_completions")
    edits = [SelfEdit(f"p0/{n}", "p0", "implications", "1. A\n2. B", "stop", 3) for n in range(k)]
    of_one = pretraining_rows(passages[:1], edits, settings(passage_copies=copies))
    assert len(of_one) * len(passages) == results["train_sequences"]


def test_flags_reach_the_finetune():
    model = ModelSettings(model="base", dtype="float32")
    full = pretraining_job(model, settings(batch_size=3, gradient_accumulation=4), seed=9)
    assert (full.model, full.dtype, full.rank, full.seed) == ("base", "float32", None, 9)
    assert (full.batch_size, full.at_once, full.schedule) == (12, 3, "linear")
    # The release's arguments for its second version
    paper = pretraining_job(model, settings(), seed=43)
    assert (paper.learning_rate, paper.epochs, paper.warmup_ratio) == (7e-5, 1, 0.03)
    assert (paper.at_once, paper.batch_size, paper.max_length) == (4, 8, 2048)
    lora = pretraining_job(model, settings(method="lora", lora_rank=7, lora_alpha=5), seed=0)
    assert (lora.rank, lora.alpha, lora.target_modules) == (7, 5, ["q_proj", "v_proj"])


# Questions


def questions(passages) -> list[tuple[str, str]]:
    return [(passage.id, q.question) for passage in passages for q in passage.questions]


def test_some_questions_of_all_are_graded():
    everything = questions(PASSAGES)
    assert questions(with_questions(PASSAGES, 0)) == everything
    assert questions(with_questions(PASSAGES, 100)) == everything
    for n in range(1, 6):
        passages = with_questions(PASSAGES, n)
        chosen = questions(passages)
        assert len(chosen) == len(set(chosen)) == n and set(chosen) < set(everything)
        assert sorted(chosen) == chosen and all(passage.questions for passage in passages)


@pytest.mark.parametrize("file", ["200/base_200.json", "200/naive_200.json"])
def test_the_questions_are_the_releases(file):
    """Put back from its answers, which contain the gold answers of no other order of questions."""
    folder = shared_data("seal-release/general-knowledge")
    pool = evaluation_passages(load_passages(shared_data("squad/squad_val.json")), 200)
    path = folder / "results" / "cpt" / file
    released = parse_released(path, folder, read_json(path))
    assert isinstance(released, Pretraining)
    asked = questions_asked(released, [pool])
    assert len(asked) == 500
    chosen = questions(with_questions(pool, len(asked)))
    assert sorted(chosen) == sorted((passage.id, question.question) for passage, question in asked)


# Asking and summing up


def test_a_model_whose_answers_are_there_is_not_loaded(tmp_path, monkeypatch):
    def refuse(*_):
        raise RuntimeError("loaded")

    monkeypatch.setattr("knowledge.experiments.continued_pretraining.open_policy", refuse)
    run = Run(tmp_path)
    with pytest.raises(RuntimeError, match="loaded"):
        examine(run, PASSAGES, "base", ModelSettings(), OfflineJudge(), settings())
    for passage in PASSAGES:
        said = {"answer": "a", "text": "a", "finish_reason": "stop"}
        asked = [{"question": q.question, "gold": q.answer} | said for q in passage.questions]
        about = {"passage_id": passage.id, "title": passage.title}
        run.append("answers", {"id": passage.id, **about, "answers": asked})
    outcomes = examine(run, PASSAGES, "base", ModelSettings(), OfflineJudge(), settings())
    assert [outcome.verdicts for outcome in outcomes] == [[True, True]] * 3


def outcomes(verdicts: list[list[bool | None]], answer: str = "x") -> list[Outcome]:
    return [
        Outcome(
            Trial(passage.id, replace(passage, questions=passage.questions[: len(own)])),
            (answer,) * len(own),
            tuple(Grade(v, None if v is None else 0.75 if v else 0.25) for v in own),
        )
        for passage, own in zip(PASSAGES, verdicts, strict=True)
    ]


def test_rows_are_over_questions_and_over_passages():
    before = outcomes([[False, False], [True], [False, None]], answer=" ")
    after = outcomes([[True, False], [True], [None]])
    rows = summarize_rows({"no-update": before, "finetuned": after}, LAYOUT, seed=0)
    first, second = rows
    assert first["accuracy_over_questions"]["mean"] == pytest.approx(1 / 4)
    assert first["accuracy_over_passages"]["mean"] == pytest.approx(1 / 3)
    assert first["calibrated_over_questions"]["mean"] == pytest.approx((3 * 0.25 + 0.75) / 4)
    assert (first["n_answers"], first["n_ungraded"], first["blank_answer_rate"]) == (5, 1, 1.0)
    assert first["difference_to_row_above"] is None
    assert second["accuracy_over_questions"]["mean"] == pytest.approx(2 / 3)
    assert second["accuracy_over_questions"]["n"] == 2  # clusters are passages
    # Over the passages that both have: 2 of 3 against 1 of 3
    assert second["difference_to_row_above"]["mean"] == pytest.approx(1 / 3)
    shown = format_rows(rows, LAYOUT)
    assert "| no-update | 25.0" in shown and "+33.3" in shown


def test_nothing_graded_has_no_accuracy():
    (row,) = summarize_rows({"one": outcomes([[None], [None], [None]])}, LAYOUT, seed=0)
    assert row["accuracy_over_questions"] is None and row["accuracy_over_passages"] is None
    last = format_rows([row], LAYOUT).splitlines()[-1]
    cells = [cell.strip() for cell in last.split("|")[1:-1]]
    assert cells == ["one", "-", "-", "-", "-", "0.0", "3"]
