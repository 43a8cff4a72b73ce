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

from itertools import pairwise

from arc.method.cost import estimate_rewards
from arc.puzzles.tasks import read_tasks, require_targets
from arc.settings import ORACLE, SAMPLED, PolicySettings, TableSettings, TaskSettings
from seal.command_line.arguments import arg
from seal.command_line.flag_values import labelled
from seal.command_line.program import run_program
from seal.records import write_text
from seal.run import RunSettings

IN_CONTEXT, SELF_EDITS = "in-context", "self-edits"


class Config(RunSettings, PolicySettings, TaskSettings, TableSettings):
    """Flags of eval_self_edits.py."""

    k: int = arg(
        "self-edits per task (paper: 15 to train, 5 to evaluate)", 5, at_least=1, at_most=10_000
    )
    policies: list[str] = arg("LABEL=MODEL: a row with another policy, its weights and words", [])
    oracle: bool = arg("add a row with the hand-made configuration", False)


def main(config: Config) -> None:
    """Fill the table policy by policy and print it."""
    from arc.method import few_shot_table as tables
    from arc.method.knobs import format_knobs, read_knobs
    from arc.method.open_run import open_run
    from arc.method.self_edits import given_self_edits
    from seal.loop.inner_loops import seconds_per_adapter
    from seal.loop.policy import open_policy

    tasks = read_tasks(config, config.seed)
    require_targets(tasks)
    cost = estimate_rewards(tasks, config.k, config)
    wanted = wanted_rows(config)
    given = {
        source: given_self_edits(source, tasks, config.k, config)
        for source in dict.fromkeys(source for _, source in wanted.values())
        if source not in (None, SAMPLED)
    }
    policies = labelled("--policies", config.policies)
    run = open_run(
        config,
        {
            "--tasks --solutions --task_ids": tasks,
            "--self_edits --oracle_file": list(given.values()),
        },
        {
            "--model": config.model,
            **{f"--policies {label}": model for label, model in policies.items()},
        },
        tasks,
    )
    run.say(f"each row: {cost}")
    filled, log = {}, run.path("vllm.log")
    for policy_name in dict.fromkeys(model for model, _ in wanted.values()):
        with open_policy(policy_name, config, log, config.lora_rank, config.slots) as policy:
            for label, (model, source) in wanted.items():
                if model == policy_name:
                    filled[label] = tables.fill_row(
                        run, label, given.get(source, source), tasks, policy, config, config.seed
                    )
    arms = [filled[label] for label in wanted]
    for arm in arms:
        solved = "".join(f"{task}\n" for task in tables.solved_tasks(arm))
        write_text(run.part(arm.label).path("solved.txt"), solved)
    rows = [tables.summarize_arm(arm, above, config.seed) for above, arm in pairwise([None, *arms])]
    sampled = [label for label, (_, source) in wanted.items() if source == SAMPLED]
    knobs = {label: read_knobs(run.part(label)) for label in sampled}
    table = tables.format_table(rows, seconds_per_adapter(run))
    by_task = tables.format_task_table(arms)
    write_text(run.path("table.md"), table + "\n")
    write_text(run.path("tasks.md"), by_task + "\n")
    run.write_results({"n_tasks": len(tasks), "k": config.k, "rows": rows, "knobs": knobs})
    if knobs:
        write_text(run.path("knobs.md"), format_knobs(knobs) + "\n")
        run.say(f"what self-edits choose, in percent\n{format_knobs(knobs)}\n")
    run.say(f"{by_task}\n\nsuccess in percent, {len(tasks)} tasks\n{table}")


def wanted_rows(config: Config) -> dict[str, tuple[str, str | None]]:
    """Label of each row to its policy and the source of its self-edits (None: no update).

    Raises UserError for labels that cannot be used.
    """
    own = SELF_EDITS if config.self_edits != ORACLE else ORACLE
    policies = labelled("--policies", config.policies, taken=(IN_CONTEXT, SELF_EDITS, ORACLE))
    rows: dict[str, tuple[str, str | None]] = {
        IN_CONTEXT: (config.model, None),
        own: (config.model, config.self_edits),
        **{label: (model, SAMPLED) for label, model in policies.items()},
    }
    return {**rows, ORACLE: (config.model, ORACLE)} if config.oracle else rows


if __name__ == "__main__":
    run_program(main, Config)
