"""SEAL's outer loop on passages: the domain of `seal.loop.rest_em` (paper, sections 3.1 and 4.1).

A context C is a passage, τ its questions without it. Each round has passages of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from knowledge.data.passages import Passage
from knowledge.data.prompts import self_edit_prompt
from knowledge.judging.judges import Judge
from knowledge.method.proxy_reward import open_rater, rate_self_edits
from knowledge.method.reward import Reward, RewardFunction, measure_rewards
from knowledge.method.selection import best_indices, ranks_of
from knowledge.method.self_edits import SelfEdit, sample_self_edits
from knowledge.settings import OuterLoopSettings, RestEmSettings, SelfEditSettings
from seal.loop.policy import Policy
from seal.loop.rest_em import Numbers
from seal.report.intervals import mean
from seal.report.plots import plot_rounds, round_curves
from seal.run import Run
from seal.training.sft import SftRow

CURVES = {
    "baseline_mean_accuracy": "no update",
    "adapter_mean_accuracy": "after the inner loop",
    "selected_mean_reward": "after the inner loop, selected self-edits",
}
"""Fields of a round's results that are drawn, and their texts in the legend."""
PROXY_CURVES = {
    "mean_proxy_score": "proxy score, share of 20 points",
    "selected_mean_reward": "proxy score, selected self-edits",
}
"""The same for rounds of the proxy reward."""
_PROXY_POINTS = 20


@dataclass(frozen=True)
class PassageDomain:
    """Passages as the outer loop needs them: see `seal.loop.rest_em.Domain`.

    `validation` passages are in no round; `seed` draws what the policy writes about them.
    """

    rounds: Sequence[Sequence[Passage]]
    judge: Judge
    reward: RewardFunction
    settings: RestEmSettings
    validation: Sequence[Passage] = ()
    seed: int = 0

    def contexts(self, number: int) -> Sequence[Passage]:
        """The round's own passages."""
        return self.rounds[number - 1]

    def sample(
        self, run: Run, contexts: Sequence[Passage], policy: Policy, seed: int
    ) -> list[SelfEdit]:
        """k self-edits per passage."""
        return sample_self_edits(run, contexts, policy, self.settings, seed)

    def select(
        self,
        contexts: Sequence[Passage],
        self_edits: Sequence[SelfEdit],
        rewards: Sequence[Reward],
        policy: Policy,
        seed: int,
    ) -> tuple[list[SftRow], Numbers]:
        """The best of each passage."""
        selected = select_self_edits(self_edits, rewards, self.settings, seed)
        rows = sft_rows(contexts, selected, self.settings, policy.tokenizer)
        return rows, describe_selection(selected, rewards)

    def validate(self, run: Run, policy: Policy) -> Numbers | None:
        """What one self-edit per validation passage does, by one inner loop each."""
        if not self.validation:
            return None
        once = replace(self.settings, k=1, repeats=1)
        measure = partial(measure_rewards, judge=self.judge, settings=once)
        edits = sample_self_edits(run, self.validation, policy, once, self.seed)
        return measure(run, self.validation, edits, policy, self.seed)[1]

    @staticmethod
    def describe_round(results: Mapping[str, Any]) -> str:
        """Accuracies as fractions, or the proxy's scores."""
        n_selected, selected = results["n_selected"], results["selected_mean_reward"] or 0
        if results["reward"] == "proxy":
            score = results["mean_proxy_score"] or 0
            return f"self-edits score {score:.2f} of 20, the {n_selected} selected {selected:.2f}"
        return (
            f"no update {results['baseline_mean_accuracy']:.3f},"
            f" with self-edits {results['adapter_mean_accuracy']:.3f},"
            f" with the {n_selected} selected {selected:.3f}"
        )

    @staticmethod
    def describe_validation(results: Sequence[Mapping[str, Any]]) -> str:
        """Accuracies before the first round and after each, and the best."""
        accuracies = [result["adapter_mean_accuracy"] for result in results]
        best = accuracies.index(max(accuracies))
        shown = " -> ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        return f"validation, before and after each round: {shown}; best after round {best}"

    @staticmethod
    def plot(
        rounds: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]], path: Path
    ) -> None:
        """Accuracy by round: each round's own passages, and the validation passages if any.

        Rounds of the proxy reward have scores instead; accuracy is then of validation alone.
        """
        proxy = "mean_proxy_score" in rounds[0]
        fields, most = (PROXY_CURVES, _PROXY_POINTS) if proxy else (CURVES, 1)
        curves = round_curves(rounds, fields, most)
        validated = "validation passages"
        if validation:
            curves[validated] = [result["adapter_mean_accuracy"] for result in validation]
        plot_rounds(curves, path, "score or accuracy" if proxy else "accuracy", {validated})


def open_reward(settings: OuterLoopSettings, judge: Judge) -> RewardFunction:
    """The reward that the flags ask for: inner loops, or a proxy's marks (see `open_rater`)."""
    if settings.reward == "proxy":
        return partial(rate_self_edits, rater=open_rater(settings), settings=settings)
    return partial(measure_rewards, judge=judge, settings=settings)


def select_self_edits(
    self_edits: Sequence[SelfEdit],
    rewards: Sequence[Reward],
    settings: OuterLoopSettings,
    seed: int,
) -> list[SelfEdit]:
    """The `keep` best of every passage by `ranks_of` (golden G2: ties go to the first)."""
    ranks = ranks_of({reward.id: reward.reward for reward in rewards}, settings.selection, seed)
    of_passage: dict[str, list[SelfEdit]] = {}
    for edit in self_edits:
        of_passage.setdefault(edit.passage_id, []).append(edit)
    return [
        own[best]
        for own in of_passage.values()
        for best in best_indices([e.text for e in own], [ranks[e.id] for e in own], settings.keep)
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
        SftRow(self_edit_prompt(by_id[edit.passage_id], settings, tokenizer), edit.text.strip())
        for edit in selected
    ]


def describe_selection(selected: Sequence[SelfEdit], rewards: Sequence[Reward]) -> Numbers:
    """How many self-edits were kept, and their mean reward, which their selection inflates."""
    earned = {reward.id: reward.reward for reward in rewards}
    kept = [earned[self_edit.id] for self_edit in selected]
    return {"n_selected": len(kept), "selected_mean_reward": round(mean(kept), 4) if kept else None}
