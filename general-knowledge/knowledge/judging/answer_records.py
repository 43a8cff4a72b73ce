"""What the lines of answers.jsonl and grades.jsonl in a run folder are."""

from dataclasses import dataclass
from typing import Literal

from knowledge.judging.judges import Grade


@dataclass(frozen=True)
class Answer:
    """What was said to a question, in a line of answers.jsonl."""

    question: str
    gold: str
    answer: str
    """As it is graded."""
    text: str
    """As it was sampled."""
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class Answers:
    """A line of answers.jsonl: a trial's answers, one per question of its passage."""

    id: str
    passage_id: str
    title: str
    answers: list[Answer]


@dataclass(frozen=True)
class Grades:
    """A line of grades.jsonl: a trial's grades, one per answer; reasons where some are missing."""

    id: str
    verdicts: list[bool | None]
    probabilities: list[float | None]
    reasons: list[str | None] | None = None

    def __post_init__(self) -> None:
        columns = (self.verdicts, self.probabilities, self.reasons or self.verdicts)
        if len({len(column) for column in columns}) > 1:
            raise ValueError("its lists differ in length")
        for verdict, probability in zip(self.verdicts, self.probabilities, strict=True):
            if (verdict is None) != (probability is None) or not 0 <= (probability or 0) <= 1:
                raise ValueError(f"a verdict of {verdict} has the probability {probability}")

    @property
    def grades(self) -> list[Grade]:
        """One per answer."""
        reasons = self.reasons or [None] * len(self.verdicts)
        columns = zip(self.verdicts, self.probabilities, reasons, strict=True)
        return [Grade(*column) for column in columns]
