"""How far a judge agrees with GPT-4.1: answer by answer, and on the accuracy of whole systems.

The reference is the golden records G6: unique triples of question, gold answer and answer, with
how often GPT-4.1 said yes and no. Blank answers are not among them.
"""

import gzip
import json
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
    """Cohen's; 1 where all answers have one verdict."""
    n_systems: int
    system_error_mean: float
    """Mean over systems of |mean probability - GPT-4.1's share of yes|, as a fraction."""
    system_error_max: float
    spearman: float
    """Rank correlation of the two over systems; 0 where one of them does not vary."""


def load_graded_answers(folder: Path) -> list[GradedAnswer]:
    """Read g6_verdicts.jsonl(.gz) of a folder of golden data.

    Raises UserError that names the file, and the row that is not of this form.
    """
    packed = folder / "g6_verdicts.jsonl.gz"
    path = packed if packed.exists() else folder / "g6_verdicts.jsonl"
    answers = []
    for row, record in enumerate(_read_packed(path) if path == packed else read_jsonl(path), 1):
        try:
            texts = (record[name] for name in ("title", "question", "gold", "answer"))
            sources = tuple((f"{file}{side}", count) for file, side, count in record["sources"])
            answers.append(GradedAnswer(*texts, record["n_yes"], record["n_no"], sources))
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{path} row {row} is not a graded answer (golden set G6)") from None
    if not answers:
        raise UserError(f"{path} is empty")
    return answers


def _read_packed(path: Path) -> list[Record]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: not gzipped JSON Lines ({error})") from None


def measure_agreement(answers: Sequence[GradedAnswer], probabilities: Floats) -> Agreement:
    """Compare probabilities of a yes, one per answer, with GPT-4.1's verdicts.

    The verdict of a probability is whether it is at least 0.5. Needs scikit-learn and SciPy.
    """
    from scipy.stats import spearmanr  # development requirements, as in `fit_offline`
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
        [
            counts @ means / counts.sum()
            for counts, means in columns
            if counts.sum() >= FEWEST_GRADINGS
        ]
    )
