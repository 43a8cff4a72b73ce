"""Compare ways of teaching passages: a row of a table for each, as in the single-passage table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knowledge.data.passages import Passage
from knowledge.judging.judges import Judge
from knowledge.method.closed_book import Outcome
from knowledge.method.inner_loop import run_trials
from knowledge.method.reward import bare_trials, inner_loop_trials
from knowledge.method.scores import JudgedAnswer, MeanOver, score_answers
from knowledge.method.self_edits import SelfEdit, sample_self_edits
from knowledge.settings import TableSettings
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.report.intervals import record_of
from seal.report.tables import estimate, number, percent, table_of
from seal.run import Run

NO_UPDATE, PASSAGE_ONLY = "no-update", "passage-only"
ROWS = (NO_UPDATE, PASSAGE_ONLY, "self-edits")
"""Labels of the rows in which --model is updated: on nothing, the passage, its own self-edits."""
DIFFERENCE = "difference_to_row_above"


@dataclass(frozen=True)
class Layout:
    """The numbers in a table's rows, and which of them a reader sees."""

    fields: Mapping[str, tuple[MeanOver, bool]]
    """Field of results.json to what its mean is over, and whether it averages the judge's
    probabilities instead of its verdicts. DIFFERENCE says so of what is compared."""
    columns: Mapping[str, Callable[[Mapping[str, Any]], str]]
    """Heading to what is shown of a row."""


SINGLE_PASSAGE = Layout(
    {
        "accuracy": ("passages", False),
        "calibrated_accuracy": ("passages", True),
        DIFFERENCE: ("passages", False),
    },
    {
        "accuracy": estimate("accuracy"),
        "to row above": estimate(DIFFERENCE, signed=True),
        "calibrated": estimate("calibrated_accuracy"),
    },
)


def blank_self_edits(passages: Sequence[Passage]) -> list[SelfEdit]:
    """What stands for the passages alone."""
    return [SelfEdit(f"{p.id}/{PASSAGE_ONLY}", p.id, PASSAGE_ONLY, "", "stop", 0) for p in passages]


def judged_answers(outcomes: Sequence[Outcome]) -> list[JudgedAnswer]:
    """The answers of examinations with their grades, for `score_answers`."""
    answers = []
    for outcome in outcomes:
        trial, passage = outcome.trial.id, outcome.trial.passage
        for asked, text, grade in zip(
            passage.questions, outcome.answers, outcome.grades, strict=True
        ):
            about = (passage.id, passage.title, asked.question, asked.answer, text)
            answers.append(JudgedAnswer(*about, grade.verdict, trial, grade.probability))
    return answers


def in_order(labels: Sequence[str], first: Sequence[str]) -> list[str]:
    """All labels, those of `first` before the others. Raises UserError for one that no row has."""
    for label in first:
        if label not in labels:
            known = ", ".join(labels)
            raise UserError(f"--order {label}: no row has this label; there are {known}")
    return list(dict.fromkeys([*first, *labels]))


def summarize_rows(
    outcomes: Mapping[str, Sequence[Outcome]], layout: Layout, seed: int
) -> list[dict[str, Any]]:
    """The numbers of each label's answers, as results.json holds them: fractions, 95% intervals.

    A difference is paired over the passages that both rows have; ungraded answers count nowhere.
    """
    rows = []
    answers: list[JudgedAnswer] = []
    for label, of_label in outcomes.items():
        above, answers = answers, judged_answers(of_label)
        row: dict[str, Any] = {"label": label}
        for field, (over, calibrated) in layout.fields.items():
            scores, others = (
                score_answers(each, over, "", calibrated=calibrated, exact=True)
                for each in (answers, above)
            )
            differs = field == DIFFERENCE
            row[field] = record_of(scores.minus(others, seed) if differs else scores.estimate(seed))
        row["n_answers"] = len(answers)
        row["blank_answer_rate"] = scores.blank_rate
        row["n_ungraded"] = sum(answer.correct is None for answer in answers)
        rows.append(row)
    return rows


def format_rows(
    rows: Sequence[Mapping[str, Any]], layout: Layout, seconds: Mapping[str, float] | None = None
) -> str:
    """The table that a reader sees: percent ± half a 95% interval; `seconds` by label."""
    columns = {
        "": lambda row: row["label"],
        **layout.columns,
        "blank": lambda row: percent(row["blank_answer_rate"]),
        "ungraded": lambda row: str(row["n_ungraded"]),
    }
    if seconds is not None:
        columns["s/adapter"] = lambda row: number(seconds.get(row["label"]), digits=2)
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
) -> list[Outcome]:
    """Train, ask and grade what the row `label` asks for; its records are in RUN/LABEL.

    `self_edits`: None for the policy's own; NO_UPDATE and PASSAGE_ONLY need none.
    """
    part = run.part(label)
    if label == NO_UPDATE:
        trials = bare_trials(passages)
    else:
        if label == PASSAGE_ONLY:
            self_edits = blank_self_edits(passages)
        elif self_edits is None:
            self_edits = sample_self_edits(part, passages, policy, settings, seed)
        trials = inner_loop_trials(passages, self_edits, settings, seed)
    return run_trials(part, trials, policy, judge, settings, label)
