"""What a released file is worth: the scores of its answers before the update, or after it."""

import random
from collections.abc import Sequence
from dataclasses import astuple, replace

from knowledge.data.passages import Passage, Question
from knowledge.experiments.retention import PooledRuns, pool_runs, retention
from knowledge.method.scores import JudgedAnswer, Scores, score_answers
from knowledge.release.records import PREFIXES, Examinations, Pretraining, Sequences, Stage
from seal.report.intervals import mean

RELEASED_JUDGE = "gpt-4.1"
"""Whose verdicts the release's files hold."""

_SEEDS = (42, 43)
_LEAST_OVERLAP = 0.2
"""Share of accepted answers that contain their gold answer: over a half where questions and answers
belong together, under a hundredth where they do not."""
_CONTINUAL_ROWS = ("before", "after-own-edit", "after-all-edits")
"""Rows of the table of continual self-edits, for the numbers of `Retention` in their order."""


def scores_of(
    file: Examinations | Pretraining, stage: Stage, pools: Sequence[Sequence[Passage]] = ()
) -> Scores:
    """The scores of a result file at one stage.

    `pools` are lists of passages that a pretraining file may have been asked about. Such files do
    not hold the questions: these come from the list of passages, in its order or shuffled as the
    release did, with which the answers make sense.
    """
    if isinstance(file, Examinations):
        return _scores_of_examinations(file, stage)
    stated, verdicts, texts = file.of_stage(stage)
    questions = questions_asked(file, pools)
    if not questions:
        clusters = {f"question {n}": [float(v)] for n, v in enumerate(verdicts, start=1)}
        return Scores(RELEASED_JUDGE, "questions", clusters, None, stated=stated)
    found = zip(questions, texts or [""] * len(verdicts), verdicts, strict=False)
    answers = [
        JudgedAnswer(p.id, p.title, q.question, q.answer, text.strip(), verdict, trial=p.id)
        for (p, q), text, verdict in found
    ]
    scores = replace(score_answers(answers, "questions", RELEASED_JUDGE), stated=stated)
    return scores if texts else replace(scores, answers=())


def _scores_of_examinations(file: Examinations, stage: Stage) -> Scores:
    """From the file's records if it has them, else from the statistics of its self-edits."""
    prefix = PREFIXES[stage]
    answers = [
        JudgedAnswer(
            article.passage_id,
            article.title,
            asked.question,
            asked.answer,
            getattr(asked, f"{prefix}_answer"),
            getattr(asked, f"{prefix}_correct"),
            trial=f"{article.passage_id}/{number}/{asked.rep}",
        )
        for article in file.articles
        for number, self_edit in enumerate(article.self_edits)
        for loop in self_edit.inner_loops
        for asked in loop
    ]
    stated = file.overall.get(f"{prefix}_mean_accuracy")
    if answers:
        return replace(score_answers(answers, "passages", RELEASED_JUDGE), stated=stated)
    name = f"{prefix}_mean"
    if "mean_proxy_score" in file.overall:
        name, stated = "proxy_mean", file.overall["mean_proxy_score"]
    clusters: dict[str, list[float]] = {}
    for article in file.articles:
        for self_edit in article.self_edits:
            if self_edit.stats.get(name) is not None:
                clusters.setdefault(article.passage_id, []).append(self_edit.stats[name])
    return Scores(RELEASED_JUDGE, "passages", clusters, len(clusters), stated=stated)


def questions_asked(
    file: Pretraining, pools: Sequence[Sequence[Passage]]
) -> list[tuple[Passage, Question]] | None:
    """The questions behind the verdicts of a file; None if no list and order fits its answers."""
    n = max(len(file.baseline_correct), len(file.adapter_correct))
    for pool in pools:
        passages = pool[: file.n_passages] if file.n_passages else pool
        in_order = [(p, q) for p in passages for q in p.questions]
        if len(passages) < file.n_passages or len(in_order) < n or not n:
            continue
        for seed in dict.fromkeys([None, *_SEEDS, file.seed]):
            order = list(in_order)
            if seed is not None:
                random.Random(seed).shuffle(order)
            if _overlap(file, order[:n]) >= _LEAST_OVERLAP:
                return order[:n]
    return None


def _overlap(file: Pretraining, asked: Sequence[tuple[Passage, Question]]) -> float:
    found = [
        question.answer.lower() in text.lower()
        for _, verdicts, texts in map(file.of_stage, PREFIXES)
        for (_, question), text, verdict in zip(asked, texts, verdicts, strict=False)
        if verdict
    ]
    return mean(found) if found else 0.0


def comparable_runs(files: Sequence[Sequences]) -> list[Sequences]:
    """The runs of the first one's shape and size, without the release's average over its runs."""
    runs = [file for file in files if "overall" not in file.path.name]
    shapes = [(run.n_sequences, len(run.mean), len(run.mean[0])) for run in runs]
    return [run for run, shape in zip(runs, shapes, strict=True) if shape == shapes[0]]


def pool_sequences(files: Sequence[Sequences]) -> PooledRuns | None:
    """All `comparable_runs` as one; None without any."""
    runs = comparable_runs(files)
    of_all = ([run.mean for run in runs], [run.std for run in runs])
    return pool_runs(*of_all, runs[0].n_sequences) if runs else None


def scores_of_sequences(files: Sequence[Sequences]) -> dict[str, Scores]:
    """The numbers of continual self-edits by row, over runs, or as the release's average states."""
    runs = comparable_runs(files)
    found = {str(run.path): astuple(retention(run.mean)) for run in runs or files[:1]}
    scores = {}
    for place, row in enumerate(_CONTINUAL_ROWS if found else ()):
        of_runs = {path: [numbers[place]] for path, numbers in found.items()}
        stated = None if runs else next(iter(of_runs.values()))[0]
        clusters = of_runs if runs else {}
        scores[row] = Scores(RELEASED_JUDGE, "runs", clusters, None, stated=stated)
    return scores
