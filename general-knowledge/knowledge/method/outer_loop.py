"""SEAL's outer loop, ReST-EM: reward self-edits, keep the best, imitate them (paper, section 3.1).

The E-step is `sample_self_edits` and `measure_rewards`, the M-step
`seal.training.sft.finetune` on the rows that `sft_rows` makes of the selected self-edits.
With the proxy reward `rate_self_edits` stands in for `measure_rewards`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from knowledge.data.passages import Passage
from knowledge.judging.judges import Judge
from knowledge.method.closed_book import Outcome, Trial
from knowledge.method.inner_loop import run_trials, self_edit_texts
from knowledge.method.proxy_reward import Rater, RatingItem, open_rater, rate_all
from knowledge.method.round_statistics import (
    CompletionSummary,
    Repetition,
    accuracy,
    rounded,
    summarize_completion,
    summarize_run,
)
from knowledge.method.selection import best_indices
from knowledge.method.self_edits import SelfEdit, prompt_for
from knowledge.settings import OuterLoopSettings, RewardSettings, SelfEditSettings
from seal.loop.policy import Policy
from seal.report.intervals import mean
from seal.run import Run
from seal.seeds import derive_seed
from seal.training.sft import SftRow


@dataclass(frozen=True)
class Reward:
    """The reward of one self-edit, and the accuracies of its inner loops that it is the mean of."""

    id: str
    passage_id: str
    reward: float | None
    """None if nothing could be graded."""
    accuracies: list[float]
    """None of them where the reward is a proxy's."""


class RewardFunction(Protocol):
    """Rewards the self-edits of a round; see `measure_rewards`."""

    def __call__(
        self,
        run: Run,
        passages: Sequence[Passage],
        self_edits: Sequence[SelfEdit],
        policy: Policy,
        *,
        settings: RewardSettings,
        seed: int,
    ) -> tuple[list[Reward], dict[str, Any]]: ...


def open_reward(settings: OuterLoopSettings, judge: Judge) -> RewardFunction:
    """The reward that the flags ask for: inner loops graded by the judge, or a proxy's marks.

    Raises UserError where the proxy's chat model cannot be asked (`open_rater`).
    """
    if settings.reward == "proxy":
        return partial(rate_self_edits, rater=open_rater(settings))
    return partial(measure_rewards, judge=judge)


def rate_self_edits(
    run: Run,
    passages: Sequence[Passage],
    self_edits: Sequence[SelfEdit],
    policy: Policy,
    *,
    rater: Rater,
    settings: RewardSettings,
    seed: int,
) -> tuple[list[Reward], dict[str, Any]]:
    """Reward every self-edit with a chat model's marks for its text, 4 to 20; no inner loop runs.

    Neither the policy's weights nor the seed matter. Appends RUN/ratings.jsonl and rewards.jsonl.
    Returns the rewards in the order of `self_edits`, and the run's figures.
    """
    by_id = {passage.id: passage for passage in passages}
    items = [
        RatingItem(
            self_edit.id,
            by_id[self_edit.passage_id].title,
            by_id[self_edit.passage_id].context,
            self_edit.text,
        )
        for self_edit in self_edits
    ]
    scores = rate_all(run, items, rater, settings.max_ungraded)
    rewards = [
        Reward(edit.id, edit.passage_id, float(found.final) if found else None, [])
        for edit in self_edits
        for found in [scores[edit.id]]
    ]
    run.append("rewards", *map(asdict, rewards))
    rated = [reward.reward for reward in rewards if reward.reward is not None]
    return rewards, {
        "reward": "proxy",
        "rater": rater.name,
        "mean_proxy_score": round(mean(rated), 4) if rated else None,
        "n_passages": len(passages),
        "n_self_edits": len(self_edits),
        "n_unrated": len(rewards) - len(rated),
    }


def measure_rewards(
    run: Run,
    passages: Sequence[Passage],
    self_edits: Sequence[SelfEdit],
    policy: Policy,
    judge: Judge,
    settings: RewardSettings,
    seed: int,
) -> tuple[list[Reward], dict[str, Any]]:
    """Reward every self-edit with `settings.repeats` inner loops on the policy's own weights.

    Appends RUN/answers.jsonl, grades.jsonl and rewards.jsonl. Returns the rewards in the order of
    `self_edits`, and the run's figures.
    """
    bare = run_trials(run, bare_trials(passages), policy, judge, settings, "no update")
    trials = inner_loop_trials(passages, self_edits, settings, seed)
    outcomes = run_trials(run, trials, policy, judge, settings)
    rewards = rewards_of(self_edits, outcomes)
    run.append("rewards", *map(asdict, rewards))
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    summary = {
        "reward": "inner-loop",
        **summarize_rewards(self_edits, outcomes, bare),
        "n_passages": len(passages),
        "n_self_edits": len(self_edits),
        "n_inner_loops": len(trials),
        "blank_answer_rate": round(sum(not answer for answer in answers) / len(answers), 4),
        "n_ungraded": sum(o.n_ungraded for o in [*bare, *outcomes]),
    }
    return rewards, summary


