"""The few-shot table: how often held-out tasks are solved, by arm (paper, section 4.2, table 1).

Rows: in context without update; after training on the self-edits that --model writes (or those of a
file, or the hand-made configuration: --self_edits); with --policies LABEL=MODEL, such as a policy
after RL, another policy with its own self-edits; with --oracle, the hand-made configuration.

Reads   --tasks (paper: 8 tasks of ARC's evaluation set)
Writes  RUN_DIR/ROW/self_edits.jsonl predictions.jsonl rewards.jsonl, and solved.txt: ids of tasks
        RUN_DIR/table.md, tasks.md (by task), knobs.md (what sampled self-edits choose)
        RUN_DIR/results.json
Run     python few-shot/eval_self_edits.py --run_dir runs/arc-table \\
            --tasks ARC-AGI/data/evaluation --task_ids paper-evaluation \\
            --policies seal=runs/arc-rest-em/round-1/sft/model
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from arc.method.cost import estimate_rewards
from arc.method.few_shot_table import (
    Arm,
    format_table,
    format_task_table,
    in_context_arm,
    solved_tasks,
    summarize_arm,
    trained_arm,
)
from arc.method.knobs import KnobShares, format_knobs, read_knobs
from arc.method.prediction import predict_in_context
from arc.method.prompts import check_prompts
from arc.method.reward import measure_rewards
from arc.method.self_edits import ORACLE, SAMPLED, given_self_edits, sample_self_edits
from arc.puzzles.tasks import Task, read_tasks, require_targets
from arc.settings import (
    InnerLoopSettings,
    OracleSettings,
    PolicySettings,
    SelfEditSettings,
    TaskSettings,
)
from seal.arguments import arg, labelled, run_program
from seal.loop.inner_loops import seconds_per_adapter
from seal.loop.policy import Policy, open_policy
from seal.models.folders import check_model
from seal.records import write_text
from seal.run import Run
from seal.settings import RunSettings

IN_CONTEXT, SELF_EDITS = "in-context", "self-edits"


@dataclass(frozen=True, kw_only=True)
class Config(
    RunSettings,
    PolicySettings,
    TaskSettings,
    SelfEditSettings,
    InnerLoopSettings,
    OracleSettings,
):
    """Flags of eval_self_edits.py."""

    k: int = arg("self-edits per task (paper: 15 to train, 5 to evaluate)", 5, at_least=1)
    self_edits: str = arg(
        "what --model is trained on: sampled from it, oracle, or a self_edits.jsonl", SAMPLED
    )
    policies: list[str] = arg("LABEL=MODEL: a row with another policy, its weights and words", [])
    oracle: bool = arg("add a row with the hand-made configuration", False)


def main(config: Config) -> None:
    """Fill the table policy by policy and print it."""
    tasks = read_tasks(config, config.seed)
    require_targets(tasks)
    rows = wanted_rows(config)
    for row in rows:
        check_model(row.model)
        if row.source not in (None, SAMPLED):
            given_self_edits(row.source, tasks, config.k, config)
    check_prompts(config)
    run = Run.open(config.run_dir, config)
    run.say(f"each row: {estimate_rewards(tasks, config.k, config)}")
    arms: dict[str, Arm] = {}
    for model in dict.fromkeys(row.model for row in rows):
        log = run.path("vllm.log")
        with open_policy(model, config, log, config.lora_rank, config.slots) as policy:
            for row in rows:
                if row.model == model:
                    arms[row.label] = fill_row(row, run.part(row.label), tasks, policy, config)
    knobs = {row.label: read_knobs(run.part(row.label)) for row in rows if row.source == SAMPLED}
    report(run, [arms[row.label] for row in rows], knobs, config)


class Row(NamedTuple):
    """A row that is asked for: a policy, and where the self-edits come from (None: no update)."""

    label: str
    model: str
    source: str | None


def wanted_rows(config: Config) -> list[Row]:
    """The rows in the order of the table; raises UserError for labels that cannot be used."""
    own = SELF_EDITS if config.self_edits != ORACLE else ORACLE
    policies = labelled("--policies", config.policies, taken=(IN_CONTEXT, SELF_EDITS, ORACLE))
    rows = [
        Row(IN_CONTEXT, config.model, None),
        Row(own, config.model, config.self_edits),
        *(Row(label, model, SAMPLED) for label, model in policies.items()),
    ]
    oracle = Row(ORACLE, config.model, ORACLE)
    return [*rows, oracle] if config.oracle and own != ORACLE else rows


def fill_row(row: Row, part: Run, tasks: list[Task], policy: Policy, config: Config) -> Arm:
    """Sample, train and predict what a row asks for."""
    if row.source is None:
        outcomes = predict_in_context(part, tasks, policy, config, config.seed)
        return in_context_arm(row.label, outcomes)
    if row.source == SAMPLED:
        self_edits = sample_self_edits(part, tasks, policy, config, config.seed)
    else:
        self_edits = given_self_edits(row.source, tasks, config.k, config)
    rewards, _ = measure_rewards(part, tasks, self_edits, policy, config, config.seed)
    in_context = predict_in_context(part, tasks, policy, config, config.seed)
    return trained_arm(row.label, rewards, in_context)


def report(run: Run, arms: list[Arm], knobs: dict[str, KnobShares], config: Config) -> None:
    """Write and print what each arm solved by task, what self-edits choose, and the table."""
    rows = [summarize_arm(arm, above, config.seed) for above, arm in pairwise([None, *arms])]
    for arm in arms:
        solved = "".join(f"{task}\n" for task in solved_tasks(arm))
        write_text(run.part(arm.label).path("solved.txt"), solved)
    table, by_task = format_table(rows, seconds_per_adapter(run)), format_task_table(arms)
    write_text(run.path("table.md"), table + "\n")
    write_text(run.path("tasks.md"), by_task + "\n")
    n_tasks = len(arms[0].successes)
    run.write_results({"n_tasks": n_tasks, "k": config.k, "rows": rows, "knobs": knobs})
    if knobs:
        write_text(run.path("knobs.md"), format_knobs(knobs) + "\n")
        run.say(f"what self-edits choose, in percent\n{format_knobs(knobs)}\n")
    run.say(f"{by_task}\n\nsuccess in percent, {n_tasks} tasks\n{table}")


if __name__ == "__main__":
    run_program(main, Config)
