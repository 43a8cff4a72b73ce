"""Measure the reward of every self-edit with real inner loops (paper, section 3.1).

With --reward proxy a chat model marks the self-edits instead, and nothing is trained (paper v2).

Reads   --self_edits, written by generate_self_edits.py, and the same --passages
Writes  RUN_DIR/answers.jsonl, grades.jsonl   one line per inner loop
        RUN_DIR/ratings.jsonl                 with --reward proxy in their place: the marks
        RUN_DIR/rewards.jsonl                 one line per self-edit
        RUN_DIR/sft.jsonl                     the best self-edit of each passage, for the M-step
        RUN_DIR/results.json                  means and spreads (the release's seven numbers)
Run     python general-knowledge/run_inner_loop.py --run_dir runs/rewards \\
            --passages rajpurkar/squad:train --self_edits runs/self-edits/self_edits.jsonl
"""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from knowledge.data.splits import load_round
from knowledge.judging.judges import open_judge
from knowledge.method.cost import estimate_rewards
from knowledge.settings import RestEmSettings, RoundSettings
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.run import RunSettings
from seal.settings import ModelSettings


class Config(RunSettings, ModelSettings, RoundSettings, RestEmSettings):
    """Flags of run_inner_loop.py."""

    self_edits: str = arg("self_edits.jsonl of a generate_self_edits.py run")


def main(config: Config) -> None:
    """Train, ask and grade `repeats` adapters per self-edit; print the round's numbers."""
    from knowledge.method.open_run import open_run
    from knowledge.method.outer_loop import PassageDomain, open_reward
    from knowledge.method.self_edits import read_self_edits
    from seal.loop.policy import Policy, open_policy

    passages = load_round(config)
    self_edits = read_self_edits(Path(config.self_edits), passages, config.k)
    cost = estimate_rewards(passages, config.k, config)
    judge = open_judge(config)
    domain = PassageDomain([passages], judge, open_reward(config, judge), config)
    run = open_run(
        config,
        {"--passages": passages, "--self_edits": self_edits},
        {"--model": config.model},
        asked=passages,
    )
    run.say(cost)
    if config.reward == "proxy":  # marks need the policy's tokenizer alone, for sft.jsonl
        opened = nullcontext(Policy(config.model, config))
    else:
        log = run.path("vllm.log")
        opened = open_policy(config.model, config, log, config.lora_rank, config.slots)
    with opened as policy:
        rewards, numbers = domain.reward(run, passages, self_edits, policy, config.seed)
        rows, selection = domain.select(passages, self_edits, rewards, policy, config.seed)
    run.replace("sft", map(asdict, rows))
    results = numbers | selection
    run.write_results(results)
    run.say(domain.describe_round(results))


if __name__ == "__main__":
    run_program(main, Config)
