"""SEAL's outer loop on ARC tasks, all rounds in one command (paper, section 4.2, algorithm 1).

A round samples k self-edits per task from the current policy, trains an adapter on each, rewards
those after which the policy solves the task, and finetunes the policy on all that were rewarded.
With --selection, controls learn from self-edits without regard to their rewards. The loop is
seal/loop/rest_em.py.

Reads   --tasks (training tasks: the same ones in every round)
Writes  RUN_DIR/round-N/self_edits.jsonl  predictions.jsonl  rewards.jsonl
        RUN_DIR/round-N/sft/model         the policy after round N, a standalone model folder
        RUN_DIR/results.json, rounds.png  every round's numbers
Run     python few-shot/rest_em.py --run_dir runs/arc-rest-em \\
            --tasks ARC-AGI/data/training --task_ids paper-training
"""

from arc.method.cost import estimate_rewards
from arc.puzzles.tasks import read_tasks, require_targets
from arc.settings import ArcSftSettings, PolicySettings, RestEmSettings, TaskSettings
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.run import RunSettings


class Config(RunSettings, PolicySettings, TaskSettings, RestEmSettings, ArcSftSettings):
    """Flags of rest_em.py."""

    rounds: int = arg("rounds (paper: 1)", 1, at_least=1, at_most=1_000, group="how much")


def main(config: Config) -> None:
    """Run the rounds that are not finished yet and print one line for each."""
    from arc.method.open_run import open_run
    from arc.method.outer_loop import TaskDomain
    from seal.loop.policy import open_policy
    from seal.loop.rest_em import rest_em
    from seal.training.sft import check_processes, imitation

    tasks = read_tasks(config, config.seed)
    require_targets(tasks)
    cost = estimate_rewards(tasks, config.k, config)
    check_processes(config.sft_batch_size, config.sft_processes)
    inputs = {"--tasks --solutions --task_ids": tasks}
    run = open_run(config, inputs, {"--model": config.model}, tasks)
    run.say(f"{config.rounds} rounds, each: {cost}")
    rest_em(
        run,
        TaskDomain(tasks, config),
        imitation(config, config),
        lambda name, log: open_policy(name, config, log, config.lora_rank, config.slots),
        model=config.model,
        rounds=config.rounds,
        seed=config.seed,
    )


if __name__ == "__main__":
    run_program(main, Config)
