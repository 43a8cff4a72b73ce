"""Grading closed-book answers: does an answer convey the gold answer? (Paper, section 4.1.)

Two judges: `OfflineJudge` needs no key, no network and no model; `OpenAIJudge` asks a chat model,
as the paper asks GPT-4.1. Blank answers are wrong without asking. An answer that a judge could not
grade is ungraded, never wrong.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from knowledge.data.prompts import render_prompt
from knowledge.judging.answer_features import FEATURES, describe
from knowledge.judging.replies import is_bare_verdict, read_verdict
from knowledge.settings import PROMPTS, JudgeSettings
from seal.chat.client import ChatClient, check_failures, open_endpoint
from seal.chat.replies import Reply
from seal.errors import UserError
from seal.records import read_json

CONSTANTS = Path(__file__).with_name("offline_judge.json")
"""What fit_offline_judge.py writes: the offline judge's constants, and how far it agrees."""
JUDGE_PROMPT = PROMPTS / "judge.txt"
"""Not among the prompts that --prompts replaces: it is what accuracies are measured with."""

_GREEDY = {"temperature": 0.0, "max_tokens": 16}


@dataclass(frozen=True)
class GradingItem:
    """An answer to grade against the one gold answer of its question."""

    question: str
    gold: str
    answer: str
    title: str = ""
    """Of the passage; the question was asked with it."""


@dataclass(frozen=True)
class Grade:
    """What a judge makes of an answer."""

    verdict: bool | None
    """None where the judge failed: ungraded, which counts nowhere."""
    probability: float | None
    """Calibrated, that GPT-4.1 would say yes; 1 or 0 from a model that was asked itself."""
    reason: str | None = field(default=None, compare=False)
    """Why there is no verdict."""


class Judge(Protocol):
    """Anything that grades answers; `grade` may be called from several threads."""

    name: str

    def grade(self, items: Sequence[GradingItem]) -> list[Grade]:
        """One grade per item, in order."""
        ...


def open_judge(settings: JudgeSettings) -> Judge:
    """The judge that the flags ask for, found to be working; UserError as `open_endpoint` says."""
    if settings.judge == "offline":
        return OfflineJudge()
    return OpenAIJudge(open_endpoint(settings, "judge", _GREEDY, instead="--judge offline"))


def ensure_graded(grades: Sequence[Grade], max_share: float) -> None:
    """Raise UserError, with the most frequent reason, if more than `max_share` are ungraded."""
    reasons = [grade.reason for grade in grades if grade.verdict is None]
    what = "answers could not be graded"
    check_failures(reasons, len(grades), what, max_share, "--max_ungraded")


class OfflineJudge:
    """The probability that GPT-4.1 would accept an answer, estimated from its wording alone.

    A logistic regression of GPT-4.1's released verdicts on `answer_features`. The verdict is yes
    where GPT-4.1 would rather have said yes than no. Means of the probabilities estimate the
    accuracy that GPT-4.1 finds better than shares of the verdicts do.
    """

    name = "offline"

    def __init__(self, path: Path = CONSTANTS) -> None:
        """Read a file of fit_offline_judge.py. Raises UserError if it has other features."""
        constants = read_json(path)
        if set(constants["weights"]) != set(FEATURES):
            raise UserError(f"{path} was fitted to other features; fit it again")
        self._intercept: float = constants["intercept"]
        self._weights: dict[str, float] = constants["weights"]

    def grade(self, items: Sequence[GradingItem]) -> list[Grade]:
        """One grade per item; none is ever ungraded."""
        probabilities = [self._probability(item) for item in items]
        return [Grade(probability >= 0.5, probability) for probability in probabilities]

    def _probability(self, item: GradingItem) -> float:
        if not item.answer.strip():
            return 0.0
        features = describe(item.question, item.gold, item.answer.strip())
        log_odds = self._intercept + sum(self._weights[f] * v for f, v in features.items())
        return 1 / (1 + math.exp(-log_odds))


class OpenAIJudge:
    """Asks a chat model for yes or no: OpenAI's, or any that is served like it."""

    def __init__(self, client: ChatClient) -> None:
        self.name = client.name
        self._client = client

    def grade(self, items: Sequence[GradingItem]) -> list[Grade]:
        """One grade per item; ungraded where no reply came, or one without a clear yes or no.

        Raises UserError as `ChatClient.read` does.
        """
        asked = [judge_messages(item) if item.answer.strip() else None for item in items]
        unclear = "neither a clear yes nor a clear no"
        return [
            Grade(verdict, None if verdict is None else float(verdict), reason)
            for verdict, reason in self._client.read(asked, _verdict, unclear, unasked=False)
        ]


def _verdict(reply: Reply) -> bool | None:
    """A verdict, if the judge ended its reply: reasoning that was cut off says it last.

    Cut off after a bare yes or no, it has said all that it was asked for.
    """
    text = reply.text or ""
    whole = reply.finished or (reply.finish_reason == "length" and is_bare_verdict(text))
    return read_verdict(text) if whole else None


def judge_messages(item: GradingItem) -> list[dict[str, str]]:
    """The chat that asks about one answer."""
    topic = f"Topic: {item.title}\n" if item.title else ""
    values = {"question": topic + item.question, "gold": item.gold, "answer": item.answer.strip()}
    return [{"role": "user", "content": str(render_prompt(JUDGE_PROMPT, values))}]
