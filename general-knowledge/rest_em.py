"""SEAL's outer loop, all rounds in one command (paper, section 3.1, algorithm 1).

A round samples k self-edits per passage from the current policy, rewards each with real inner loops
on that policy's own weights, keeps the best per passage and finetunes the policy on them. With
--reward proxy a chat model marks the self-edits instead (paper v2).

Reads   --passages (training passages: each round takes new ones)
Writes  RUN_DIR/round-N/self_edits.jsonl  answers.jsonl  grades.jsonl (proxy: ratings.jsonl)
        RUN_DIR/round-N/rewards.jsonl     the reward of each self-edit
        RUN_DIR/round-N/sft/model         the policy after round N, a standalone model folder
        RUN_DIR/results.json, rounds.png  every round's figures
Run     python general-knowledge/rest_em.py --run_dir runs/rest-em \\
            --passages rajpurkar/squad:train
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from knowledge.data.passages import Passage, load_passages
from knowledge.data.prompts import check_prompts
from knowledge.data.splits import rl_passages, validation_passages
from knowledge.judging.judges import Judge, open_judge
from knowledge.method.cost import estimate_rewards
from knowledge.method.outer_loop import (
    RewardFunction,
    describe_round,
    describe_selection,
    describe_validation,
    measure_rewards,
    open_reward,
    select_self_edits,
    sft_rows,
)
from knowledge.method.round_curves import plot_rounds
from knowledge.method.self_edits import sample_self_edits
from knowledge.settings import OuterLoopSettings, PassageSettings, SelfEditSettings
from seal.arguments import arg, run_program
from seal.loop.policy import Policy, open_policy
from seal.models.folders import check_model
from seal.records import read_json
from seal.run import Run
from seal.seeds import derive_seed
from seal.settings import ModelSettings, RunSettings, SftSettings
from seal.training.sft import check_processes, finetune, m_step


@dataclass(frozen=True, kw_only=True)
class Config(
    RunSettings, ModelSettings, PassageSettings, SelfEditSettings, OuterLoopSettings, SftSettings
):
    """Flags of rest_em.py."""

    n_passages: int = arg("new passages in every round (paper: 50)", 50, at_least=1)
    rounds: int = arg("rounds (paper: 2)", 2, at_least=1)
    n_validation: int = arg(
        "training passages kept apart, on which the policy is measured before the first and after"
        " every round (release: none, it chose checkpoints on the evaluation passages)",
        0,
        at_least=0,
    )


def main(config: Config) -> None:
    """Run the rounds that are not finished yet and print one line for each."""
    loaded = load_passages(config.passages)
    seed, n_validation = config.shuffle_seed, config.n_validation
    contexts = [
        rl_passages(loaded, index, config.n_passages, n_validation, seed)
        for index in range(config.rounds)
    ]
    validation = validation_passages(loaded, n_validation, seed) if n_validation else []
    check_prompts(config)
    check_model(config.model)
    check_processes(config.sft_batch_size, config.sft_processes)
    judge = open_judge(config)
    reward = open_reward(config, judge)
    run = Run.open(config.run_dir, config)
    run.say(f"{config.rounds} rounds, each: {estimate_rewards(contexts[0], config.k, config)}")
    policy = config.model
    rounds = []
    for number, passages in enumerate(contexts, start=1):
        part = run.part(f"round-{number}")
        if not part.path("results.json").exists():
            run_round(part, number, policy, passages, validation, judge, reward, config)
        rounds.append(read_json(part.path("results.json")))
        run.say(f"round {number}: {describe_round(rounds[-1])}")
        policy = str(part.path("sft") / "model")
    results = {"rounds": rounds}
    if validation:
        final = run.part("final")
        if not final.path("results.json").exists():
            with open_for(final, policy, config) as last:
                final.write_results(validate(final, last, validation, judge, config))
        results["validation"] = [
            *(round["validation"] for round in rounds),
            read_json(final.path("results.json")),
        ]
        run.say(describe_validation(results["validation"]))
    plot_rounds(rounds, results.get("validation", []), run.path("rounds.png"))
    run.write_results(results)
    run.say(f"the policy after round {config.rounds}: {policy}")


def run_round(
    part: Run,
    number: int,
    policy_name: str,
    passages: list[Passage],
    validation: list[Passage],
    judge: Judge,
    reward: RewardFunction,
    config: Config,
) -> None:
    """E-step and M-step on one round's passages; writes the round's results.json."""
    seed = derive_seed(config.seed, f"round-{number}")
    results: dict[str, Any] = {"round": number}
    with open_for(part, policy_name, config) as policy:
        if validation:
            results["validation"] = validate(
                part.part("validation"), policy, validation, judge, config
            )
        self_edits = sample_self_edits(part, passages, policy, config, seed)
        rewards, figures = reward(part, passages, self_edits, policy, settings=config, seed=seed)
        selected = select_self_edits(self_edits, rewards, config, seed)
        rows = sft_rows(passages, selected, config, policy.tokenizer)
    part.say(f"round {number}: finetuning the policy on {len(rows)} self-edits")
    finetune(
        rows, m_step(policy_name, config, config, seed), part.path("sft"), config.sft_processes
    )
    part.write_results(results | figures | describe_selection(selected, rewards))


def open_for(part: Run, policy_name: str, config: Config) -> AbstractContextManager[Policy]:
    """The policy with a server, if any, for the run's adapters."""
    log = part.path("vllm.log")
    return open_policy(policy_name, config, log, config.lora_rank, config.slots)


def validate(
    part: Run, policy: Policy, passages: list[Passage], judge: Judge, config: Config
) -> dict[str, Any]:
    """What the policy's own self-edits do for passages that no round has seen: one each."""
    once = replace(config, k=1, repeats=1)
    self_edits = sample_self_edits(part, passages, policy, once, config.seed)
    return measure_rewards(part, passages, self_edits, policy, judge, once, config.seed)[1]


if __name__ == "__main__":
    run_program(main, Config)
