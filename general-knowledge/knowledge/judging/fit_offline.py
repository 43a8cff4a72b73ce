"""Fit the offline judge's constants to GPT-4.1's verdicts, and test them on unseen passages.

The verdicts are the golden records G6: unique triples of question, gold answer and answer, with how
often GPT-4.1 said yes and no. Blank answers are not among them. Needs the development requirements
(scikit-learn, SciPy); grading with the constants does not.
"""

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowledge.judging.answer_features import FEATURES, describe
from seal.errors import UserError
from seal.records import jsonl_rows

Floats = NDArray[np.float64]

RIDGE = 10.0
"""Penalty on the squared weights of standardised features; 1 to 30 make no difference."""
FOLDS = 10
FEWEST_GRADINGS = 100
"""Systems with fewer gradings tell more about chance than about the judge; they are left out."""
_DIGITS = 4


@dataclass(frozen=True)
class GradedAnswer:
    """One triple with GPT-4.1's verdicts on it."""

    title: str
    question: str
    gold: str
    answer: str
    n_yes: int
    n_no: int
    sources: tuple[tuple[str, int], ...]
    """The systems that gave this answer, and how often; a system is one side (before or after the
    update) of a result file."""

    @property
    def share_yes(self) -> float:
        """The share of GPT-4.1's verdicts that are yes."""
        return self.n_yes / (self.n_yes + self.n_no)


@dataclass(frozen=True)
class Agreement:
    """Agreement over unique triples, and over systems with their triples weighted by count."""

    n: int
    """Triples that GPT-4.1's verdicts decide; the few ties are left out."""
    accuracy: float
    kappa: float
    """Cohen's; 1 where all answers have one verdict."""
    n_systems: int
    system_error_mean: float
    """Mean over systems of |mean probability - GPT-4.1's share of yes|, as a fraction."""
    system_error_max: float
    spearman: float
    """Rank correlation of the two over systems; 0 where one of them does not vary."""


def load_graded_answers(folder: Path) -> list[GradedAnswer]:
    """Read g6_verdicts.jsonl(.gz) of a folder; UserError names the file and the faulty row."""
    path = folder / "g6_verdicts.jsonl.gz"
    if path.exists():
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                rows = [(f"{path} row {n}", json.loads(line)) for n, line in enumerate(file, 1)]
        except (OSError, EOFError, ValueError) as error:
            raise UserError(f"{path}: not gzipped JSON Lines ({error})") from None
    else:
        path = path.with_suffix("")
        rows = list(jsonl_rows(path))
    answers = []
    for where, record in rows:
        try:
            texts = (record[name] for name in ("title", "question", "gold", "answer"))
            sources = tuple((f"{file}{side}", count) for file, side, count in record["sources"])
            answers.append(GradedAnswer(*texts, record["n_yes"], record["n_no"], sources))
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{where} is not a graded answer (golden set G6)") from None
    if not answers:
        raise UserError(f"{path} is empty")
    return answers


def fit_offline_judge(answers: Sequence[GradedAnswer]) -> dict[str, Any]:
    """The content of offline_judge.json: intercept, weights, and numbers of agreement.

    The numbers are cross-validated: each answer is judged by constants fitted without its article
    (all questions that share its title). Deterministic. Raises UserError without scikit-learn.
    """
    if find_spec("sklearn") is None:
        raise UserError("fitting needs scikit-learn; run pip install -r requirements-dev.txt")
    features = feature_matrix(answers)
    shares = np.array([answer.share_yes for answer in answers])
    intercept, *weights = fit_logistic(features, shares)
    unseen = cross_validate(features, shares, [answer.title for answer in answers])
    rule = measure_agreement(answers, word_recall(features))
    return {
        "intercept": round(intercept, _DIGITS),
        "weights": _rounded(dict(zip(FEATURES, weights, strict=True))),
        "figures": {
            "cross_validated": _rounded(asdict(measure_agreement(answers, unseen))),
            "half_of_the_words_rule": _rounded({"accuracy": rule.accuracy, "kappa": rule.kappa}),
            "folds": FOLDS,
            "n_articles": len({answer.title for answer in answers}),
            "records_sha256": fingerprint(answers),
        },
    }


