"""Compare ways of solving tasks: one arm per row of the paper's few-shot table (table 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

from arc.method.prediction import Outcome, predict_in_context
from arc.method.reward import Reward, measure_rewards
from arc.method.self_edits import SelfEdit, sample_self_edits
from arc.puzzles.tasks import Task
from arc.settings import SAMPLED, TableSettings
from seal.loop.policy import Policy
from seal.report.intervals import Clusters, clustered_bootstrap, paired_difference, record_of
from seal.report.tables import estimate, markdown_table, number, percent, table_of
from seal.run import Run


@dataclass(frozen=True)
class Arm:
    """A row of the table: the successes of an arm's trials, by task."""

    label: str
    successes: dict[str, list[float]]
    """Task id to 1.0 or 0.0 for each of its trials."""
    rejected: int = 0
    """Trials whose self-edit was invalid; they count as failures."""
    in_context: dict[str, list[float]] | None = None
    """The same policy's successes before any update: what it can do without training."""


def in_context_arm(label: str, outcomes: Sequence[Outcome]) -> Arm:
    """The arm without any update: one trial per task, as decoding is greedy."""
    return Arm(label, _successes(outcomes))


def trained_arm(label: str, rewards: Sequence[Reward], in_context: Sequence[Outcome]) -> Arm:
    """The arm of a policy that was trained on self-edits."""
    rejected = sum(reward.rejected is not None for reward in rewards)
    arm = Arm(label, {}, rejected, _successes(in_context))
    for reward in rewards:
        arm.successes.setdefault(reward.task_id, []).append(float(reward.success))
    return arm


def _successes(outcomes: Sequence[Outcome]) -> dict[str, list[float]]:
    return {outcome.task.id: [float(outcome.correct)] for outcome in outcomes}


def pass_at_k(successes: Sequence[float], k: int) -> float:
    """The chance that at least one of k trials drawn from these, without replacement, succeeds."""
    n, failures = len(successes), sum(not success for success in successes)
    return 1.0 - comb(failures, k) / comb(n, k)


def summarize_arm(arm: Arm, previous: Arm | None, seed: int) -> dict[str, Any]:
    """The numbers of one row, as results.json holds them: fractions, 95% intervals over tasks.

    Raises ValueError for a row above of other tasks: the difference is paired.
    """

    def of_tasks(values: Clusters | None) -> dict[str, float] | None:
        return record_of(clustered_bootstrap(values, seed)) if values else None

    change = paired_difference(arm.successes, previous.successes, seed) if previous else None
    trials = list(map(len, arm.successes.values()))
    return {
        "label": arm.label,
        "success_rate": of_tasks(arm.successes),
        "difference_to_row_above": record_of(change),
        "pass_at_k": {
            str(k): of_tasks({t: [pass_at_k(values, k)] for t, values in arm.successes.items()})
            for k in range(1, min(trials) + 1)
        },
        "in_context_success_rate": of_tasks(arm.in_context),
        "n_trials": sum(trials),
        "n_rejected": arm.rejected,
        "successes_by_task": {task: sum(values) for task, values in arm.successes.items()},
    }


def format_table(rows: Sequence[Mapping[str, Any]], seconds: Mapping[str, float]) -> str:
    """The table that a reader sees: percent ± half a 95% interval; `seconds` by label."""

    def best(row: Mapping[str, Any]) -> str:
        k = max(row["pass_at_k"], key=int)
        return f"{percent(row['pass_at_k'][k])} (k={k})"

    columns = {
        "": lambda row: row["label"],
        "success": estimate("success_rate"),
        "to row above": estimate("difference_to_row_above", signed=True),
        "pass@k": best,
        "in context": estimate("in_context_success_rate"),
        "invalid": lambda row: f"{row['n_rejected']}/{row['n_trials']}",
        "s/adapter": lambda row: number(seconds.get(row["label"]), digits=2),
    }
    return table_of(rows, columns)


def format_task_table(arms: Sequence[Arm]) -> str:
    """Successes of every task in every arm, such as 3/5."""

    cells = []
    for task in sorted({task for arm in arms for task in arm.successes}):
        of_arms = [arm.successes[task] for arm in arms]
        cells.append([task, *(f"{sum(values):.0f}/{len(values)}" for values in of_arms)])
    return markdown_table(["task", *(arm.label for arm in arms)], cells)


def solved_tasks(arm: Arm) -> list[str]:
    """Ids of the tasks that at least one trial solved, sorted; a file of them is a --task_ids."""
    return sorted(task for task, values in arm.successes.items() if any(values))


def fill_row(
    run: Run,
    label: str,
    source: str | Sequence[SelfEdit] | None,
    tasks: Sequence[Task],
    policy: Policy,
    settings: TableSettings,
    seed: int,
) -> Arm:
    """Sample, train and predict what the row `label` asks for; its records are in RUN/LABEL.

    `source`: the self-edits, SAMPLED for the policy's own, or None for no update.
    """
    part = run.part(label)
    if source is None:
        return in_context_arm(label, predict_in_context(part, tasks, policy, settings, seed))
    self_edits = source
    if source == SAMPLED:
        self_edits = sample_self_edits(part, tasks, policy, settings, seed)
    rewards, _ = measure_rewards(part, tasks, self_edits, policy, settings, seed)
    return trained_arm(label, rewards, predict_in_context(part, tasks, policy, settings, seed))
