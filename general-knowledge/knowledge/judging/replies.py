"""Reading replies of language models: verdicts, chain-of-thought answers, proxy scores.

The rules are those of the release, pinned down by the golden records G3.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

NO_ANSWER = "idk"
"""What stands for a final answer that was never given."""

_YES = re.compile(r"\byes\b", re.IGNORECASE)
_NO = re.compile(r"\bno\b", re.IGNORECASE)
_FINAL_ANSWER = re.compile(r"^\s*final\s*answer\s*[:\-](.*)", re.IGNORECASE | re.M | re.S)
_LABELS = {
    "length": re.compile(r"^\s*length:\s*(\d+)", re.IGNORECASE | re.MULTILINE),
    "diversity": re.compile(r"^\s*diversity:\s*(\d+)", re.IGNORECASE | re.MULTILINE),
    "quality": re.compile(r"^\s*quality:\s*(\d+)", re.IGNORECASE | re.MULTILINE),
    "correctness": re.compile(r"^\s*correct(?:ness)?:\s*(\d+)", re.IGNORECASE | re.MULTILINE),
}
_FINAL_SCORE = re.compile(r"^\s*final\s*score\s*:\s*(\d+)", re.IGNORECASE | re.MULTILINE)


def read_verdict(reply: str) -> bool | None:
    """The judge's verdict: which of the words yes and no the reply has, whole and in any case.

    None where the reply has both or neither; the release takes that as a no (golden rule G3).
    """
    yes, no = _YES.search(reply) is not None, _NO.search(reply) is not None
    return yes if yes != no else None


def is_bare_verdict(reply: str) -> bool:
    """Whether a reply is the word yes or no alone, in any case, and punctuation."""
    return re.sub(r"[\W_]", "", reply).lower() in ("yes", "no")


def parse_final_answer(reply: str | None) -> str:
    """What follows the first line that starts with "Final answer:" or "Final answer -", trimmed.

    Everything up to the end of the reply counts and may be empty; NO_ANSWER where no line starts
    like this (golden rule G3).
    """
    marked = _FINAL_ANSWER.search(reply or "")
    return marked[1].strip() if marked else NO_ANSWER


@dataclass(frozen=True)
class ProxyScores:
    """GPT-4.1's marks for a self-edit in place of an inner loop (paper v2, proxy reward)."""

    length: int
    diversity: int
    quality: int
    correctness: int
    final: int
    """4 to 20; the other four are 1 to 5. It need not be their sum."""


def parse_proxy_scores(reply: str) -> ProxyScores:
    """The first mark after each label that starts a line (golden rule G3).

    A missing mark counts as 1, a missing final score as the sum of the four; all are clamped.
    """
    marks = {label: _score(pattern, reply, 1, 5, 1) for label, pattern in _LABELS.items()}
    return ProxyScores(**marks, final=_score(_FINAL_SCORE, reply, 4, 20, sum(marks.values())))


def read_proxy_scores(reply: str) -> ProxyScores | None:
    """The marks of a reply that gives all four; None for others (release: a missing one is 1)."""
    complete = all(pattern.search(reply) for pattern in _LABELS.values())
    return parse_proxy_scores(reply) if complete else None


def _score(pattern: re.Pattern[str], reply: str, low: int, high: int, missing: int) -> int:
    found = pattern.search(reply)
    # Decimal, since int() refuses to read more than a few thousand digits
    return int(min(max(Decimal(found[1]), low), high)) if found else missing