def feature_matrix(answers: Sequence[GradedAnswer]) -> Floats:
    """The features of each answer: [answers, FEATURES]."""
    return np.array([list(describe(a.question, a.gold, a.answer).values()) for a in answers])


def word_recall(features: Floats) -> Floats:
    """The share of the gold answer's words in each answer: the plainest judge."""
    return np.sqrt(features[:, FEATURES.index("recall_squared")])


def fit_logistic(features: Floats, shares: Floats) -> list[float]:
    """Ridge regression of shares in 0..1: the intercept, then weights for features as they are."""
    scaler, regression = _fit(features, shares)
    weights = regression.coef_[0] / scaler.scale_
    return [float(regression.intercept_[0] - weights @ scaler.mean_), *map(float, weights)]


def cross_validate(features: Floats, shares: Floats, groups: Sequence[str]) -> Floats:
    """The probability of each answer from a fit to the other folds; a group is never torn."""
    order = {group: rank for rank, group in enumerate(sorted(set(groups), key=_digest))}
    folds = np.array([order[group] % FOLDS for group in groups])
    probabilities = np.empty(len(shares))
    for fold in np.unique(folds):
        held_out = folds == fold
        model = _fit(features[~held_out], shares[~held_out])
        probabilities[held_out] = model.predict_proba(features[held_out])[:, 1]
    return probabilities


def _fit(features: Floats, shares: Floats) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=1 / RIDGE, solver="newton-cholesky", tol=1e-10)
    # It knows classes alone, so an answer is a yes with its share as weight and a no with the rest
    return make_pipeline(StandardScaler(), regression).fit(
        np.vstack([features, features]),
        np.repeat([True, False], len(shares)),
        logisticregression__sample_weight=np.concatenate([shares, 1 - shares]),
    )


def measure_agreement(answers: Sequence[GradedAnswer], probabilities: Floats) -> Agreement:
    """Compare probabilities, one per answer, with GPT-4.1's verdicts; 0.5 and more are a yes."""
    from scipy.stats import spearmanr
    from sklearn.metrics import cohen_kappa_score

    shares = np.array([answer.share_yes for answer in answers])
    decided = shares != 0.5
    ours, theirs = probabilities[decided] >= 0.5, shares[decided] > 0.5
    one_verdict = len(np.unique([ours, theirs])) < 2
    predicted, actual = system_means(answers, probabilities), system_means(answers, shares)
    errors = np.abs(predicted - actual)
    varied = len(errors) > 1 and np.ptp(predicted) > 0 and np.ptp(actual) > 0
    return Agreement(
        n=int(decided.sum()),
        accuracy=float(np.mean(ours == theirs)),
        kappa=1.0 if one_verdict else float(cohen_kappa_score(ours, theirs)),
        n_systems=len(errors),
        system_error_mean=float(errors.mean()) if len(errors) else 0.0,
        system_error_max=float(errors.max(initial=0.0)),
        spearman=float(spearmanr(predicted, actual).statistic) if varied else 0.0,
    )


def system_means(answers: Sequence[GradedAnswer], values: Floats) -> Floats:
    """The mean value of each system with FEWEST_GRADINGS gradings or more, sorted by its name."""
    gradings: dict[str, list[tuple[int, float]]] = {}
    for answer, value in zip(answers, values, strict=True):
        for system, count in answer.sources:
            gradings.setdefault(system, []).append((count, float(value)))
    columns = (np.array(gradings[system]).T for system in sorted(gradings))
    return np.array(
        [counts @ of / counts.sum() for counts, of in columns if counts.sum() >= FEWEST_GRADINGS]
    )


def fingerprint(answers: Sequence[GradedAnswer]) -> str:
    """SHA-256 of the records that a fit depends on, whatever their order."""
    return _digest("\n".join(sorted(map(repr, answers))))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(value, _DIGITS) for name, value in numbers.items()}