def inner_loop_trials(
    passages: Sequence[Passage],
    self_edits: Sequence[SelfEdit],
    settings: RewardSettings,
    seed: int,
) -> list[Trial]:
    """`settings.repeats` inner loops for every self-edit, each with a seed of its own."""
    by_id = {passage.id: passage for passage in passages}
    return [
        Trial(
            id=f"{self_edit.id}/{repeat}",
            passage=by_id[self_edit.passage_id],
            texts=self_edit_texts(by_id[self_edit.passage_id], self_edit.text, settings),
            seed=derive_seed(seed, self_edit.id, repeat),
        )
        for self_edit in self_edits
        for repeat in range(settings.repeats)
    ]


def bare_trials(passages: Sequence[Passage]) -> list[Trial]:
    """The policy's own answers before any update: once per policy, whatever the self-edits."""
    return [Trial(id=f"{passage.id}/no-update", passage=passage) for passage in passages]


def rewards_of(self_edits: Sequence[SelfEdit], outcomes: Sequence[Outcome]) -> list[Reward]:
    """One reward per self-edit from the outcomes of its inner loops (golden G4's arithmetic)."""
    of_self_edit = _by_self_edit(outcomes)
    rewards = []
    for self_edit in self_edits:
        verdicts = [outcome.verdicts for outcome in of_self_edit[self_edit.id]]
        # An inner loop of which nothing was graded says nothing; it is not a zero
        accuracies = [accuracy(graded) for graded in verdicts if graded]
        reward = mean(accuracies) if accuracies else None
        rewards.append(Reward(self_edit.id, self_edit.passage_id, reward, accuracies))
    return rewards


def summarize_rewards(
    self_edits: Sequence[SelfEdit], outcomes: Sequence[Outcome], bare: Sequence[Outcome]
) -> dict[str, float]:
    """The release's seven overall figures (golden G4) for one round's inner loops."""
    before = {outcome.trial.passage.id: outcome.verdicts for outcome in bare}
    of_self_edit = _by_self_edit(outcomes)
    passages: dict[str, list[CompletionSummary]] = {}
    for self_edit in self_edits:
        repetitions = [
            Repetition(before[self_edit.passage_id], outcome.verdicts)
            for outcome in of_self_edit[self_edit.id]
            if outcome.verdicts and before[self_edit.passage_id]
        ]
        if repetitions:
            summary = summarize_completion(repetitions)
            passages.setdefault(self_edit.passage_id, []).append(summary)
    return rounded(summarize_run(list(passages.values())))


def _by_self_edit(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    grouped: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        grouped.setdefault(outcome.trial.id.rpartition("/")[0], []).append(outcome)
    return grouped


def select_self_edits(
    self_edits: Sequence[SelfEdit],
    rewards: Sequence[Reward],
    settings: OuterLoopSettings,
    seed: int,
) -> list[SelfEdit]:
    """The `keep` best-rewarded self-edits of every passage (golden G2: ties go to the first).

    As a control, random ones among those that have a reward; the seed says which.
    """
    ranks = [reward.reward for reward in rewards]
    if settings.selection == "random":
        draws = [float(derive_seed(seed, f"{reward.id}/selection")) for reward in rewards]
        ranks = [None if rank is None else draw for rank, draw in zip(ranks, draws, strict=True)]
    of_passage: dict[str, list[int]] = {}
    for index, self_edit in enumerate(self_edits):
        of_passage.setdefault(self_edit.passage_id, []).append(index)
    return [
        self_edits[indices[best]]
        for indices in of_passage.values()
        for best in best_indices(
            [self_edits[index].text for index in indices],
            [ranks[index] for index in indices],
            settings.keep,
        )
    ]


def sft_rows(
    passages: Sequence[Passage],
    selected: Sequence[SelfEdit],
    settings: SelfEditSettings,
    tokenizer: PreTrainedTokenizerBase,
) -> list[SftRow]:
    """The M-step's examples: the prompt that a self-edit answered, and the self-edit, trimmed."""
    by_id = {passage.id: passage for passage in passages}
    return [
        SftRow(prompt_for(by_id[self_edit.passage_id], settings, tokenizer), self_edit.text.strip())
        for self_edit in selected
    ]


def describe_selection(selected: Sequence[SelfEdit], rewards: Sequence[Reward]) -> dict[str, Any]:
    """How many self-edits were kept, and their mean reward.

    The mean is inflated: the inner loops that measured it also chose what is in it.
    """
    by_id = {reward.id: reward.reward for reward in rewards}
    kept = [by_id[self_edit.id] for self_edit in selected]
    return {
        "n_selected": len(kept),
        "selected_mean_reward": round(mean(kept), 4) if kept else None,
    }


def describe_round(results: Mapping[str, Any]) -> str:
    """One line for the reader: accuracies of a round as fractions, or the proxy's scores."""
    if results["reward"] == "proxy":
        return (
            f"self-edits score {results['mean_proxy_score'] or 0:.2f} of 20,"
            f" the {results['n_selected']} selected {results['selected_mean_reward'] or 0:.2f}"
        )
    return (
        f"no update {results['baseline_mean_accuracy']:.3f},"
        f" with self-edits {results['adapter_mean_accuracy']:.3f},"
        f" with the {results['n_selected']} selected {results['selected_mean_reward'] or 0:.3f}"
    )


def describe_validation(results: Sequence[Mapping[str, Any]]) -> str:
    """One line: accuracy with self-edits before the first round and after each, and the best."""
    accuracies = [result["adapter_mean_accuracy"] for result in results]
    best = accuracies.index(max(accuracies))
    shown = " -> ".join(f"{accuracy:.3f}" for accuracy in accuracies)
    return f"validation, before and after each round: {shown}; best after round {best}"
