"""The fit of the offline judge and the measures of its agreement, on made-up data."""

import gzip
import json
import sys

import numpy as np
import pytest

from knowledge.judging.answer_features import FEATURES
from knowledge.judging.fit_offline import (
    FEWEST_GRADINGS,
    FOLDS,
    Agreement,
    GradedAnswer,
    cross_validate,
    feature_matrix,
    fingerprint,
    fit_logistic,
    fit_offline_judge,
    load_graded_answers,
    measure_agreement,
    system_means,
    word_recall,
)
from knowledge.judging.judges import GradingItem, OfflineJudge
from seal.command_line.program import run_program
from seal.errors import UserError
from tests.programs.programs import load_program


def graded(answer: str, n_yes: int, n_no: int, title: str = "Moth", **sources: int) -> GradedAnswer:
    counts = tuple(sources.items()) or (("0b", n_yes + n_no),)
    return GradedAnswer(title, "When does it fly?", "in May", answer, n_yes, n_no, counts)


def some_answers(articles: int = 40) -> list[GradedAnswer]:
    answers = ["May", "It flies in May.", "June", "in cold June", "May or June"]
    yes = [True, True, False, False, False]
    return [
        graded(answer, 30 * verdict, 30 * (not verdict), f"Article {n}")
        for n in range(articles)
        for answer, verdict in zip(answers, yes, strict=True)
    ]


# Measures


def agreement_of(ours: list[float], theirs: list[float]) -> Agreement:
    """Of answers that each come from a system of their own."""
    answers = [
        graded(str(n), int(100 * share), int(100 * (1 - share)), **{f"s{n}": 100})
        for n, share in enumerate(theirs)
    ]
    return measure_agreement(answers, np.array(ours, dtype=float))


def test_kappa():
    def kappa(ours, theirs):
        return agreement_of(ours, theirs).kappa

    assert kappa([1, 0, 1, 0], [1, 0, 1, 0]) == 1.0
    assert kappa([1, 1, 0, 0], [1, 0, 1, 0]) == 0.0
    assert kappa([1, 0], [0, 1]) == -1.0
    # 20 both yes, 15 both no, 5 + 10 apart: observed 0.7, by chance 0.5 (a textbook's example)
    ours, theirs = (
        [1] * 20 + [1] * 5 + [0] * 10 + [0] * 15,
        [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15,
    )
    assert kappa(ours, theirs) == pytest.approx(0.4)
    assert kappa([1, 1], [1, 1]) == 1.0


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.9], 1.0),
        ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1], -1.0),
        # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
        ([0.1, 0.2, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4], 4.5 / (4.5 * 5) ** 0.5),
        ([0.1, 0.1], [0.1, 0.2], 0.0),
        ([0.1, 0.2], [0.1, 0.1], 0.0),
        ([0.1], [0.1], 0.0),
    ],
)
def test_spearman(a, b, expected):
    assert agreement_of(a, b).spearman == pytest.approx(expected)


def test_agreement_counts_triples_once_and_weighs_systems_by_count():
    answers = [
        graded("a", 150, 50, x=100, y=300),
        graded("b", 0, 1, x=100),
        graded("c", 5, 5, z=FEWEST_GRADINGS - 1),
    ]
    agreement = measure_agreement(answers, np.array([0.5, 0.7, 0.0]))
    assert (agreement.n, agreement.n_systems) == (2, 2)
    assert agreement.accuracy == 0.5
    # x: (0.5 + 0.7) / 2 against (0.75 + 0) / 2; y: 0.5 against 0.75
    assert agreement.system_error_mean == pytest.approx((0.225 + 0.25) / 2)
    assert agreement.system_error_max == pytest.approx(0.25)
    assert system_means(answers, np.array([1.0, 0.0, 9.0])).tolist() == [0.5, 1.0]
    assert agreement.spearman == pytest.approx(-1.0)


def test_agreement_without_systems():
    agreement = measure_agreement([graded("a", 1, 0)], np.array([0.9]))
    assert (agreement.accuracy, agreement.n_systems, agreement.system_error_mean) == (1.0, 0, 0.0)


# The fit


def test_fit_recovers_the_coefficients_of_shares():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(20_000, 2)) * [1.0, 5.0] + [0.0, 3.0]
    shares = 1 / (1 + np.exp(-(0.5 + features @ [1.5, -0.2])))
    assert fit_logistic(features, shares) == pytest.approx([0.5, 1.5, -0.2], abs=0.02)


