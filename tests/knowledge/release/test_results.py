"""What a released file is worth: golden arithmetic, clusters, and questions put back."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knowledge.experiments.retention import retention
from knowledge.judging.judges import Grade
from knowledge.release.records import Answered, Dataset, Examinations, Pretraining, Sequences
from knowledge.release.results import (
    System,
    difference,
    estimate,
    of_answers,
    of_examinations,
    of_pretraining,
    of_sequences,
    pool_sequences,
    questions_asked,
    regraded,
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


def answered(passage: str, correct: bool | None, trial: str = "", **changes) -> Answered:
    answer = Answered(passage, "T", "q", "g", "a", correct, trial or passage)
    return replace(answer, **changes)


def test_means_over_passages_and_over_questions():
    answers = [answered("a", True), *[answered("b", x) for x in (False, False, True)]]
    over_passages = of_answers(answers, "passages", "j")
    over_questions = of_answers(answers, "questions", "j")
    assert over_passages.mean == pytest.approx((1 + 0.3333) / 2)  # G4 rounds each accuracy
    assert over_questions.mean == 0.5
    assert (over_questions.n_passages, over_questions.n_questions) == (2, 4)


def test_ungraded_answers_are_in_no_mean():
    system = of_answers(
        [answered("a", True), answered("a", None), answered("b", None)], "passages", "j"
    )
    assert (system.mean, system.n_passages) == (1.0, 1)


def test_repeated_trials_count_each_question_once():
    answers = [answered("a", x, trial) for trial in ("0", "1") for x in (True, False)]
    assert of_answers(answers, "passages", "j").n_questions == 2


def test_blank_answers():
    answers = [answered("a", True), answered("a", False, answer=" \n")]
    assert of_answers(answers, "passages", "j").blank_rate == 0.5
    assert System("j", "passages", {"a": [1.0]}, 1).blank_rate is None


@pytest.mark.parametrize("mean_over", ["passages", "questions"])
def test_intervals_are_those_of_resampled_passages(mean_over):
    chance = random.Random(1)
    answers = [
        answered(str(p), chance.random() < 0.2 + 0.6 * (p % 2))
        for p in range(40)
        for _ in range(1 + p % 5)
    ]
    system = of_answers(answers, mean_over, "j")
    groups = list(system.clusters.values())
    generator = np.random.default_rng(5)
    resampled = []
    for _ in range(4000):
        drawn = [groups[i] for i in generator.integers(len(groups), size=len(groups))]
        values = [np.mean(g) for g in drawn] if mean_over == "passages" else np.concatenate(drawn)
        resampled.append(np.mean(values))
    figure = estimate(system)
    assert figure.mean == pytest.approx(system.mean)
    assert [figure.lower, figure.upper] == pytest.approx(
        np.quantile(resampled, [0.025, 0.975]), abs=0.015
    )


def test_differences_are_paired_over_common_passages():
    ours = System("j", "passages", {"a": [1.0], "b": [0.5], "c": [0.0]}, 3)
    theirs = System("j", "passages", {"a": [0.5], "b": [0.0], "d": [1.0]}, 3)
    change = difference(ours, theirs)
    assert (change.mean, change.n, change.lower) == (0.5, 2, 0.5)
    assert difference(ours, System("j", "passages", {"z": [1.0]}, 1)) is None
    assert difference(ours, System("j", "passages", {}, None, stated=0.5)) is None
    assert difference(ours, replace(theirs, n_passages=None)) is None


@pytest.mark.parametrize("records", [True, False])
def test_examinations_with_and_without_records(tmp_path, records):
    content = examinations(ENTRIES, k=3, repeats=2, records=records)
    [file] = read(tmp_path, x=content).of(Examinations)
    for side, prefix in (("before", "baseline"), ("after", "adapter")):
        system = of_examinations(file, side)
        assert round(system.mean, 4) == content["overall"][f"{prefix}_mean_accuracy"]
        assert system.n_passages == 12
        assert system.n_questions == (36 if records else None)
    assert of_examinations(file, "after").blank_rate == (
        pytest.approx(0.5, abs=0.15) if records else None
    )


def test_a_file_that_states_only_a_mean(tmp_path):
    content = {**examinations(ENTRIES), "articles": []}
    [file] = read(tmp_path, x=content).of(Examinations)
    system = of_examinations(file, "after")
    assert system.mean == content["overall"]["adapter_mean_accuracy"]
    assert estimate(system) is None


def test_proxy_scores(tmp_path):
    content = examinations(ENTRIES, k=2, records=False)
    for number, article in enumerate(content["articles"]):
        for completion in article["completions"]:
            completion["stats"]["proxy_mean"] = 10.0 + number % 2
    content["overall"]["mean_proxy_score"] = 10.5
    [file] = read(tmp_path, x=content).of(Examinations)
    assert of_examinations(file, "after").mean == 10.5
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
    system = of_pretraining(file, "after", pools)
    assert round(system.mean, 4) == system.stated
    assert system.n_questions == len(file.verdicts["after"])
    for answer in system.answers:
        assert (answer.gold in answer.answer) == answer.correct
    golds = {q["answer"]: e["context"] for e in ENTRIES for q in e["questions"]}
    ids = {p.id: p.context for p in pools[1]}
    assert all(ids[a.passage_id] == golds[a.gold] for a in system.answers)


def test_without_the_passages_each_question_stands_alone(tmp_path):
    content = pretraining(ENTRIES, limit=20)
    release = read(tmp_path, other=dataset(passages(3)), cpt=content)
    [file] = release.of(Pretraining)
    for pools in ([], [d.passages for d in release.of(Dataset)]):
        system = of_pretraining(file, "after", pools)
        assert round(system.mean, 4) == content["metrics"]["adapter_accuracy"]
        assert (system.n_passages, system.n_questions, system.answers) == (None, 20, ())
        assert estimate(system).n == 20


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
    assert of_pretraining(file, "before", pools).mean is None
    assert of_pretraining(file, "after", pools).n_passages == 12


def test_v1_without_the_servers_reply_states_its_mean(tmp_path):
    content = pretraining(ENTRIES, "v1")
    del content["server_reply"]
    [file] = read(tmp_path, cpt=content).of(Pretraining)
    system = of_pretraining(file, "after", [])
    assert system.mean == content["overall"]["adapter_accuracy"]
    assert estimate(system) is None


def test_sequences(tmp_path):
    runs = {f"run{seed}": sequences(seed=seed) for seed in range(4)}
    release = read(tmp_path, **runs, overall_results={**sequences(seed=9), "n_sequences": 32})
    systems = of_sequences(release.of(Sequences))
    mean = np.mean([run["mean_over_sequences"] for run in runs.values()], axis=0)
    figures = retention(mean)
    assert systems["before"].mean == pytest.approx(figures.before_any_edit)
    assert systems["after-own-edit"].mean == pytest.approx(figures.after_own_edit)
    assert systems["after-all-edits"].mean == pytest.approx(figures.after_all_edits)
    assert estimate(systems["before"]).n == 4
    assert pool_sequences(release.of(Sequences))[0].n_sequences == 32


def test_the_overall_file_alone_and_runs_of_another_shape(tmp_path):
    overall = read(tmp_path / "a", overall_results=sequences())
    assert pool_sequences(overall.of(Sequences)) is None
    assert estimate(of_sequences(overall.of(Sequences))["before"]) is None
    assert of_sequences([]) == {}
    mixed = read(tmp_path / "b", run0=sequences(3), run1=sequences(4), run2=sequences(3, n=2))
    assert len(pool_sequences(mixed.of(Sequences))[1]) == 1


class HalfJudge:
    """Says yes to answers with "gold", a quarter sure of the others."""

    name = "half"

    def grade(self, items):
        return [Grade("gold" in i.answer, 0.75 if "gold" in i.answer else 0.25) for i in items]


def test_answers_are_graded_again(tmp_path):
    [file] = read(tmp_path, x=examinations(ENTRIES, right=0.5)).of(Examinations)
    system = of_examinations(file, "after")
    by_verdict, calibrated = regraded(system, HalfJudge(), 0.0)
    assert (by_verdict.judge, calibrated.judge) == ("half", "half, calibrated")
    assert by_verdict.clusters == system.clusters
    assert calibrated.mean == pytest.approx(0.25 + system.mean / 2, abs=1e-3)
    assert regraded(replace(system, answers=()), HalfJudge(), 0.0) == []


# The release's own files


def release_part():
    return read_release(shared_data("seal-release"))


def test_every_file_states_the_mean_of_its_records():
    release = release_part()
    pools = [d.passages for d in release.of(Dataset)]
    for side in ("before", "after"):
        systems = [of_examinations(file, side) for file in release.of(Examinations)]
        systems += [of_pretraining(file, side, pools) for file in release.of(Pretraining)]
        for system in systems:
            if system.mean is not None and system.stated is not None:
                assert round(system.mean, 4) == pytest.approx(system.stated, abs=1e-9)


def test_every_pretraining_file_finds_its_questions():
    release = release_part()
    pools = [d.passages for d in release.of(Dataset)]
    for file in release.of(Pretraining):
        assert any(len(pool) >= file.n_passages for pool in pools), "the part lacks the passages"
        assert questions_asked(file, pools) is not None, file.path


def test_examination_files_know_their_passages_without_a_data_set():
    release = release_part()
    for file in release.of(Examinations):
        asked = {a.passage_id for a in of_examinations(file, "after").answers}
        assert asked <= {passage.id for passage in file.passages}
        assert isinstance(file.path, Path)
