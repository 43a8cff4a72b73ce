"""What a released file is worth: golden arithmetic, clusters, and questions put back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knowledge.experiments.retention import retention
from knowledge.judging.judges import Grade
from knowledge.method.scores import judged_again
from knowledge.release.records import Dataset, Examinations, Pretraining, Sequences
from knowledge.release.results import (
    comparable_runs,
    pool_sequences,
    questions_asked,
    scores_of,
    scores_of_sequences,
)
from knowledge.release.scan import read_release
from tests.knowledge.release_folder import (
    dataset,
    examinations,
    passages,
    pretraining,
    sequences,
    write,
)
from tests.support.data import shared_data

ENTRIES = passages(12)


def read(tmp_path, **files):
    """The release whose files are given by stem."""
    return read_release(write(tmp_path, {f"{stem}.json": value for stem, value in files.items()}))


@pytest.mark.parametrize("records", [True, False])
def test_examinations_with_and_without_records(tmp_path, records):
    content = examinations(ENTRIES, k=3, repeats=2, records=records)
    [file] = read(tmp_path, x=content).of(Examinations)
    for stage, prefix in (("before", "baseline"), ("after", "adapter")):
        scores = scores_of(file, stage)
        assert round(scores.mean, 4) == content["overall"][f"{prefix}_mean_accuracy"]
        assert scores.n_passages == 12
        assert scores.n_questions == (36 if records else None)
    assert scores_of(file, "after").blank_rate == (
        pytest.approx(0.5, abs=0.15) if records else None
    )


def test_a_file_that_states_only_a_mean(tmp_path):
    content = {**examinations(ENTRIES), "articles": []}
    [file] = read(tmp_path, x=content).of(Examinations)
    scores = scores_of(file, "after")
    assert scores.mean == content["overall"]["adapter_mean_accuracy"]
    assert scores.estimate() is None


def test_proxy_scores(tmp_path):
    content = examinations(ENTRIES, k=2, records=False)
    for number, article in enumerate(content["articles"]):
        for completion in article["completions"]:
            completion["stats"]["proxy_mean"] = 10.0 + number % 2
    content["overall"]["mean_proxy_score"] = 10.5
    [file] = read(tmp_path, x=content).of(Examinations)
    assert scores_of(file, "after").mean == 10.5
    assert file.articles[1].self_edits[0].reward == 11.0


@pytest.mark.parametrize(
    ("version", "shuffle_seed", "limit"),
    [("v1", None, None), ("v2", 42, 20), ("v2", 43, 20)],
)
def test_questions_of_pretraining_are_put_back(tmp_path, version, shuffle_seed, limit):
    content = pretraining(ENTRIES, version, shuffle_seed=shuffle_seed, limit=limit)
    decoy = passages(12)[::-1]
    release = read(tmp_path, decoy=dataset(decoy), right=dataset(ENTRIES), cpt=content)
    [file] = release.of(Pretraining)
    pools = [d.passages for d in release.of(Dataset)]
    scores = scores_of(file, "after", pools)
    assert round(scores.mean, 4) == scores.stated
    assert scores.n_questions == len(file.adapter_correct)
    for answer in scores.answers:
        assert (answer.gold in answer.answer) == answer.correct
    golds = {q["answer"]: e["context"] for e in ENTRIES for q in e["questions"]}
    ids = {p.id: p.context for p in pools[1]}
    assert all(ids[a.passage_id] == golds[a.gold] for a in scores.answers)


def test_without_the_passages_each_question_stands_alone(tmp_path):
    content = pretraining(ENTRIES, limit=20)
    release = read(tmp_path, other=dataset(passages(3)), cpt=content)
    [file] = release.of(Pretraining)
    for pools in ([], [d.passages for d in release.of(Dataset)]):
        scores = scores_of(file, "after", pools)
        assert round(scores.mean, 4) == content["metrics"]["adapter_accuracy"]
        assert (scores.n_passages, scores.n_questions, scores.answers) == (None, 20, ())
        assert scores.estimate().n == 20


def test_an_order_that_makes_no_sense_is_not_taken(tmp_path):
    content = pretraining(ENTRIES, limit=20, shuffle_seed=7)
    release = read(tmp_path, right=dataset(ENTRIES), cpt=content)
    [file] = release.of(Pretraining)
    assert questions_asked(file, [release.of(Dataset)[0].passages]) is None


def test_a_side_that_was_not_asked(tmp_path):
    content = pretraining(ENTRIES)
    content["per_question"] |= {"baseline_texts": None, "baseline_correct": None}
    content["metrics"]["baseline_accuracy"] = None
    release = read(tmp_path, right=dataset(ENTRIES), cpt=content)
    [file] = release.of(Pretraining)
    pools = [release.of(Dataset)[0].passages]
    assert scores_of(file, "before", pools).mean is None
    assert scores_of(file, "after", pools).n_passages == 12


def test_v1_without_the_servers_reply_states_its_mean(tmp_path):
    content = pretraining(ENTRIES, "v1")
    del content["server_reply"]
    [file] = read(tmp_path, cpt=content).of(Pretraining)
    scores = scores_of(file, "after", [])
    assert scores.mean == content["overall"]["adapter_accuracy"]
    assert scores.estimate() is None


def test_sequences(tmp_path):
    runs = {f"run{seed}": sequences(seed=seed) for seed in range(4)}
    release = read(tmp_path, **runs, overall_results={**sequences(seed=9), "n_sequences": 32})
    rows = scores_of_sequences(release.of(Sequences))
    mean = np.mean([run["mean_over_sequences"] for run in runs.values()], axis=0)
    numbers = retention(mean)
    assert rows["before"].mean == pytest.approx(numbers.before_any_edit)
    assert rows["after-own-edit"].mean == pytest.approx(numbers.after_own_edit)
    assert rows["after-all-edits"].mean == pytest.approx(numbers.after_all_edits)
    assert rows["before"].estimate().n == 4
    assert pool_sequences(release.of(Sequences)).n_sequences == 32


def test_the_overall_file_alone_and_runs_of_another_shape(tmp_path):
    overall = read(tmp_path / "a", overall_results=sequences())
    assert pool_sequences(overall.of(Sequences)) is None
    assert scores_of_sequences(overall.of(Sequences))["before"].estimate() is None
    assert scores_of_sequences([]) == {}
    mixed = read(tmp_path / "b", run0=sequences(3), run1=sequences(4), run2=sequences(3, n=2))
    assert len(comparable_runs(mixed.of(Sequences))) == 1


class HalfJudge:
    """Says yes to answers with "gold", a quarter sure of the others."""

    name = "half"

    def grade(self, items):
        return [Grade("gold" in i.answer, 0.75 if "gold" in i.answer else 0.25) for i in items]


def test_answers_are_graded_again(tmp_path):
    [file] = read(tmp_path, x=examinations(ENTRIES, right=0.5)).of(Examinations)
    scores = scores_of(file, "after")
    by_verdict, calibrated = judged_again(scores, HalfJudge(), 0.0)
    assert (by_verdict.judge, calibrated.judge) == ("half", "half, calibrated")
    assert by_verdict.clusters == scores.clusters
    assert calibrated.mean == pytest.approx(0.25 + scores.mean / 2, abs=1e-3)
    assert judged_again(replace(scores, answers=()), HalfJudge(), 0.0) == []


# The release's own files


def release_part():
    return read_release(shared_data("seal-release"))


def test_every_file_states_the_mean_of_its_records():
    release = release_part()
    pools = [d.passages for d in release.of(Dataset)]
    for stage in ("before", "after"):
        rows = [scores_of(file, stage) for file in release.of(Examinations)]
        rows += [scores_of(file, stage, pools) for file in release.of(Pretraining)]
        for scores in rows:
            if scores.mean is not None and scores.stated is not None:
                assert round(scores.mean, 4) == pytest.approx(scores.stated, abs=1e-9)


def test_every_pretraining_file_finds_its_questions():
    release = release_part()
    pools = [d.passages for d in release.of(Dataset)]
    for file in release.of(Pretraining):
        assert any(len(pool) >= file.n_passages for pool in pools), "the part lacks the passages"
        assert questions_asked(file, pools) is not None, file.path


def test_examination_files_know_their_passages_without_a_data_set():
    release = release_part()
    for file in release.of(Examinations):
        asked = {a.passage_id for a in scores_of(file, "after").answers}
        assert asked <= {passage.id for passage in file.passages}
        assert isinstance(file.path, Path)
