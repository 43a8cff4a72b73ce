"""Grading closed-book answers: does an answer convey the gold answer? (Paper, section 4.1.)

Two judges: `OfflineJudge` needs no key, no network and no model; `OpenAIJudge` asks a chat model,
as the paper asks GPT-4.1. Blank answers are wrong without asking. An answer that a judge could not
grade is ungraded, never wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from knowledge.data.prompts import render_prompt
from knowledge.judging.offline_judge import OfflineModel
from knowledge.judging.replies import read_verdict
from knowledge.settings import PROMPTS, JudgeSettings
from seal.chat.client import ChatClient
from seal.chat.endpoints import check_failures, open_endpoint

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


WRONG = Grade(verdict=False, probability=0.0)


class Judge(Protocol):
    """Anything that grades answers; `grade` may be called from several threads."""

    name: str

    def grade(self, items: Sequence[GradingItem]) -> list[Grade]:
        """One grade per item, in order."""
        ...


def open_judge(settings: JudgeSettings) -> Judge:
    """The judge that the flags ask for, found to be working.

    Raises UserError without a key for OpenAI's endpoint, and for an endpoint that does not answer.
    """
    if settings.judge == "offline":
        return OfflineJudge()
    return OpenAIJudge(open_endpoint(settings, "judge", _GREEDY, instead="--judge offline"))


def ensure_graded(grades: Sequence[Grade], max_share: float) -> None:
    """Raise UserError, with the most frequent reason, if more than `max_share` are ungraded."""
    reasons = [grade.reason for grade in grades if grade.verdict is None]
    what = "answers could not be graded"
    check_failures(reasons, len(grades), what, max_share, "--max_ungraded")


class OfflineJudge:
    """Grades by the wording of question, gold answer and answer (`offline_judge`).

    The verdict is yes where GPT-4.1 would rather have said yes than no. Means of the probabilities
    estimate the accuracy that GPT-4.1 finds better than shares of the verdicts do.
    """

    name = "offline"

    def __init__(self) -> None:
        self._model = OfflineModel.load()

    def grade(self, items: Sequence[GradingItem]) -> list[Grade]:
        """One grade per item; none is ever ungraded."""
        return [self._grade(item) for item in items]

    def _grade(self, item: GradingItem) -> Grade:
        if not item.answer.strip():
            return WRONG
        probability = self._model.probability(item.question, item.gold, item.answer.strip())
        return Grade(probability >= 0.5, probability)


class OpenAIJudge:
    """Asks a chat model for yes or no: OpenAI's, or any that is served like it."""

    def __init__(self, client: ChatClient) -> None:
        self.name = client.name
        self._client = client

    def grade(self, items: Sequence[GradingItem]) -> list[Grade]:
        """One grade per item; ungraded where no reply came, or one without a clear yes or no.

        Raises UserError where the endpoint will answer no further call (`ChatClient.complete`).
        """
        asked = [judge_messages(item) for item in items if item.answer.strip()]
        unclear = "neither a clear yes nor a clear no"
        grades = iter(
            Grade(verdict, None if verdict is None else float(verdict), reason)
            for verdict, reason in self._client.read(asked, read_verdict, unclear)
        )
        return [next(grades) if item.answer.strip() else WRONG for item in items]


def judge_messages(item: GradingItem) -> list[dict[str, str]]:
    """The chat that asks about one answer."""
    topic = f"Topic: {item.title}\n" if item.title else ""
    values = {"question": topic + item.question, "gold": item.gold, "answer": item.answer.strip()}
    return [{"role": "user", "content": str(render_prompt(JUDGE_PROMPT, values))}]
