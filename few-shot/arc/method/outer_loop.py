"""SEAL's outer loop on ARC tasks: reward self-edits, imitate all that succeed (paper, section 4.2).

The E-step is `sample_self_edits` and `measure_rewards`, the M-step
`seal.training.sft.finetune` on the rows that `sft_rows` makes of the selected self-edits.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from arc.method.configurations import Configuration
from arc.method.inner_loop import Trial, run_trials
from arc.method.knobs import knob_shares
from arc.method.prediction import Outcome, predict_in_context
from arc.method.prompts import self_edit_prompt
from arc.method.self_edits import SelfEdit
from arc.puzzles.tasks import Task
from arc.settings import InnerLoopSettings, PromptSettings, Selection
from seal.loop.policy import Policy
from seal.run import Run
from seal.seeds import derive_seed
from seal.training.sft import SftRow


@dataclass(frozen=True)
class Reward:
    """What a self-edit earned: 1.0 if the policy solved its task after training on it, else 0.0."""

    id: str
    task_id: str
    reward: float
    trial_id: str | None
    """The inner loop that earned it; None for a self-edit that says nothing to train on."""
    rejected: str | None
    """Why there was no training."""


def measure_rewards(
    run: Run,
    tasks: Sequence[Task],
    self_edits: Sequence[SelfEdit],
    policy: Policy,
    settings: InnerLoopSettings,
    seed: int,
) -> tuple[list[Reward], dict[str, Any]]:
    """Reward every self-edit with an inner loop on the policy's own weights.

    Appends RUN/predictions.jsonl and rewards.jsonl. Returns the rewards in the order of
    `self_edits`, and the run's figures.
    """
    in_context = predict_in_context(run, tasks, policy, settings, seed)
    trials = inner_loop_trials(tasks, self_edits)
    outcomes = run_trials(run, trials, policy, settings, seed)
    # What the release trained for no epoch at all earned what the bare policy does by luck
    lucky = in_context if settings.release_bugs else []
    rewards = rewards_of(self_edits, trials, outcomes, lucky)
    run.append("rewards", *map(asdict, rewards))
    return rewards, summarize(rewards, outcomes, in_context)


def inner_loop_trials(tasks: Sequence[Task], self_edits: Sequence[SelfEdit]) -> list[Trial]:
    """One inner loop for all self-edits of a task that say the same; it has the first one's id.

    Their inner loops share all seeds, so that each of them would end alike.
    """
    by_id = {task.id: task for task in tasks}
    trials: dict[Hashable, Trial] = {}
    for self_edit in self_edits:
        parsed = self_edit.parsed
        if isinstance(parsed, Configuration):
            task = by_id[self_edit.task_id]
            trial = Trial(self_edit.id, task, parsed, self_edit.repeat)
            trials.setdefault(_key(trial.task.id, parsed, trial.repeat), trial)
    return list(trials.values())


def _key(task_id: str, configuration: Configuration, repeat: int) -> Hashable:
    return task_id, configuration, repeat


def rewards_of(
    self_edits: Sequence[SelfEdit],
    trials: Sequence[Trial],
    outcomes: Sequence[Outcome],
    of_dummies: Sequence[Outcome] = (),
) -> list[Reward]:
    """One reward per self-edit; what could not be trained earns nothing and says why.

    `of_dummies` are outcomes by which rejected self-edits of kind "dummy" are rewarded all the
    same, those of their task.
    """
    of_key = {
        _key(trial.task.id, trial.configuration, trial.repeat): outcome
        for trial, outcome in zip(trials, outcomes, strict=True)
    }
    lucky = {outcome.task.id for outcome in of_dummies if outcome.correct}
    rewards = []
    for self_edit in self_edits:
        task_id, parsed = self_edit.task_id, self_edit.parsed
        outcome, rejection = None, parsed
        if isinstance(parsed, Configuration):
            outcome = of_key[_key(task_id, parsed, self_edit.repeat)]
            rejection = outcome.rejection
        earned = (
            outcome.correct if rejection is None else rejection.kind == "dummy" and task_id in lucky
        )
        rewards.append(
            Reward(
                id=self_edit.id,
                task_id=task_id,
                reward=float(earned),
                trial_id=outcome.id if outcome else None,
                rejected=rejection.reason if rejection else None,
            )
        )
    return rewards


def summarize(
    rewards: Sequence[Reward], outcomes: Sequence[Outcome], in_context: Sequence[Outcome]
) -> dict[str, Any]:
    """A round's figures, as fractions and counts."""
    trained = [outcome for outcome in outcomes if outcome.rejection is None]
    views = sum(outcome.n_views for outcome in trained)
    rejected = Counter(reward.rejected for reward in rewards if reward.rejected)
    return {
        "n_tasks": len(in_context),
        "n_self_edits": len(rewards),
        "n_inner_loops": len(trained),
        "n_rejected": rejected.total(),
        "rejected": dict(sorted(rejected.items())),
        "in_context_success_rate": _share([outcome.correct for outcome in in_context]),
        "success_rate": _share([reward.reward for reward in rewards]),
        "n_rewarded": sum(bool(reward.reward) for reward in rewards),
        "n_tasks_solved": len({reward.task_id for reward in rewards if reward.reward}),
        "unreadable_answer_rate": (
            round(1 - sum(outcome.n_decoded for outcome in trained) / views, 4) if views else None
        ),
    }


def _share(successes: Sequence[float]) -> float:
    return round(sum(successes) / len(successes), 4)


def select_self_edits(
    self_edits: Sequence[SelfEdit], rewards: Sequence[Reward], selection: Selection, seed: int
) -> list[SelfEdit]:
    """What the M-step imitates, in the order of `self_edits`: all that were rewarded.

    As controls: "all" that could be trained on, whatever came of it, or as many "random" ones of
    these as were rewarded, as far as they go; the seed says which.
    """
    chosen = [reward.id for reward in rewards if reward.reward]
    if selection != "rewarded":
        valid = [reward.id for reward in rewards if reward.rejected is None]
        if selection == "random":
            valid.sort(key=lambda id: derive_seed(seed, f"{id}/selection"))
            valid = valid[: len(chosen)]
        chosen = valid
    ids = set(chosen)
    return [self_edit for self_edit in self_edits if self_edit.id in ids]


def describe_selection(
    self_edits: Sequence[SelfEdit], selected: Sequence[SelfEdit]
) -> dict[str, Any]:
    """How many self-edits are imitated, and what they choose, beside what was sampled."""
    return {
        "n_selected": len(selected),
        "knobs": knob_shares(self_edit.parsed for self_edit in self_edits),
        "selected_knobs": knob_shares(self_edit.parsed for self_edit in selected),
    }


def sft_rows(
    tasks: Sequence[Task],
    selected: Sequence[SelfEdit],
    settings: PromptSettings,
    tokenizer: PreTrainedTokenizerBase,
) -> list[SftRow]:
    """The M-step's examples: every selected self-edit, trimmed, after the prompt it answered."""
    prompts = {task.id: self_edit_prompt(task, settings, tokenizer) for task in tasks}
    return [SftRow(prompts[self_edit.task_id], self_edit.text.strip()) for self_edit in selected]


def describe_round(results: Mapping[str, Any]) -> str:
    """One line for the reader: success as fractions."""
    return (
        f"in context {results['in_context_success_rate']:.3f}, with self-edits"
        f" {results['success_rate']:.3f}; {results['n_rewarded']} of {results['n_self_edits']}"
        f" rewarded, {results['n_rejected']} invalid"
    )