def test_a_feature_that_never_varies_gets_no_weight():
    features = np.column_stack([np.arange(100) / 100, np.full(100, 7.0)])
    _, first, second = fit_logistic(features, np.arange(100) / 100)
    assert first > 1 and second == pytest.approx(0.0)


def test_an_answer_is_judged_without_its_own_group():
    # One feature per group: what is learned of a group cannot help another
    groups = [str(group) for group in range(2 * FOLDS) for _ in range(50)]
    features = np.array([[float(group == str(g)) for g in range(2 * FOLDS)] for group in groups])
    shares = np.array([float(int(group) % 2) for group in groups])
    unseen = cross_validate(features, shares, groups)
    assert np.abs(unseen - 0.5).max() < 0.2
    seen = np.array(fit_logistic(features, shares))
    assert np.mean((seen[0] + features @ seen[1:] > 0) == (shares > 0.5)) == 1.0


def test_fit_offline_judge(tmp_path):
    answers = some_answers()
    constants = fit_offline_judge(answers)
    assert list(constants["weights"]) == list(FEATURES)
    assert constants["figures"]["cross_validated"]["accuracy"] == 1.0
    assert constants["figures"]["half_of_the_words_rule"]["accuracy"] == 0.8
    path = tmp_path / "constants.json"
    path.write_text(json.dumps(constants))
    items = [GradingItem("When does it fly?", "in May", answer) for answer in ("May", "June")]
    assert [grade.verdict for grade in OfflineJudge(path).grade(items)] == [True, False]
    assert fit_offline_judge(answers[::-1])["weights"] == pytest.approx(constants["weights"])


def test_recall_is_what_the_rule_asks_for():
    matrix = feature_matrix([graded("May", 1, 0), graded("June", 0, 1)])
    assert matrix.shape == (2, len(FEATURES))
    assert word_recall(matrix).tolist() == [1.0, 0.0]


def test_fingerprint_depends_on_the_records_not_their_order():
    answers = some_answers(2)
    assert fingerprint(answers) == fingerprint(answers[::-1])
    assert fingerprint(answers) != fingerprint(answers[1:])


def test_without_scikit_learn_the_fit_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-dev\.txt"):
        fit_offline_judge(some_answers(2))


# Files


def record(**others):
    plain = {"title": "t", "question": "q", "gold": "g", "answer": "a", "n_yes": 2, "n_no": 1}
    return plain | {"sources": [[3, "b", 2], [4, "a", 1]]} | others


def test_golden_records_packed_or_plain(tmp_path):
    line = json.dumps(record()) + "\n"
    (tmp_path / "g6_verdicts.jsonl").write_text(line)
    (plain,) = load_graded_answers(tmp_path)
    assert plain.share_yes == pytest.approx(2 / 3)
    assert plain.sources == (("3b", 2), ("4a", 1))
    with gzip.open(tmp_path / "g6_verdicts.jsonl.gz", "wt") as file:
        file.write(line * 2)
    assert load_graded_answers(tmp_path) == [plain, plain]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("other", b"", "no such file"),
        ("g6_verdicts.jsonl", b"", "is empty"),
        ("g6_verdicts.jsonl", b'{"title": "t"}\n', "row 1 is not a graded answer"),
        ("g6_verdicts.jsonl", b"{", "row 1: malformed JSON"),
        ("g6_verdicts.jsonl.gz", b"{}\n", "not gzipped JSON Lines"),
        ("g6_verdicts.jsonl.gz", gzip.compress(b"{", mtime=0), "not gzipped JSON Lines"),
        (
            "g6_verdicts.jsonl.gz",
            gzip.compress(b"{}" * 99, mtime=0)[:-9],
            "not gzipped JSON Lines",
        ),
    ],
)
def test_golden_files_that_cannot_be_read(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        load_graded_answers(tmp_path)


def test_program(tmp_path, capsys):
    rows = [
        record(title=a.title, gold=a.gold, answer=a.answer, n_yes=a.n_yes, n_no=a.n_no)
        for a in some_answers(12)
    ]
    (tmp_path / "g6_verdicts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "constants.json"
    program = load_program("general-knowledge", "fit_offline_judge")
    arguments = ["--golden", str(tmp_path), "--output", str(output)]
    run_program(program.main, program.Config, arguments)
    constants = json.loads(output.read_text())
    assert json.loads(capsys.readouterr().out) == constants["figures"]
    assert list(constants["weights"]) == list(FEATURES)
