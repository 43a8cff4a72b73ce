"""Judged answers as scores: the mean, its interval, and the difference of two rows of a table.

The paper's means are over passages (golden rule G4) for inner loops on one passage, over questions
for continued pretraining. Intervals resample passages: questions of one passage share a text.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from knowledge.judging.judges import GradingItem, Judge, ensure_graded
from knowledge.method.round_statistics import DECIMALS
from seal.report.intervals import Clusters, Estimate, clustered_bootstrap, mean, paired_difference

MeanOver = Literal["passages", "questions", "runs", "tasks"]


@dataclass(frozen=True)
class JudgedAnswer:
    """A question, what was answered, and the verdict on it (None: ungraded)."""

    passage_id: str
    title: str
    question: str
    gold: str
    answer: str
    correct: bool | None
    trial: str
    """The same for all answers of one inner loop."""
    probability: float | None = None
    """From a calibrated judge; None from others."""


@dataclass(frozen=True)
class Scores:
    """What the answers behind a row of a table are worth, by one judge."""

    judge: str
    mean_over: MeanOver
    clusters: Clusters
    """Passage to its values: accuracies of inner loops, or verdicts of questions. {} if a file
    states nothing but a mean."""
    n_passages: int | None
    """None if the passages of the questions are not known; each question is then a cluster."""
    answers: tuple[JudgedAnswer, ...] = ()
    stated: float | None = None
    """The mean that a file itself gives."""

    @property
    def n_questions(self) -> int | None:
        """Questions of one round of asking; None where they are not known."""
        asked = Counter((answer.passage_id, answer.trial) for answer in self.answers)
        if asked:
            return sum({passage: n for (passage, _), n in asked.items()}.values())
        return sum(map(len, self.clusters.values())) if self.mean_over == "questions" else None

    @property
    def blank_rate(self) -> float | None:
        """Share of the answers that are blank; None without answers."""
        blank = [not answer.answer.strip() for answer in self.answers]
        return mean(blank) if blank else None

    @property
    def mean(self) -> float | None:
        """The number in the table: a fraction, or points."""
        return mean([*map(mean, self._weighted().values())]) if self.clusters else self.stated

    def estimate(self, seed: int = 0) -> Estimate | None:
        """The mean with its interval; None where only a mean is known, or nothing."""
        return clustered_bootstrap(self._weighted(), seed) if self.clusters else None

    def minus(self, other: "Scores", seed: int = 0) -> Estimate | None:
        """The difference, paired over the passages that both have; None without any."""
        common = self.clusters.keys() & other.clusters.keys()
        if not common or self.n_passages is None or other.n_passages is None:
            return None
        ours, theirs = (
            replace(each, clusters={cluster: each.clusters[cluster] for cluster in common})
            for each in (self, other)
        )
        return paired_difference(ours._weighted(), theirs._weighted(), seed)

    def _weighted(self) -> Clusters:
        """One value per cluster whose mean over clusters is the mean.

        A mean over questions is a ratio of two sums over passages; it is resampled in its linear
        form, ratio + (sum - ratio * count) / (mean count).
        """
        if self.mean_over != "questions":
            return self.clusters
        sums = {cluster: (sum(values), len(values)) for cluster, values in self.clusters.items()}
        total, count = map(sum, zip(*sums.values(), strict=True))
        ratio, mean_count = total / count, count / len(sums)
        return {c: [ratio + (value - ratio * n) / mean_count] for c, (value, n) in sums.items()}


def score_answers(
    answers: Sequence[JudgedAnswer],
    mean_over: MeanOver,
    judge: str,
    *,
    calibrated: bool = False,
    exact: bool = False,
) -> Scores:
    """The scores of answers, or of the judge's probabilities; ungraded ones are in no mean.

    An inner loop's accuracy is rounded to 4 decimals, as in the release, unless `exact`.
    """
    trials: dict[str, dict[str, list[float]]] = {}
    for answer in answers:
        value = answer.probability if calibrated else answer.correct
        if value is not None:
            of_passage = trials.setdefault(answer.passage_id, {})
            of_passage.setdefault(answer.trial, []).append(float(value))
    clusters: dict[str, list[float]] = {}
    for passage, of_passage in trials.items():
        if mean_over == "questions":
            clusters[passage] = [value for values in of_passage.values() for value in values]
        else:
            averages = [sum(values) / len(values) for values in of_passage.values()]
            as_is = calibrated or exact
            clusters[passage] = averages if as_is else [round(a, DECIMALS) for a in averages]
    return Scores(judge, mean_over, clusters, len(clusters), tuple(answers))


def scores_by_judge(
    answers: Sequence[JudgedAnswer], mean_over: MeanOver, judge: str
) -> list[Scores]:
    """Scores by the judge's verdicts and, if it is calibrated, by its probabilities."""
    scores = [score_answers(answers, mean_over, judge)]
    if any(answer.probability not in (None, 0.0, 1.0) for answer in answers):
        name = f"{judge}, calibrated"
        scores.append(score_answers(answers, mean_over, name, calibrated=True))
    return scores


def judged_again(scores: Scores, judge: Judge, max_ungraded: float) -> list[Scores]:
    """`scores_by_judge` of the same answers by another judge; [] without answers.

    Raises UserError if more than the share `max_ungraded` could not be graded.
    """
    if not scores.answers:
        return []
    items = [GradingItem(a.question, a.gold, a.answer, a.title) for a in scores.answers]
    grades = judge.grade(items)
    ensure_graded(grades, max_ungraded)
    answers = [
        replace(answer, correct=grade.verdict, probability=grade.probability)
        for answer, grade in zip(scores.answers, grades, strict=True)
    ]
    return scores_by_judge(answers, scores.mean_over, judge.name)
