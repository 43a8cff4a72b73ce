"""Measure the reward of every self-edit with real inner loops (paper, section 3.1).

With --reward proxy a chat model marks the self-edits instead, and nothing is trained (paper v2).

Reads   --self_edits, written by generate_self_edits.py, and the same --passages
Writes  RUN_DIR/answers.jsonl, grades.jsonl   one line per inner loop
        RUN_DIR/ratings.jsonl                 with --reward proxy in their place: the marks
        RUN_DIR/rewards.jsonl                 one line per self-edit
        RUN_DIR/sft.jsonl                     the best self-edit of each passage, for the M-step
        RUN_DIR/results.json                  means and spreads (the release's seven figures)
Run     python general-knowledge/run_inner_loop.py --run_dir runs/rewards \\
            --passages rajpurkar/squad:train --self_edits runs/self-edits/self_edits.jsonl
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from knowledge.data.prompts import check_prompts
from knowledge.data.splits import load_round
from knowledge.judging.judges import open_judge
from knowledge.method.cost import estimate_rewards
from knowledge.method.outer_loop import (
    describe_round,
    describe_selection,
    open_reward,
    select_self_edits,
    sft_rows,
)
from knowledge.method.self_edits import read_self_edits
from knowledge.settings import OuterLoopSettings, RoundSettings, SelfEditSettings
from seal.arguments import arg, run_program
from seal.loop.policy import Policy, open_policy
from seal.records import write_jsonl
from seal.run import Run
from seal.settings import ModelSettings, RunSettings


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings, ModelSettings, RoundSettings, SelfEditSettings, OuterLoopSettings):
    """Flags of run_inner_loop.py."""

    self_edits: str = arg("self_edits.jsonl of a generate_self_edits.py run")


def main(config: Config) -> None:
    """Train, ask and grade `repeats` adapters per self-edit; print the round's figures."""
    passages = load_round(config)
    self_edits = read_self_edits(Path(config.self_edits), passages, config.k)
    reward = open_reward(config, open_judge(config))
    check_prompts(config)
    run = Run.open(config.run_dir, config)
    run.say(estimate_rewards(passages, config.k, config))
    with open_for_reward(run, config) as policy:
        rewards, summary = reward(
            run, passages, self_edits, policy, settings=config, seed=config.seed
        )
        selected = select_self_edits(self_edits, rewards, config, config.seed)
        rows = sft_rows(passages, selected, config, policy.tokenizer)
    write_jsonl(run.path("sft.jsonl"), map(asdict, rows))
    results = {**summary, **describe_selection(selected, rewards)}
    run.write_results(results)
    run.say(describe_round(results))


def open_for_reward(run: Run, config: Config) -> AbstractContextManager[Policy]:
    """The policy, ready to be trained and asked; a proxy's marks need its tokenizer alone."""
    if config.reward == "proxy":
        return nullcontext(Policy(config.model, config))
    log = run.path("vllm.log")
    return open_policy(config.model, config, log, config.lora_rank, config.slots)


if __name__ == "__main__":
    run_program(main, Config)
