"""SEAL's outer loop on ARC tasks, all rounds in one command (paper, section 4.2, algorithm 1).

A round samples k self-edits per task from the current policy, trains an adapter on each, rewards
those after which the policy solves the task, and finetunes the policy on all that were rewarded.
With --selection, controls learn from self-edits without regard to their rewards.

Reads   --tasks (training tasks: the same ones in every round)
Writes  RUN_DIR/round-N/self_edits.jsonl  predictions.jsonl  rewards.jsonl
        RUN_DIR/round-N/sft/model         the policy after round N, a standalone model folder
        RUN_DIR/results.json, rounds.png  every round's figures
Run     python few-shot/rest_em.py --run_dir runs/arc-rest-em \\
            --tasks ARC-AGI/data/training --task_ids paper-training
"""

from dataclasses import dataclass
from pathlib import Path

from arc.method.cost import estimate_rewards
from arc.method.outer_loop import (
    describe_round,
    describe_selection,
    measure_rewards,
    select_self_edits,
    sft_rows,
)
from arc.method.prompts import check_prompts
from arc.method.round_curves import plot_rounds
from arc.method.self_edits import sample_self_edits
from arc.puzzles.tasks import Task, read_tasks, require_targets
from arc.settings import (
    ArcSftSettings,
    InnerLoopSettings,
    PolicySettings,
    SelfEditSettings,
    TaskSettings,
)
from seal.arguments import arg, run_program
from seal.loop.policy import open_policy
from seal.models.folders import check_model
from seal.records import read_json
from seal.run import Run
from seal.seeds import derive_seed
from seal.settings import RunSettings
from seal.training.sft import check_processes, finetune, m_step


@dataclass(frozen=True, kw_only=True)
class Config(
    RunSettings,
    PolicySettings,
    TaskSettings,
    SelfEditSettings,
    InnerLoopSettings,
    ArcSftSettings,
):
    """Flags of rest_em.py."""

    group = "how much"
    rounds: int = arg("rounds (paper: 1)", 1, at_least=1)


def main(config: Config) -> None:
    """Run the rounds that are not finished yet and print one line for each."""
    tasks = read_tasks(config, config.seed)
    require_targets(tasks)
    check_prompts(config)
    check_model(config.model)
    check_processes(config.sft_batch_size, config.sft_processes)
    run = Run.open(config.run_dir, config)
    run.say(f"{config.rounds} rounds, each: {estimate_rewards(tasks, config.k, config)}")
    policy = config.model
    rounds = []
    for number in range(1, config.rounds + 1):
        part = run.part(f"round-{number}")
        if not part.path("results.json").exists():
            run_round(part, number, policy, tasks, config)
        rounds.append(read_json(part.path("results.json")))
        run.say(f"round {number}: {describe_round(rounds[-1])}")
        if rounds[-1]["n_selected"]:
            policy = str(sft_model(part))
    plot_rounds(rounds, run.path("rounds.png"))
    run.write_results({"rounds": rounds})
    run.say(f"the policy after round {config.rounds}: {policy}")


def run_round(part: Run, number: int, policy_name: str, tasks: list[Task], config: Config) -> None:
    """E-step and M-step of one round; writes the round's results.json."""
    seed = derive_seed(config.seed, f"round-{number}")
    with open_policy(
        policy_name, config, part.path("vllm.log"), config.lora_rank, config.slots
    ) as policy:
        self_edits = sample_self_edits(part, tasks, policy, config, seed)
        rewards, figures = measure_rewards(part, tasks, self_edits, policy, config, seed)
        selected = select_self_edits(self_edits, rewards, config.selection, seed)
        rows = sft_rows(tasks, selected, config, policy.tokenizer)
    if rows:
        part.say(f"round {number}: finetuning the policy on {len(rows)} self-edits")
        job = m_step(policy_name, config, config, seed)
        finetune(rows, job, part.path("sft"), config.sft_processes)
    else:
        part.say(f"round {number}: no self-edit to imitate, so the policy stays as it is")
    part.write_results({"round": number, **figures, **describe_selection(self_edits, selected)})


def sft_model(part: Run) -> Path:
    """Where a round leaves the policy."""
    return part.path("sft") / "model"


if __name__ == "__main__":
    run_program(main, Config)
