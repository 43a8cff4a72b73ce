"""Systems as the tables compare them: what one side of a result file, or a run, is worth.

Means are those of the paper: over passages (golden rule G4) for inner loops on one passage, over
questions for continued pretraining. Intervals always resample passages, whose questions share a
text and are not independent.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from knowledge.data.passages import Passage
from knowledge.experiments.retention import PooledRuns, Retention, pool_runs, retention
from knowledge.judging.judges import Grade, GradingItem, Judge, ensure_graded
from knowledge.method.round_statistics import accuracy
from knowledge.release.records import PREFIXES, Answered, Examinations, Pretraining, Sequences, Side
from knowledge.tables.paper import MeanOver
from seal.report.intervals import Estimate, clustered_bootstrap, mean, paired_difference

RELEASED_JUDGE = "gpt-4.1"
"""Whose verdicts the release's files hold."""

_SEEDS = (42, 43)
_LEAST_OVERLAP = 0.2
"""Share of accepted answers that contain their gold answer: over a half where questions and answers
belong together, under a hundredth where they do not."""

Clusters = Mapping[str, Sequence[float]]

AskedQuestion = tuple[Passage, str, str]
"""A passage, a question about it, and its gold answer."""


@dataclass(frozen=True)
class System:
    """A row of a table, from one source, by one judge."""

    judge: str
    mean_over: MeanOver
    clusters: Clusters
    """Passage to its values: accuracies of inner loops, or verdicts of questions. {} if a file
    states nothing but a mean."""
    n_passages: int | None
    """None if the passages of the questions are not known; each question is then a cluster."""
    answers: tuple[Answered, ...] = ()
    stated: float | None = None
    """The mean that the file itself gives."""

    @property
    def n_questions(self) -> int | None:
        """Questions of one round of asking; None where the file does not list them."""
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
        """The figure of the table: a fraction, or points."""
        if not self.clusters:
            return self.stated
        values = _weighted(self) if self.mean_over == "questions" else self.clusters
        return mean([mean(of_cluster) for of_cluster in values.values()])


def estimate(system: System, seed: int = 0) -> Estimate | None:
    """The mean with its interval; None for a file that states only a mean."""
    return clustered_bootstrap(_weighted(system), seed) if system.clusters else None


def difference(system: System, other: System, seed: int = 0) -> Estimate | None:
    """`system` minus `other`, paired over the passages that both have; None without any."""
    common = sorted(system.clusters.keys() & other.clusters.keys())
    if not common or system.n_passages is None or other.n_passages is None:
        return None
    ours, theirs = (
        _weighted(replace(s, clusters={cluster: s.clusters[cluster] for cluster in common}))
        for s in (system, other)
    )
    return paired_difference(ours, theirs, seed)


def _weighted(system: System) -> Clusters:
    """One value per cluster whose mean over clusters is the system's mean.

    A mean over questions is a ratio of two sums over passages; it is resampled in its linear form,
    ratio + (sum - ratio * count) / (mean count).
    """
    if system.mean_over != "questions":
        return system.clusters
    sums = {cluster: sum(values) for cluster, values in system.clusters.items()}
    counts = {cluster: len(values) for cluster, values in system.clusters.items()}
    ratio = sum(sums.values()) / sum(counts.values())
    mean_count = sum(counts.values()) / len(counts)
    return {c: [ratio + (sums[c] - ratio * counts[c]) / mean_count] for c in counts}


def of_answers(
    answers: Sequence[Answered], mean_over: MeanOver, judge: str, calibrated: bool = False
) -> System:
    """The system that gave these answers; ungraded ones are in no mean.

    `calibrated` averages a judge's probabilities instead of its verdicts.
    """
    trials: dict[str, dict[str, list[float]]] = {}
    for answer in answers:
        value = answer.probability if calibrated else answer.correct
        if value is not None:
            of_passage = trials.setdefault(answer.passage_id, {})
            of_passage.setdefault(answer.trial, []).append(value)
    clusters: dict[str, list[float]] = {}
    for passage, of_passage in trials.items():
        if mean_over == "questions":
            clusters[passage] = [float(v) for values in of_passage.values() for v in values]
        else:
            average = mean if calibrated else accuracy
            clusters[passage] = [average(values) for values in of_passage.values()]
    return System(judge, mean_over, clusters, len(clusters), tuple(answers))


def of_examinations(file: Examinations, side: Side) -> System:
    """Before or after the inner loops of an examination file, from its records if it has them."""
    answers = [
        answer
        for article in file.articles
        for self_edit in article.self_edits
        for repetition in self_edit.repetitions[side].values()
        for answer in repetition
    ]
    prefix = PREFIXES[side]
    stated = file.overall.get(f"{prefix}_mean_accuracy")
    if answers:
        return replace(of_answers(answers, "passages", RELEASED_JUDGE), stated=stated)
    name = "proxy_mean" if "mean_proxy_score" in file.overall else f"{prefix}_mean"
    clusters: dict[str, list[float]] = {}
    for article in file.articles:
        for self_edit in article.self_edits:
            value = self_edit.stats.get(name)
            if value is not None:
                clusters.setdefault(article.passage_id, []).append(value)
    stated = file.overall.get("mean_proxy_score", stated)
    return System(RELEASED_JUDGE, "passages", clusters, len(clusters), stated=stated)


