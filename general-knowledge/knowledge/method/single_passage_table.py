"""Compare ways of teaching a passage: one arm per row of the paper's single-passage table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knowledge.data.passages import Passage
from knowledge.judging.judges import Judge
from knowledge.method.closed_book import Outcome, Trial
from knowledge.method.inner_loop import run_trials, self_edit_texts
from knowledge.method.reward import bare_trials, inner_loop_trials
from knowledge.method.scores import JudgedAnswer, Scores, score_answers
from knowledge.method.self_edits import SelfEdit, sample_self_edits
from knowledge.settings import RewardSettings, TableSettings
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.report.intervals import record_of
from seal.report.tables import number, percent, table_of
from seal.run import Run
from seal.seeds import derive_seed

NO_UPDATE, PASSAGE_ONLY = "no-update", "passage-only"
ROWS = (NO_UPDATE, PASSAGE_ONLY, "self-edits")
"""Labels of the rows in which --model is updated: on nothing, the passage, its own self-edits."""


@dataclass(frozen=True)
class Arm:
    """A row of the table: what one arm's answers are worth."""

    label: str
    scores: Scores
    calibrated: Scores
    """The same answers by the judge's probabilities."""


def passage_only_trials(
    passages: Sequence[Passage], settings: RewardSettings, seed: int
) -> list[Trial]:
    """Inner loops on the bare passage: as with a blank self-edit."""
    return [
        Trial(
            id=f"{passage.id}/passage-only/{repeat}",
            passage=passage,
            texts=self_edit_texts(passage, "", settings),
            seed=derive_seed(seed, f"{passage.id}/passage-only", repeat),
        )
        for passage in passages
        for repeat in range(settings.repeats)
    ]


def judged_answers(outcomes: Sequence[Outcome]) -> list[JudgedAnswer]:
    """The answers of examinations with their grades, for `score_answers`."""
    return [
        JudgedAnswer(
            trial.passage.id,
            trial.passage.title,
            question.question,
            question.answer,
            answer,
            grade.verdict,
            trial=trial.id,
            probability=grade.probability,
        )
        for trial, outcome in ((outcome.trial, outcome) for outcome in outcomes)
        for question, answer, grade in zip(
            trial.passage.questions, outcome.answers, outcome.grades, strict=True
        )
    ]


def arm(label: str, outcomes: Sequence[Outcome]) -> Arm:
    """Collect the outcomes of one arm; answers that could not be graded count nowhere."""
    answers = judged_answers(outcomes)
    scores = (
        score_answers(answers, "passages", "", calibrated=calibrated, exact=True)
        for calibrated in (False, True)
    )
    return Arm(label, *scores)


def in_order(labels: Sequence[str], first: Sequence[str]) -> list[str]:
    """All labels, those of `first` before the others. Raises UserError for one that no row has."""
    if unknown := [label for label in first if label not in labels]:
        raise UserError(
            f"--order {unknown[0]}: no row has this label; there are {', '.join(labels)}"
        )
    return list(dict.fromkeys([*first, *labels]))


def summarize_arm(arm: Arm, previous: Arm | None, seed: int) -> dict[str, Any]:
    """The numbers of one row, as results.json holds them; fractions, not percent.

    Intervals are 95%, resampled over passages; the difference to the row above is paired over the
    passages that both rows have.
    """
    change = arm.scores.minus(previous.scores, seed) if previous else None
    return {
        "label": arm.label,
        "accuracy": record_of(arm.scores.estimate(seed)),
        "calibrated_accuracy": record_of(arm.calibrated.estimate(seed)),
        "difference_to_row_above": record_of(change),
        **count_answers(arm.scores),
    }


def count_answers(scores: Scores) -> dict[str, Any]:
    """How many answers a row is made of, and which of them are blank or ungraded."""
    return {
        "n_answers": len(scores.answers),
        "blank_answer_rate": scores.blank_rate,
        "n_ungraded": scores.n_ungraded,
    }


SHOWN_COUNTS = {
    "blank": lambda row: percent(row["blank_answer_rate"]),
    "ungraded": lambda row: str(row["n_ungraded"]),
}
"""The columns of `count_answers` in a table that is printed."""


def format_table(rows: Sequence[Mapping[str, Any]], seconds: Mapping[str, float]) -> str:
    """The table that a reader sees: percent ± half a 95% interval; `seconds` by label."""
    columns = {
        "": lambda row: row["label"],
        "accuracy": lambda row: percent(row["accuracy"]),
        "to row above": lambda row: percent(row["difference_to_row_above"], signed=True),
        "calibrated": lambda row: percent(row["calibrated_accuracy"]),
        **SHOWN_COUNTS,
        "s/adapter": lambda row: number(seconds.get(row["label"]), digits=2),
    }
    return table_of(rows, columns)


def fill_row(
    run: Run,
    label: str,
    passages: Sequence[Passage],
    self_edits: Sequence[SelfEdit] | None,
    policy: Policy,
    judge: Judge,
    settings: TableSettings,
    seed: int,
) -> Arm:
    """Train, ask and grade what the row `label` asks for; its records are in RUN/LABEL.

    The policy is updated on nothing, on the passage alone (two of ROWS), on the given self-edits,
    or on its own (None).
    """
    part = run.part(label)
    if label == NO_UPDATE:
        trials = bare_trials(passages)
    elif label == PASSAGE_ONLY:
        trials = passage_only_trials(passages, settings, seed)
    else:
        if self_edits is None:
            self_edits = sample_self_edits(part, passages, policy, settings, seed)
        trials = inner_loop_trials(passages, self_edits, settings, seed)
    return arm(label, run_trials(part, trials, policy, judge, settings, label))
