"""Measure the reward of every self-edit with real inner loops (paper, section 3.1).

Reads   --self_edits, written by generate_self_edits.py, and the same --passages
Writes  RUN_DIR/answers.jsonl, grades.jsonl   one line per inner loop
        RUN_DIR/rewards.jsonl                 one line per self-edit
        RUN_DIR/sft.jsonl                     the best self-edit of each passage, for the M-step
        RUN_DIR/results.json                  means and spreads (the release's seven figures)
Run     python general-knowledge/run_inner_loop.py --run_dir runs/rewards \\
            --passages rajpurkar/squad:train --self_edits runs/self-edits/self_edits.jsonl
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from knowledge.estimate import estimate_rewards
from knowledge.grading import open_judge
from knowledge.outer_loop import (
    describe_round,
    describe_selection,
    measure_rewards,
    select_self_edits,
    sft_rows,
)
from knowledge.prompts import check_prompts
from knowledge.self_edits import read_self_edits
from knowledge.settings import RewardSettings, RoundSettings, SelfEditSettings
from knowledge.splits import load_round
from seal.arguments import arg, run_program
from seal.policy import open_policy
from seal.records import write_jsonl
from seal.run import Run
from seal.settings import ModelSettings, RunSettings


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings, ModelSettings, RoundSettings, SelfEditSettings, RewardSettings):
    """Flags of run_inner_loop.py."""

    self_edits: Path = arg("self_edits.jsonl of a generate_self_edits.py run")


def main(config: Config) -> None:
    """Train, ask and grade `repeats` adapters per self-edit; print the round's figures."""
    passages = load_round(config)
    self_edits = read_self_edits(config.self_edits, passages, config.k)
    judge = open_judge(config)
    check_prompts(config)
    run = Run.open(config.run_dir, config)
    run.say(estimate_rewards(passages, config.k, config))
    with open_policy(
        config.model, config, run.path("vllm.log"), config.lora_rank, config.slots
    ) as policy:
        rewards, summary = measure_rewards(
            run, passages, self_edits, policy, judge, config, config.seed
        )
        selected = select_self_edits(self_edits, rewards, config.keep)
        rows = sft_rows(passages, selected, config, policy.tokenizer)
    write_jsonl(run.path("sft.jsonl"), map(asdict, rows))
    results = {**summary, **describe_selection(selected, rewards)}
    run.write_results(results)
    run.say(describe_round(results))


if __name__ == "__main__":
    run_program(main, Config)
