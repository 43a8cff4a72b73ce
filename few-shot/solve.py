"""Watch one task being solved: a self-edit, test-time training on it, and the predicted grid.

Reads   --task, one ARC task
Writes  RUN_DIR/task.png        demonstrations, attempts and target
        RUN_DIR/adapter         the PEFT adapter that was trained, to keep
        RUN_DIR/self_edits.jsonl, results.json (the attempts before and after)
Run     python few-shot/solve.py --run_dir runs/solve --task ARC-AGI/data/training/5582e5ca.json
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from arc.puzzles.grids import Grid
from arc.puzzles.tasks import Task, load_tasks
from arc.settings import SAMPLED, PolicySettings, TableSettings
from arc.show.terminal import Panel, task_panels, terminal_row, wants_color
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.run import RunSettings


class Config(RunSettings, PolicySettings, TableSettings):
    """Flags of solve.py."""

    task: Path = arg("file with one ARC task, as in ARC's repository")
    test: int = arg("which of its test inputs, counted from 0", 0, at_least=0)
    sampler: Literal["vllm", "transformers"] = arg(
        "transformers: in this process; vllm: a vLLM server of its own", "transformers"
    )
    k: int = arg(
        "self-edits to draw; the first that can be trained on is used",
        1,
        at_least=1,
        at_most=10_000,
    )


def main(config: Config) -> None:
    """Try in context, train on a self-edit, try again, and show both."""
    from arc.method.inner_loop import train_first_valid
    from arc.method.open_run import open_run
    from arc.method.prediction import shorten, solve
    from arc.method.self_edits import given_self_edits, sample_self_edits
    from arc.show.png import draw_panels
    from seal.loop.policy import open_policy

    task = read_task(config)
    source = config.self_edits
    given = None if source == SAMPLED else given_self_edits(source, [task], config.k, config)
    inputs = {"--task": task, "--self_edits --oracle_file": given}
    run = open_run(config, inputs, {"--model": config.model}, [task], sampled=given is None)
    adapter, log = run.path("adapter"), run.path("vllm.log")
    with open_policy(config.model, config, log, config.lora_rank, config.slots) as policy:
        (before,) = solve(policy, [(task, None)], config, config.seed)
        show("in context, before any update", task_panels(task, tries(before.attempts)))
        self_edits = given or sample_self_edits(run, [task], policy, config, config.seed)
        rejection = train_first_valid(run, task, self_edits, policy, "adapter", config, config.seed)
        after = before
        if rejection is None:
            (after,) = solve(policy, [(task, adapter)], config, config.seed)
    if rejection is None:
        show("after training", task_panels(task, tries(after.attempts))[-1:])
        run.say(f"{len(after.predictions)} of {after.n_views} answers could be read as a grid")
        if after.unreadable:
            run.say(f"one that could not: {shorten(after.unreadable[0])!r}")
        run.say(f"adapter kept in {adapter}")
    else:
        run.say(f"no training: {rejection.reason}")
    draw_panels(task_panels(task, tries(after.attempts)), run.path("task.png"))
    run.write_results(
        {
            "task": task.id,
            "rejected": rejection.reason if rejection else None,
            "before": before.attempts,
            "after": after.attempts if rejection is None else None,
            "target": task.target,
        }
    )
    run.say(f"drawn in {run.path('task.png')}")


def read_task(config: Config) -> Task:
    """The task and test input that the flags name; its target may be unknown."""
    tasks = load_tasks(config.task)
    if not 0 <= config.test < len(tasks):
        raise UserError(
            f"--test {config.test}: {config.task} has {len(tasks)} test inputs, counted from 0"
        )
    return tasks[config.test]


def tries(attempts: Sequence[Grid]) -> Sequence[Grid | None]:
    """The two attempts; the second only if it differs, and None for what could not be read."""
    return tuple(dict.fromkeys(attempts)) or (None,)


def show(title: str, rows: Sequence[Sequence[Panel]]) -> None:
    """Print rows of grids, coloured if a terminal reads them."""
    color = wants_color(sys.stdout)
    print("\n\n".join(["", title, *(terminal_row(row, color) for row in rows), ""]))


if __name__ == "__main__":
    run_program(main, Config)
