"""The offline judge agrees with GPT-4.1's released verdicts (G6): numbers, not equality.

Run with -s to see the numbers. Blank answers are not among the records: GPT-4.1 never saw them.
"""

import functools
from dataclasses import asdict

import numpy as np
import pytest

from knowledge.judging import answer_features, fit_offline, judges
from knowledge.judging.fit_offline import (
    Agreement,
    GradedAnswer,
    fingerprint,
    fit_offline_judge,
    load_graded_answers,
    measure_agreement,
)
from knowledge.judging.judges import CONSTANTS, GradingItem, OfflineJudge
from seal.records import read_json
from tests.conformance.golden import golden
from tests.support.data import shared_folder

# Some standard errors below what cross-validation found for unseen articles: other records are
# other questions, and answers to one question are graded alike
LEAST_ACCURACY = 0.86
LEAST_KAPPA = 0.70
MOST_SYSTEM_ERROR = 0.025
LEAST_SPEARMAN = 0.90


@pytest.fixture(scope="module", autouse=True)
def described_once():
    """The judge and the fit need the same features, which take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        describe = functools.cache(answer_features.describe)
        for module in (judges, fit_offline):
            patch.setattr(module, "describe", describe)
        yield


@pytest.fixture(scope="module")
def answers() -> list[GradedAnswer]:
    golden("g6_verdicts")  # skips where there is none
    return load_graded_answers(shared_folder("SEAL_GOLDEN", "golden"))


@pytest.fixture(scope="module")
def agreement(answers) -> Agreement:
    items = [GradingItem(a.question, a.gold, a.answer, a.title) for a in answers]
    grades = OfflineJudge().grade(items)
    agreement = measure_agreement(answers, np.array([grade.probability for grade in grades]))
    print("\n", {name: round(value, 4) for name, value in asdict(agreement).items()})
    return agreement


def test_verdicts(agreement):
    assert agreement.accuracy >= LEAST_ACCURACY
    assert agreement.kappa >= LEAST_KAPPA


def test_accuracies_of_systems(agreement):
    if agreement.n_systems < 20:
        pytest.skip(f"only {agreement.n_systems} systems have enough gradings")
    assert agreement.system_error_mean <= MOST_SYSTEM_ERROR
    assert agreement.spearman >= LEAST_SPEARMAN


def test_the_shipped_constants_are_those_of_the_fit(answers):
    shipped = read_json(CONSTANTS)
    if fingerprint(answers) != shipped["figures"]["records_sha256"]:
        pytest.skip("the shipped constants were fitted to other records")
    fitted = fit_offline_judge(answers)
    assert fitted["intercept"] == pytest.approx(shipped["intercept"], abs=1e-3)
    assert fitted["weights"] == pytest.approx(shipped["weights"], abs=1e-3)
    for name, figures in fitted["figures"].items():
        assert figures == pytest.approx(shipped["figures"][name], abs=1e-3), name
