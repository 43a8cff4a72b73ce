"""What a self-edit earns: the file to change for another reward (paper, section 3.1).

`reward_of` is the number r that selection compares. `measure_rewards` runs the inner loops that it
looks at; with --reward proxy, `proxy_reward.rate_self_edits` stands in its place (paper v2).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from knowledge.data.passages import Passage
from knowledge.judging.judges import Judge
from knowledge.method.closed_book import Outcome, Trial
from knowledge.method.inner_loop import run_trials, self_edit_texts
from knowledge.method.round_statistics import (
    CompletionSummary,
    Repetition,
    accuracy,
    rounded,
    summarize_completion,
    summarize_run,
)
from knowledge.method.self_edits import SelfEdit
from knowledge.settings import RewardSettings
from seal.loop.policy import Policy
from seal.loop.rest_em import Numbers
from seal.report.intervals import mean
from seal.run import Run
from seal.seeds import derive_seed


@dataclass(frozen=True)
class Reward:
    """What a self-edit earned, and the accuracies of its inner loops, whatever the reward is."""

    id: str
    passage_id: str
    reward: float | None
    """None if nothing could be graded."""
    accuracies: list[float]
    """None of them where the reward is a proxy's."""


def reward_of(self_edit: SelfEdit, inner_loops: Sequence[Outcome], before: Outcome) -> float | None:
    """The reward: the mean accuracy of the adapters that learned the self-edit (golden G4).

    `inner_loops` are the answers of those adapters, `before` the bare policy's to the same
    questions. None says that the self-edit could not be graded; it is then never selected.
    """
    accuracies = graded_accuracies(inner_loops)
    return mean(accuracies) if accuracies else None


def graded_accuracies(inner_loops: Sequence[Outcome]) -> list[float]:
    """The accuracy of each inner loop; one without a graded answer says nothing, so it has none."""
    return [accuracy(outcome.verdicts) for outcome in inner_loops if outcome.verdicts]


RewardFunction = Callable[
    [Run, Sequence[Passage], Sequence[SelfEdit], Policy, int], tuple[list[Reward], Numbers]
]
"""Rewards the self-edits of a round, given a seed: `measure_rewards` with judge and settings."""


def measure_rewards(
    run: Run,
    passages: Sequence[Passage],
    self_edits: Sequence[SelfEdit],
    policy: Policy,
    seed: int,
    *,
    judge: Judge,
    settings: RewardSettings,
) -> tuple[list[Reward], Numbers]:
    """Reward every self-edit with `settings.repeats` inner loops on the policy's own weights.

    Appends RUN/answers.jsonl and grades.jsonl, and writes rewards.jsonl. Returns the rewards in the
    order of `self_edits`, and the run's numbers.
    """
    bare = run_trials(run, bare_trials(passages), policy, judge, settings, "no update")
    trials = inner_loop_trials(passages, self_edits, settings, seed)
    outcomes = run_trials(run, trials, policy, judge, settings)
    rewards = rewards_of(self_edits, outcomes, bare)
    run.replace("rewards", map(asdict, rewards))
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    return rewards, {
        "reward": "inner-loop",
        **summarize_rewards(self_edits, outcomes, bare),
        "n_passages": len(passages),
        "n_self_edits": len(self_edits),
        "n_inner_loops": len(trials),
        "blank_answer_rate": round(sum(not answer for answer in answers) / len(answers), 4),
        "n_ungraded": sum(outcome.n_ungraded for outcome in [*bare, *outcomes]),
    }


def inner_loop_trials(
    passages: Sequence[Passage], self_edits: Sequence[SelfEdit], settings: RewardSettings, seed: int
) -> list[Trial]:
    """`settings.repeats` inner loops for every self-edit, each with a seed of its own."""
    by_id = {passage.id: passage for passage in passages}
    return [
        Trial(
            id=f"{edit.id}/{repeat}",
            passage=by_id[edit.passage_id],
            texts=self_edit_texts(by_id[edit.passage_id], edit.text, settings),
            seed=derive_seed(seed, edit.id, repeat),
        )
        for edit in self_edits
        for repeat in range(settings.repeats)
    ]


def bare_trials(passages: Sequence[Passage]) -> list[Trial]:
    """The policy's own answers before any update: once per policy, whatever the self-edits."""
    return [Trial(id=f"{passage.id}/no-update", passage=passage) for passage in passages]


def rewards_of(
    self_edits: Sequence[SelfEdit], outcomes: Sequence[Outcome], bare: Sequence[Outcome]
) -> list[Reward]:
    """One reward per self-edit from its inner loops' outcomes and its passage's before them."""
    return [
        Reward(edit.id, edit.passage_id, reward_of(edit, own, before), graded_accuracies(own))
        for edit, own, before in _by_self_edit(self_edits, outcomes, bare)
    ]


def summarize_rewards(
    self_edits: Sequence[SelfEdit], outcomes: Sequence[Outcome], bare: Sequence[Outcome]
) -> dict[str, float]:
    """The release's seven overall numbers (golden G4) for one round's inner loops."""
    passages: dict[str, list[CompletionSummary]] = {}
    for edit, own, before in _by_self_edit(self_edits, outcomes, bare):
        graded = [outcome.verdicts for outcome in own if outcome.verdicts]
        if graded and before.verdicts:
            repetitions = [Repetition(before.verdicts, verdicts) for verdicts in graded]
            passages.setdefault(edit.passage_id, []).append(summarize_completion(repetitions))
    return rounded(summarize_run(list(passages.values())))


def _by_self_edit(
    self_edits: Sequence[SelfEdit], outcomes: Sequence[Outcome], bare: Sequence[Outcome]
) -> list[tuple[SelfEdit, list[Outcome], Outcome]]:
    """Each self-edit with the outcomes of its inner loops and its passage's before them."""
    own: dict[str, list[Outcome]] = {edit.id: [] for edit in self_edits}
    for outcome in outcomes:
        own[outcome.trial.id.rpartition("/")[0]].append(outcome)
    before = {outcome.trial.passage.id: outcome for outcome in bare}
    return [(edit, own[edit.id], before[edit.passage_id]) for edit in self_edits]
