"""The single-passage table: teach one passage at a time, then ask its questions closed-book.

Rows: no update; passage only; the passage and self-edits that --model writes, or that a file holds
(--self_edit_files LABEL=FILE). Each --policies LABEL=MODEL, such as a policy after RL, adds a row:
that model's own weights, taught by its own self-edits.

Reads   --passages (paper: the first 200 of SQuAD's shuffled validation passages)
Writes  RUN_DIR/ROW/self_edits.jsonl answers.jsonl grades.jsonl, RUN_DIR/table.md, results.json
Run     python general-knowledge/eval_single_passage.py --run_dir runs/table-1 \\
            --passages rajpurkar/squad:validation --policies seal=runs/rest-em/round-2/sft/model
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from knowledge.data.passages import Passage, load_passages
from knowledge.data.prompts import check_prompts
from knowledge.data.splits import evaluation_passages
from knowledge.judging.judges import Judge, open_judge
from knowledge.method.inner_loop import run_trials
from knowledge.method.reward import bare_trials, inner_loop_trials
from knowledge.method.self_edits import SelfEdit, read_self_edits, sample_self_edits
from knowledge.method.single_passage_table import (
    Arm,
    arm,
    format_table,
    in_order,
    passage_only_trials,
    summarize_arm,
)
from knowledge.settings import PassageSettings, RewardSettings, SelfEditSettings
from seal.arguments import arg, labelled, run_program
from seal.loop.inner_loops import seconds_per_adapter
from seal.loop.policy import Policy, open_policy
from seal.models.folders import check_model
from seal.records import write_text
from seal.run import Run
from seal.settings import ModelSettings, RunSettings

ROWS = ("no-update", "passage-only", "self-edits")


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings, ModelSettings, PassageSettings, SelfEditSettings, RewardSettings):
    """Flags of eval_single_passage.py."""

    n_passages: int = arg("passages (paper: 200)", 200, at_least=1)
    k: int = arg("self-edits per passage (release: 1)", 1, at_least=1)
    repeats: int = arg("inner loops per self-edit (release: 1)", 1, at_least=1)
    self_edit_files: list[str] = arg("LABEL=self_edits.jsonl: a row with self-edits of a file", [])
    policies: list[str] = arg("LABEL=MODEL: a row with another policy, its weights and words", [])
    order: list[str] = arg("labels in the order of the table; other rows follow", [])


def main(config: Config) -> None:
    """Fill the table row by row, one policy after the other, and print it."""
    passages = evaluation_passages(
        load_passages(config.passages), config.n_passages, config.shuffle_seed
    )
    files = {
        label: read_self_edits(Path(path), passages, config.k)
        for label, path in labelled("--self_edit_files", config.self_edit_files, ROWS).items()
    }
    policies = labelled("--policies", config.policies, (*ROWS, *files))
    labels = in_order([*ROWS, *files, *policies], config.order)
    for model in [config.model, *policies.values()]:
        check_model(model)
    judge = open_judge(config)
    check_prompts(config)
    run = Run.open(config.run_dir, config)
    arms = []
    with open_policy(
        config.model, config, run.path("vllm.log"), config.lora_rank, config.slots
    ) as policy:
        arms += base_arms(run, passages, files, policy, judge, config)
    for label, model in policies.items():
        with open_policy(
            model, config, run.path("vllm.log"), config.lora_rank, config.slots
        ) as policy:
            arms.append(own_self_edits_arm(label, run, passages, policy, judge, config))
    arms.sort(key=lambda arm: labels.index(arm.label))
    rows = [
        summarize_arm(row, above, config.seed)
        for row, above in zip(arms, [None, *arms[:-1]], strict=True)
    ]
    run.write_results({"n_passages": len(passages), "judge": judge.name, "rows": rows})
    table = format_table(rows, seconds_per_adapter(run))
    write_text(run.path("table.md"), table + "\n")
    run.say(f"accuracy in percent, {len(passages)} passages, judge {judge.name}\n{table}")


def base_arms(
    run: Run,
    passages: list[Passage],
    files: dict[str, list[SelfEdit]],
    policy: Policy,
    judge: Judge,
    config: Config,
) -> Iterator[Arm]:
    """The rows in which --model is updated: on nothing, the passage, its own words, files."""
    trials = {
        "no-update": bare_trials(passages),
        "passage-only": passage_only_trials(passages, config, config.seed),
    }
    for label, of_arm in trials.items():
        yield arm(label, run_trials(run.part(label), of_arm, policy, judge, config, label))
    yield own_self_edits_arm("self-edits", run, passages, policy, judge, config)
    for label, self_edits in files.items():
        yield self_edits_arm(label, run, passages, self_edits, policy, judge, config)


def own_self_edits_arm(
    label: str, run: Run, passages: list[Passage], policy: Policy, judge: Judge, config: Config
) -> Arm:
    """A row in which the policy writes the self-edits that it is updated on."""
    self_edits = sample_self_edits(run.part(label), passages, policy, config, config.seed)
    return self_edits_arm(label, run, passages, self_edits, policy, judge, config)


def self_edits_arm(
    label: str,
    run: Run,
    passages: list[Passage],
    self_edits: list[SelfEdit],
    policy: Policy,
    judge: Judge,
    config: Config,
) -> Arm:
    """A row in which the policy is updated on the given self-edits."""
    trials = inner_loop_trials(passages, self_edits, config, config.seed)
    return arm(label, run_trials(run.part(label), trials, policy, judge, config, label))


if __name__ == "__main__":
    run_program(main, Config)
