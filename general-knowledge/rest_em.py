"""SEAL's outer loop, all rounds in one command (paper, section 3.1, algorithm 1).

A round samples k self-edits per passage from the current policy, rewards each with real inner loops
on that policy's own weights, keeps the best per passage and finetunes the policy on them. With
--reward proxy a chat model marks the self-edits instead (v2). The loop is seal/loop/rest_em.py.

Reads   --passages (training passages: each round takes new ones)
Writes  RUN_DIR/round-N/self_edits.jsonl  answers.jsonl  grades.jsonl (proxy: ratings.jsonl)
        RUN_DIR/round-N/rewards.jsonl     the reward of each self-edit
        RUN_DIR/round-N/sft/model         the policy after round N, a standalone model folder
        RUN_DIR/results.json, rounds.png  every round's numbers
Run     python general-knowledge/rest_em.py --run_dir runs/rest-em \\
            --passages rajpurkar/squad:train
"""

from knowledge.data.passages import load_passages
from knowledge.data.splits import rl_passages, validation_passages
from knowledge.judging.judges import open_judge
from knowledge.method.cost import estimate_rewards
from knowledge.settings import PassageSettings, RestEmSettings
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.run import RunSettings
from seal.settings import ModelSettings, SftSettings


class Config(RunSettings, ModelSettings, PassageSettings, RestEmSettings, SftSettings):
    """Flags of rest_em.py."""

    n_passages: int = arg("new passages per round (paper: 50)", 50, at_least=1, group="how much")
    rounds: int = arg("rounds (paper: 2)", 2, at_least=1, at_most=1_000, group="how much")
    n_validation: int = arg(
        "training passages kept apart, on which the policy is measured before the first and after"
        " every round (release: none, it chose checkpoints on the evaluation passages)",
        0,
        at_least=0,
        group="how much",
    )


def main(config: Config) -> None:
    """Run the rounds that are not finished yet and print one line for each."""
    from knowledge.method.open_run import open_run
    from knowledge.method.outer_loop import PassageDomain, open_reward
    from seal.loop.policy import open_policy
    from seal.loop.rest_em import rest_em
    from seal.training.sft import check_processes, imitation

    loaded = load_passages(config.passages)
    seed, n_validation = config.shuffle_seed, config.n_validation
    rounds = [
        rl_passages(loaded, index, config.n_passages, n_validation, seed)
        for index in range(config.rounds)
    ]
    validation = validation_passages(loaded, n_validation, seed) if n_validation else []
    check_processes(config.sft_batch_size, config.sft_processes)
    cost = estimate_rewards(rounds[0], config.k, config)
    judge = open_judge(config)
    reward = open_reward(config, judge)
    passages = [passage for part in (*rounds, validation) for passage in part]
    run = open_run(
        config,
        {"--passages": [rounds, validation]},
        {"--model": config.model},
        asked=passages,
        written_about=passages,
    )
    run.say(f"{config.rounds} rounds, each: {cost}")
    rest_em(
        run,
        PassageDomain(rounds, judge, reward, config, validation, config.seed),
        imitation(config, config),
        lambda name, log: open_policy(name, config, log, config.lora_rank, config.slots),
        model=config.model,
        rounds=config.rounds,
        seed=config.seed,
    )


if __name__ == "__main__":
    run_program(main, Config)
