"""Fit the offline judge's constants to GPT-4.1's verdicts, and test them on unseen passages."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from knowledge.judging.agreement import Floats, GradedAnswer, measure_agreement
from knowledge.judging.answer_features import FEATURES, describe

RIDGE = 10.0
"""Penalty on the squared weights of standardised features; 1 to 30 make no difference."""
FOLDS = 10
_NEWTON_STEPS = 50
_DIGITS = 4


def fit_offline_judge(answers: Sequence[GradedAnswer]) -> dict[str, Any]:
    """The content of offline_judge.json: intercept, weights, and figures of agreement.

    The figures are cross-validated: each answer is judged by constants fitted without its article
    (all questions that share its title). Deterministic.
    """
    features = feature_matrix(answers)
    shares = np.array([answer.share_yes for answer in answers])
    coefficients = fit_logistic(features, shares)
    unseen = cross_validate(features, shares, [answer.title for answer in answers])
    rule = measure_agreement(answers, word_recall(features))
    return {
        "intercept": round(float(coefficients[0]), _DIGITS),
        "weights": {
            name: round(float(weight), _DIGITS)
            for name, weight in zip(FEATURES, coefficients[1:], strict=True)
        },
        "figures": {
            "cross_validated": _rounded(asdict(measure_agreement(answers, unseen))),
            "half_of_the_words_rule": {
                "accuracy": round(rule.accuracy, _DIGITS),
                "kappa": round(rule.kappa, _DIGITS),
            },
            "folds": FOLDS,
            "n_articles": len({answer.title for answer in answers}),
            "records_sha256": fingerprint(answers),
        },
    }


def feature_matrix(answers: Sequence[GradedAnswer]) -> Floats:
    """The evidence of each answer: [answers, FEATURES]."""
    return np.array(
        [list(describe(a.question, a.gold, a.answer).values()) for a in answers], dtype=float
    )


def word_recall(features: Floats) -> Floats:
    """The share of the gold answer's words in each answer: the plainest judge of all."""
    return np.sqrt(features[:, FEATURES.index("recall_squared")])


def fit_logistic(features: Floats, shares: Floats) -> Floats:
    """Ridge logistic regression of shares in 0..1 by Newton's method: [1 + features].

    The first coefficient is the intercept, which is not penalised; the others are for the features
    as they are, though the penalty is on standardised ones.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    inputs = np.column_stack([np.ones(len(features)), (features - mean) / scale])
    penalty = np.full(inputs.shape[1], RIDGE)
    penalty[0] = 0.0
    coefficients = np.zeros(inputs.shape[1])
    for _ in range(_NEWTON_STEPS):
        predicted = _logistic(inputs @ coefficients)
        gradient = inputs.T @ (shares - predicted) - penalty * coefficients
        curvature = (inputs * (predicted * (1 - predicted))[:, None]).T @ inputs + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        coefficients += step
        if np.abs(step).max() < 1e-10:
            break
    weights = coefficients[1:] / scale
    return np.concatenate([[coefficients[0] - weights @ mean], weights])


def cross_validate(features: Floats, shares: Floats, groups: Sequence[str]) -> Floats:
    """The probability of each answer from a fit to the other folds; a group is never torn."""
    order = {group: rank for rank, group in enumerate(sorted(set(groups), key=_digest))}
    folds = np.array([order[group] % FOLDS for group in groups])
    probabilities = np.empty(len(shares))
    for fold in np.unique(folds):
        held_out = folds == fold
        coefficients = fit_logistic(features[~held_out], shares[~held_out])
        probabilities[held_out] = _logistic(coefficients[0] + features[held_out] @ coefficients[1:])
    return probabilities


def fingerprint(answers: Sequence[GradedAnswer]) -> str:
    """SHA-256 of the records that a fit depends on, whatever their order."""
    return _digest("\n".join(sorted(map(repr, answers))))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _logistic(log_odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-log_odds))


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, _DIGITS) for name, value in figures.items()}
