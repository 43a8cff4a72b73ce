"""Compare ways of teaching a passage: one arm per row of the paper's single-passage table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from knowledge.data.passages import Passage
from knowledge.judging.judges import Judge
from knowledge.method.closed_book import Outcome, Trial
from knowledge.method.inner_loop import run_trials, self_edit_texts
from knowledge.method.outer_loop import bare_trials, inner_loop_trials
from knowledge.method.self_edits import SelfEdit, sample_self_edits
from knowledge.settings import RewardSettings, TableSettings
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.report.intervals import clustered_bootstrap, paired_difference
from seal.report.tables import markdown_table, percent
from seal.run import Run
from seal.seeds import derive_seed

Clusters = dict[str, list[float]]
NO_UPDATE, PASSAGE_ONLY = "no-update", "passage-only"
ROWS = (NO_UPDATE, PASSAGE_ONLY, "self-edits")
"""Labels of the rows in which --model is updated: on nothing, the passage, its own self-edits."""


@dataclass(frozen=True)
class Arm:
    """A row of the table: what one arm's answers are worth, by passage."""

    label: str
    accuracies: Clusters
    """Passage id to the accuracies of its inner loops over the graded questions."""
    probabilities: Clusters
    """Passage id to the mean calibrated probabilities of its inner loops."""
    n_answers: int
    n_blank: int
    n_ungraded: int


def passage_only_trials(
    passages: Sequence[Passage], settings: RewardSettings, seed: int
) -> list[Trial]:
    """Inner loops on the bare passage: what a blank self-edit amounts to."""
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


def arm(label: str, outcomes: Sequence[Outcome]) -> Arm:
    """Collect the outcomes of one arm; answers that could not be graded count nowhere."""
    accuracies: Clusters = {}
    probabilities: Clusters = {}
    grades = [grade for outcome in outcomes for grade in outcome.grades]
    for outcome in outcomes:
        passage = outcome.trial.passage.id
        graded = [grade for grade in outcome.grades if grade.verdict is not None]
        if graded:
            share = sum(grade.verdict for grade in graded) / len(graded)
            accuracies.setdefault(passage, []).append(share)
            expected = sum(grade.probability for grade in graded) / len(graded)
            probabilities.setdefault(passage, []).append(expected)
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    return Arm(
        label,
        accuracies,
        probabilities,
        n_answers=len(answers),
        n_blank=sum(not answer.strip() for answer in answers),
        n_ungraded=sum(grade.verdict is None for grade in grades),
    )


def in_order(labels: Sequence[str], first: Sequence[str]) -> list[str]:
    """All labels, those of `first` before the others. Raises UserError for one that no row has."""
    if unknown := [label for label in first if label not in labels]:
        raise UserError(
            f"--order {unknown[0]}: no row has this label; there are {', '.join(labels)}"
        )
    return list(dict.fromkeys([*first, *labels]))


def summarize_arm(arm: Arm, previous: Arm | None, seed: int) -> dict[str, Any]:
    """The figures of one row, as results.json holds them; fractions, not percent.

    Intervals are 95%, resampled over passages; the difference to the row above is paired over the
    passages that both rows have.
    """
    return {
        "label": arm.label,
        "accuracy": _figures(arm.accuracies, seed),
        "calibrated_accuracy": _figures(arm.probabilities, seed),
        "difference_to_row_above": _difference(arm, previous, seed) if previous else None,
        "n_answers": arm.n_answers,
        "blank_answer_rate": arm.n_blank / arm.n_answers,
        "n_ungraded": arm.n_ungraded,
    }


def _figures(clusters: Clusters, seed: int) -> dict[str, float] | None:
    return asdict(clustered_bootstrap(clusters, seed)) if clusters else None


def _difference(arm: Arm, other: Arm, seed: int) -> dict[str, float] | None:
    common = sorted(arm.accuracies.keys() & other.accuracies.keys())
    if not common:
        return None
    mine, theirs = ({p: a.accuracies[p] for p in common} for a in (arm, other))
    return asdict(paired_difference(mine, theirs, seed))


def format_table(rows: Sequence[Mapping[str, Any]], seconds: Mapping[str, float]) -> str:
    """The table that a reader sees: percent ± half a 95% interval; `seconds` by label."""
    header = ["", "accuracy", "to row above", "calibrated", "blank", "ungraded", "s/adapter"]
    cells = [
        [
            row["label"],
            percent(row["accuracy"]),
            percent(row["difference_to_row_above"], signed=True),
            percent(row["calibrated_accuracy"]),
            f"{100 * row['blank_answer_rate']:.1f}",
            str(row["n_ungraded"]),
            f"{seconds[row['label']]:.2f}" if row["label"] in seconds else "-",
        ]
        for row in rows
    ]
    return markdown_table(header, cells)


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
