"""What a self-edit earns: the file to change for another reward (paper, section 4.2).

`reward_of` is the number r that selection uses. Whether the task was solved is `Reward.success`,
which tables report: it stays what it is when the reward becomes another.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from arc.method.configurations import Configuration
from arc.method.inner_loop import Trial, run_trials
from arc.method.prediction import Outcome, predict_in_context
from arc.method.self_edits import SelfEdit
from arc.puzzles.tasks import Task
from arc.settings import InnerLoopSettings
from seal.loop.policy import Policy
from seal.run import Run


@dataclass(frozen=True)
class Reward:
    """What became of a self-edit."""

    id: str
    task_id: str
    success: bool
    """Whether the policy solved the task after training on the self-edit."""
    reward: float
    """What selection goes by; 0 is never imitated."""
    trial_id: str | None
    """The inner loop that earned it; None for a self-edit that says nothing to train on."""
    rejected: str | None
    """Why there was no training."""


def reward_of(self_edit: SelfEdit, success: bool, outcome: Outcome | None) -> float:
    """The reward: 1 if the policy solved the task after training on the self-edit, else 0.

    `outcome` holds the predictions by view and the two attempts; None where nothing was trained.
    """
    return float(success)


def measure_rewards(
    run: Run,
    tasks: Sequence[Task],
    self_edits: Sequence[SelfEdit],
    policy: Policy,
    settings: InnerLoopSettings,
    seed: int,
) -> tuple[list[Reward], dict[str, Any]]:
    """Reward every self-edit with an inner loop on the policy's own weights.

    Appends RUN/predictions.jsonl and writes rewards.jsonl. Returns the rewards in the order of
    `self_edits`, and the run's numbers.
    """
    in_context = predict_in_context(run, tasks, policy, settings, seed)
    outcomes = run_trials(run, inner_loop_trials(tasks, self_edits), policy, settings, seed)
    # What the release trained for no epoch at all earned what the bare policy does by luck
    lucky = in_context if settings.release_bugs else []
    rewards = rewards_of(self_edits, outcomes, lucky)
    run.replace("rewards", map(asdict, rewards))
    return rewards, summarize(rewards, outcomes, in_context)


def inner_loop_trials(tasks: Sequence[Task], self_edits: Sequence[SelfEdit]) -> list[Trial]:
    """One inner loop for all self-edits of a task that say the same; it has the first one's id.

    Their inner loops share all seeds, so that each of them would end alike.
    """
    by_id = {task.id: task for task in tasks}
    trials: dict[Hashable, Trial] = {}
    for self_edit in self_edits:
        if isinstance(parsed := self_edit.parsed, Configuration):
            trial = Trial(self_edit.id, by_id[self_edit.task_id], parsed, self_edit.repeat)
            trials.setdefault(self_edit.key, trial)
    return list(trials.values())


def rewards_of(
    self_edits: Sequence[SelfEdit], outcomes: Sequence[Outcome], of_dummies: Sequence[Outcome] = ()
) -> list[Reward]:
    """One reward per self-edit; what could not be trained counts as a failure and says why.

    `outcomes` are those of `inner_loop_trials`, `of_dummies` those that count for their task's
    rejected self-edits of kind "dummy".
    """
    by_id = {outcome.id: outcome for outcome in outcomes}
    # The first self-edit of a key gave the trial its id
    of_key = {each.key: by_id[each.id] for each in self_edits if each.id in by_id}
    lucky = {outcome.task.id for outcome in of_dummies if outcome.correct}
    rewards = []
    for self_edit in self_edits:
        outcome = of_key.get(self_edit.key)
        rejection = outcome.rejection if outcome else self_edit.parsed
        success = (
            outcome.correct
            if rejection is None
            else rejection.kind == "dummy" and self_edit.task_id in lucky
        )
        rewards.append(
            Reward(
                id=self_edit.id,
                task_id=self_edit.task_id,
                success=success,
                reward=reward_of(self_edit, success, outcome),
                trial_id=outcome.id if outcome else None,
                rejected=rejection.reason if rejection else None,
            )
        )
    return rewards


def summarize(
    rewards: Sequence[Reward], outcomes: Sequence[Outcome], in_context: Sequence[Outcome]
) -> dict[str, Any]:
    """A round's numbers, as fractions and counts."""
    trained = [outcome for outcome in outcomes if outcome.rejection is None]
    views = sum(outcome.n_views for outcome in trained)
    rejected = Counter(reward.rejected for reward in rewards if reward.rejected)
    return {
        "n_tasks": len(in_context),
        "n_self_edits": len(rewards),
        "n_inner_loops": len(trained),
        "n_rejected": rejected.total(),
        "rejected": dict(sorted(rejected.items())),
        "in_context_success_rate": round(fmean(outcome.correct for outcome in in_context), 4),
        "success_rate": round(fmean(reward.success for reward in rewards), 4),
        "n_rewarded": sum(reward.reward > 0 for reward in rewards),
        "n_tasks_solved": len({reward.task_id for reward in rewards if reward.success}),
        "unreadable_answer_rate": (
            round(1 - sum(outcome.n_decoded for outcome in trained) / views, 4) if views else None
        ),
    }
