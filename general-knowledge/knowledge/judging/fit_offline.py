"""Fit the offline judge's constants to GPT-4.1's verdicts, and test them on unseen passages.

Needs the development requirements (scikit-learn, SciPy); grading with the constants does not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

import numpy as np

from knowledge.judging.agreement import Floats, GradedAnswer, measure_agreement
from knowledge.judging.answer_features import FEATURES, describe
from seal.errors import UserError

RIDGE = 10.0
"""Penalty on the squared weights of standardised features; 1 to 30 make no difference."""
FOLDS = 10
_DIGITS = 4


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
    rule = asdict(measure_agreement(answers, word_recall(features)))
    return {
        "intercept": round(intercept, _DIGITS),
        "weights": _rounded(dict(zip(FEATURES, weights, strict=True))),
        "figures": {
            "cross_validated": _rounded(asdict(measure_agreement(answers, unseen))),
            "half_of_the_words_rule": _rounded(
                {name: rule[name] for name in ("accuracy", "kappa")}
            ),
            "folds": FOLDS,
            "n_articles": len({answer.title for answer in answers}),
            "records_sha256": fingerprint(answers),
        },
    }


def feature_matrix(answers: Sequence[GradedAnswer]) -> Floats:
    """The features of each answer: [answers, FEATURES]."""
    return np.array(
        [list(describe(a.question, a.gold, a.answer).values()) for a in answers], dtype=float
    )


def word_recall(features: Floats) -> Floats:
    """The share of the gold answer's words in each answer: the plainest judge of all."""
    return np.sqrt(features[:, FEATURES.index("recall_squared")])


def fit_logistic(features: Floats, shares: Floats) -> list[float]:
    """Ridge logistic regression of shares in 0..1: the intercept, then a weight per feature.

    The weights are for the features as they are, though the penalty is on standardised ones.
    """
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
    """scikit-learn's scaler and regression, in a pipeline."""
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


def fingerprint(answers: Sequence[GradedAnswer]) -> str:
    """SHA-256 of the records that a fit depends on, whatever their order."""
    return _digest("\n".join(sorted(map(repr, answers))))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(value, _DIGITS) for name, value in numbers.items()}
