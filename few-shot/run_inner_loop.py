"""Measure the reward of every self-edit with a real inner loop (paper, section 4.2).

Reads   --self_edits, written by generate_self_edits.py, and the same --tasks
Writes  RUN_DIR/predictions.jsonl   one line per inner loop: votes and attempts
        RUN_DIR/rewards.jsonl       one line per self-edit
        RUN_DIR/sft.jsonl           every rewarded self-edit, for the M-step
        RUN_DIR/results.json        success rates and what was invalid
Run     python few-shot/run_inner_loop.py --run_dir runs/arc-rewards \\
            --tasks ARC-AGI/data/training --task_ids paper-training \\
            --self_edits runs/arc-self-edits/self_edits.jsonl
"""

from dataclasses import asdict

from arc.method.cost import estimate_rewards
from arc.puzzles.tasks import read_tasks, require_targets
from arc.settings import InnerLoopSettings, OracleSettings, PolicySettings, TaskSettings
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.run import RunSettings


class Config(RunSettings, PolicySettings, TaskSettings, InnerLoopSettings, OracleSettings):
    """Flags of run_inner_loop.py."""

    self_edits: str = arg(
        "self_edits.jsonl of a generate_self_edits.py run, or oracle: the hand-made configuration"
    )
    k: int = arg(
        "self-edits per task (paper: 15 to train, 5 to evaluate)",
        15,
        at_least=1,
        at_most=10_000,
        group="self-edits",
    )


def main(config: Config) -> None:
    """Train an adapter for every self-edit, predict, and print the round's numbers."""
    from arc.method.open_run import open_run
    from arc.method.outer_loop import TaskDomain, select_self_edits, sft_rows
    from arc.method.reward import measure_rewards
    from arc.method.self_edits import given_self_edits
    from seal.loop.policy import open_policy

    tasks = read_tasks(config, config.seed)
    require_targets(tasks)
    cost = estimate_rewards(tasks, config.k, config)
    self_edits = given_self_edits(config.self_edits, tasks, config.k, config)
    inputs = {
        "--tasks --solutions --task_ids": tasks,
        "--self_edits --oracle_file": self_edits,
    }
    run = open_run(config, inputs, {"--model": config.model}, tasks, sampled=False)
    run.say(cost)
    log = run.path("vllm.log")
    with open_policy(config.model, config, log, config.lora_rank, config.slots) as policy:
        rewards, results = measure_rewards(run, tasks, self_edits, policy, config, config.seed)
        rewarded = select_self_edits(self_edits, rewards, "rewarded", config.seed)
        rows = sft_rows(tasks, rewarded, config, policy.tokenizer)
    run.replace("sft", map(asdict, rows))
    run.write_results(results)
    run.say(TaskDomain.describe_round(results))


if __name__ == "__main__":
    run_program(main, Config)