def of_pretraining(file: Pretraining, side: Side, pools: Sequence[Sequence[Passage]]) -> System:
    """One side of a pretraining file; `pools` are lists of passages it may have been asked about.

    The files hold verdicts and answers, but not the questions. These are put back from the list of
    passages, in its order or shuffled as the release did, with which the answers make sense.
    """
    verdicts, stated = file.verdicts.get(side, ()), file.stated.get(side)
    questions = questions_asked(file, pools)
    if questions:
        texts = file.answers.get(side) or [""] * len(verdicts)
        answers = [
            Answered(p.id, p.title, question, gold, text.strip(), bool(verdict), trial=p.id)
            for (p, question, gold), text, verdict in zip(questions, texts, verdicts, strict=False)
        ]
        system = of_answers(answers, "questions", RELEASED_JUDGE)
        kept = system if side in file.answers else replace(system, answers=())
        return replace(kept, stated=stated)
    clusters = {f"question {n}": [float(v)] for n, v in enumerate(verdicts, start=1)}
    return System(RELEASED_JUDGE, "questions", clusters, None, stated=stated)


def questions_asked(
    file: Pretraining, pools: Sequence[Sequence[Passage]]
) -> list[AskedQuestion] | None:
    """The questions behind the verdicts of a file; None if no list and order fits its answers."""
    n = max(map(len, file.verdicts.values()), default=0)
    for pool in pools:
        passages = pool[: file.n_passages] if file.n_passages else pool
        in_order = [(p, q.question, q.answer) for p in passages for q in p.questions]
        if len(passages) < file.n_passages or len(in_order) < n or not n:
            continue
        for seed in dict.fromkeys([None, *_SEEDS, file.seed]):
            order = list(in_order)
            if seed is not None:
                random.Random(seed).shuffle(order)
            if _overlap(file, order[:n]) >= _LEAST_OVERLAP:
                return order[:n]
    return None


def _overlap(file: Pretraining, questions: Sequence[AskedQuestion]) -> float:
    found = [
        gold.lower() in text.lower()
        for side, texts in file.answers.items()
        for (_, _, gold), text, verdict in zip(questions, texts, file.verdicts[side], strict=False)
        if verdict
    ]
    return mean(found) if found else 0.0


def regraded(system: System, judge: Judge, max_ungraded: float) -> list[System]:
    """The same answers by another judge: its verdicts, and its probabilities if it has any.

    Raises UserError if more than the share `max_ungraded` could not be graded.
    """
    items = [GradingItem(a.question, a.gold, a.answer, a.title) for a in system.answers]
    grades = judge.grade(items) if items else []
    ensure_graded(grades, max_ungraded)
    answers = [_with_grade(*pair) for pair in zip(system.answers, grades, strict=True)]
    return by_judge(answers, system.mean_over, judge.name) if answers else []


def _with_grade(answer: Answered, grade: Grade) -> Answered:
    return replace(answer, correct=grade.verdict, probability=grade.probability)


def by_judge(answers: Sequence[Answered], mean_over: MeanOver, judge: str) -> list[System]:
    """Graded answers as systems: by the judge's verdicts and, if calibrated, its probabilities."""
    systems = [of_answers(answers, mean_over, judge)]
    if any(answer.probability not in (None, 0.0, 1.0) for answer in answers):
        systems.append(of_answers(answers, mean_over, f"{judge}, calibrated", calibrated=True))
    return systems


def pool_sequences(files: Sequence[Sequences]) -> tuple[PooledRuns, list[Sequences]] | None:
    """All runs as one, and the runs; the release's own average over its runs is left out.

    Runs that differ from the first in shape or number of sequences are left out too.
    """
    runs = [file for file in files if "overall" not in file.path.name]
    runs = [run for run in runs if _shape(run) == _shape(runs[0])]
    if not runs:
        return None
    pooled = pool_runs([r.mean for r in runs], [r.std for r in runs], runs[0].n_sequences)
    return pooled, runs


def _shape(run: Sequences) -> tuple[int, int, int]:
    return run.n_sequences, len(run.mean), len(run.mean[0])


def of_sequences(files: Sequence[Sequences]) -> dict[str, System]:
    """The three figures of continual self-edits by row; resampled over runs.

    Without the runs, the release's own average over them states the figures.
    """
    pooled = pool_sequences(files)
    if pooled is None:
        overall = [retention(file.mean) for file in files]
        rows = _retention_rows(overall[0]) if overall else {}
        return {row: System(RELEASED_JUDGE, "runs", {}, None, stated=v) for row, v in rows.items()}
    runs = {str(run.path): _retention_rows(retention(run.mean)) for run in pooled[1]}
    return {
        row: System(
            RELEASED_JUDGE, "runs", {run: [values[row]] for run, values in runs.items()}, None
        )
        for row in next(iter(runs.values()))
    }


def _retention_rows(figures: Retention) -> dict[str, float]:
    return {
        "before": figures.before_any_edit,
        "after-own-edit": figures.after_own_edit,
        "after-all-edits": figures.after_all_edits,
    }
