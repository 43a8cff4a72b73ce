"""The probability that GPT-4.1 would accept an answer, estimated from its wording alone.

A logistic regression of GPT-4.1's released verdicts on `answer_features`. fit_offline_judge.py
writes its constants to offline_judge.json, with numbers of their agreement.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from knowledge.judging.answer_features import FEATURES, describe
from seal.errors import UserError
from seal.records import read_json

CONSTANTS = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class OfflineModel:
    """The fitted constants."""

    intercept: float
    weights: dict[str, float]
    """Feature name to weight, for all of `answer_features.FEATURES`."""

    @classmethod
    def load(cls, path: Path = CONSTANTS) -> "OfflineModel":
        """Read a file of fit_offline_judge.py. Raises UserError if it has other features."""
        constants = read_json(path)
        if set(constants["weights"]) != set(FEATURES):
            raise UserError(f"{path} was fitted to other features; fit it again")
        return cls(constants["intercept"], constants["weights"])

    def probability(self, question: str, gold: str, answer: str) -> float:
        """That GPT-4.1 says yes to this answer (paper, section 4.1). It must not be blank."""
        features = describe(question, gold, answer)
        return logistic(
            self.intercept + sum(self.weights[name] * value for name, value in features.items())
        )


def logistic(log_odds: float) -> float:
    """The probability with these log-odds."""
    return 1 / (1 + math.exp(-log_odds))
