"""Solve tasks in context, without any update: the paper's first row (section 4.2, table 1).

Reads   --tasks
Writes  RUN_DIR/predictions.jsonl   one line per task: votes and attempts
        RUN_DIR/results.json        the success rate with its interval
        RUN_DIR/solved.txt          ids of the tasks that were solved
Run     python few-shot/eval_in_context.py --run_dir runs/arc-in-context \\
            --tasks ARC-AGI/data/evaluation --task_ids paper-evaluation
"""

from arc.puzzles.tasks import read_tasks, require_targets
from arc.settings import PolicySettings, PredictionSettings, TaskSettings
from seal.command_line.program import run_program
from seal.records import write_text
from seal.report.tables import percent
from seal.run import RunSettings


class Config(RunSettings, PolicySettings, TaskSettings, PredictionSettings):
    """Flags of eval_in_context.py."""


def main(config: Config) -> None:
    """Predict every task and print the success rate."""
    from arc.method.few_shot_table import in_context_arm, solved_tasks, summarize_arm
    from arc.method.open_run import open_run
    from arc.method.prediction import predict_in_context
    from seal.loop.policy import open_policy

    tasks = read_tasks(config, config.seed)
    require_targets(tasks)
    inputs = {"--tasks --solutions --task_ids": tasks}
    run = open_run(config, inputs, {"--model": config.model}, tasks, sampled=False)
    with open_policy(config.model, config, run.path("vllm.log")) as policy:
        outcomes = predict_in_context(run, tasks, policy, config, config.seed)
    arm = in_context_arm("in-context", outcomes)
    results = summarize_arm(arm, None, config.seed)
    solved = solved_tasks(arm)
    write_text(run.path("solved.txt"), "".join(f"{task}\n" for task in solved))
    run.write_results(results)
    run.say(
        f"in context: {percent(results['success_rate'])} percent,"
        f" {len(solved)} of {len(tasks)} tasks solved"
    )


if __name__ == "__main__":
    run_program(main, Config)
