"""SEAL's outer loop on ARC tasks: the domain of `seal.loop.rest_em` (paper, section 4.2).

A context C is a task's demonstrations, τ its test input. Every round has the same tasks, and the
M-step imitates all self-edits that were rewarded.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from arc.method.knobs import knob_shares
from arc.method.prompts import self_edit_prompt
from arc.method.reward import Reward, measure_rewards
from arc.method.self_edits import SelfEdit, sample_self_edits
from arc.puzzles.tasks import Task
from arc.settings import PromptSettings, RestEmSettings, Selection
from seal.loop.policy import Policy
from seal.loop.rest_em import Domain
from seal.report.plots import plot_rounds, round_curves
from seal.run import Run
from seal.seeds import derive_seed
from seal.training.sft import SftRow

CURVES = {
    "in_context_success_rate": "in context, no update",
    "success_rate": "after the inner loop",
}
"""Fields of a round's results that are drawn, and their texts in the legend."""


@dataclass(frozen=True)
class TaskDomain(Domain[Task, SelfEdit, Reward]):
    """ARC tasks as the outer loop needs them; none are for validation, which is the default.

    Every round has the same tasks.
    """

    tasks: Sequence[Task]
    settings: RestEmSettings

    def contexts(self, number: int) -> Sequence[Task]:
        return self.tasks

    def sample(
        self, run: Run, contexts: Sequence[Task], policy: Policy, seed: int
    ) -> list[SelfEdit]:
        return sample_self_edits(run, contexts, policy, self.settings, seed)

    def reward(
        self,
        run: Run,
        contexts: Sequence[Task],
        self_edits: Sequence[SelfEdit],
        policy: Policy,
        seed: int,
    ) -> tuple[list[Reward], dict[str, Any]]:
        return measure_rewards(run, contexts, self_edits, policy, self.settings, seed)

    def select(
        self,
        contexts: Sequence[Task],
        self_edits: Sequence[SelfEdit],
        rewards: Sequence[Reward],
        policy: Policy,
        seed: int,
    ) -> tuple[list[SftRow], dict[str, Any]]:
        selected = select_self_edits(self_edits, rewards, self.settings.selection, seed)
        rows = sft_rows(contexts, selected, self.settings, policy.tokenizer)
        return rows, {
            "n_selected": len(selected),
            "knobs": knob_shares(self_edit.parsed for self_edit in self_edits),
            "selected_knobs": knob_shares(self_edit.parsed for self_edit in selected),
        }

    @staticmethod
    def describe_round(results: Mapping[str, Any]) -> str:
        return (
            f"in context {results['in_context_success_rate']:.3f}, with self-edits"
            f" {results['success_rate']:.3f}; {results['n_rewarded']} of {results['n_self_edits']}"
            f" rewarded, {results['n_rejected']} invalid"
        )

    @staticmethod
    def plot(
        rounds: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]], path: Path
    ) -> None:
        plot_rounds(round_curves(rounds, CURVES), path, "success")


def select_self_edits(
    self_edits: Sequence[SelfEdit], rewards: Sequence[Reward], selection: Selection, seed: int
) -> list[SelfEdit]:
    """What the M-step imitates, in the order of `self_edits`: all that were rewarded.

    As controls: "all" that could be trained on, whatever came of it; as many "random" ones of
    these as were rewarded, as far as they go; or those that are rewarded after the rewards were
    "shuffled" among these. The seed says which.
    """
    chosen = [reward.id for reward in rewards if reward.reward > 0]
    valid = [reward.id for reward in rewards if reward.rejected is None]
    if selection == "all":
        chosen = valid
    elif selection == "random":
        valid.sort(key=lambda id: derive_seed(seed, f"{id}/selection"))
        chosen = valid[: len(chosen)]
    elif selection == "shuffled":
        earned = [reward.reward for reward in rewards if reward.rejected is None]
        random.Random(derive_seed(seed, "selection")).shuffle(earned)
        chosen = [id for id, reward in zip(valid, earned, strict=True) if reward > 0]
    kept = set(chosen)
    return [self_edit for self_edit in self_edits if self_edit.id in kept]


def sft_rows(
    tasks: Sequence[Task],
    selected: Sequence[SelfEdit],
    settings: PromptSettings,
    tokenizer: PreTrainedTokenizerBase,
) -> list[SftRow]:
    """The M-step's examples: every selected self-edit, trimmed, after the prompt it answered."""
    prompts = {task.id: self_edit_prompt(task, settings, tokenizer) for task in tasks}
    return [SftRow(prompts[self_edit.task_id], self_edit.text.strip()) for self_edit in selected]
