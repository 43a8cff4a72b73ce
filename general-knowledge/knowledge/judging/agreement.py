"""How far a judge agrees with GPT-4.1: answer by answer, and on the accuracy of whole systems.

The reference are the golden records G6: unique triples of question, gold answer and answer, with
how often GPT-4.1 said yes and no. Blank answers are not among them.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seal.errors import UserError
from seal.records import Record, read_jsonl

Floats = NDArray[np.float64]

FEWEST_GRADINGS = 100
"""Systems with fewer gradings tell more about chance than about the judge; they are left out."""


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
    """The systems that gave this answer, and how often. A system is one side (before or after the
    update) of one of the release's result files."""

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
    """Cohen's."""
    n_systems: int
    system_error_mean: float
    """Mean over systems of |mean probability - GPT-4.1's share of yes|, as a fraction."""
    system_error_max: float
    spearman: float
    """Rank correlation of the two over systems."""


def load_graded_answers(folder: Path) -> list[GradedAnswer]:
    """Read g6_verdicts.jsonl(.gz) of a folder of golden data.

    Raises UserError that names the file, and the row where one is not of this form.
    """
    packed = folder / "g6_verdicts.jsonl.gz"
    path = packed if packed.exists() else folder / "g6_verdicts.jsonl"
    records = _read_packed(path) if path == packed else read_jsonl(path)
    answers = []
    for row, record in enumerate(records, start=1):
        try:
            answers.append(_graded_answer(record))
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{path} row {row} is no graded answer (golden set G6)") from None
    if not answers:
        raise UserError(f"{path} is empty")
    return answers


def _read_packed(path: Path) -> list[Record]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: no gzipped JSON Lines ({error})") from None


def _graded_answer(record: Record) -> GradedAnswer:
    texts = (record[name] for name in ("title", "question", "gold", "answer"))
    sources = tuple((f"{file}{side}", count) for file, side, count in record["sources"])
    return GradedAnswer(*texts, record["n_yes"], record["n_no"], sources)


def measure_agreement(answers: Sequence[GradedAnswer], probabilities: Floats) -> Agreement:
    """Compare probabilities of a yes, one per answer, with GPT-4.1's verdicts.

    The verdict of a probability is whether it is at least 0.5.
    """
    shares = np.array([answer.share_yes for answer in answers])
    decided = shares != 0.5
    ours, theirs = probabilities[decided] >= 0.5, shares[decided] > 0.5
    predicted, actual = system_means(answers, probabilities), system_means(answers, shares)
    errors = np.abs(predicted - actual)
    return Agreement(
        n=int(decided.sum()),
        accuracy=float(np.mean(ours == theirs)),
        kappa=cohen_kappa(ours, theirs),
        n_systems=len(errors),
        system_error_mean=float(errors.mean()) if len(errors) else 0.0,
        system_error_max=float(errors.max(initial=0.0)),
        spearman=spearman(predicted, actual),
    )


def system_means(answers: Sequence[GradedAnswer], values: Floats) -> Floats:
    """The mean value of each system with FEWEST_GRADINGS gradings or more, sorted by its name."""
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for answer, value in zip(answers, values, strict=True):
        for system, count in answer.sources:
            sums[system] += count * float(value)
            counts[system] += count
    systems = sorted(system for system, count in counts.items() if count >= FEWEST_GRADINGS)
    return np.array([sums[system] / counts[system] for system in systems])


def cohen_kappa(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """Agreement beyond chance of two raters who say yes or no; 1 where chance agrees always."""
    observed = np.mean(ours == theirs)
    a, b = np.mean(ours), np.mean(theirs)
    chance = a * b + (1 - a) * (1 - b)
    return float((observed - chance) / (1 - chance)) if chance < 1 else 1.0


def spearman(a: Floats, b: Floats) -> float:
    """Rank correlation, ties at their mean rank; 0 where one of the two is constant or empty."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
