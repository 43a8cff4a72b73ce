"""Sample self-edits: the first half of the E-step (paper, section 4.2).

Reads   --tasks
Writes  RUN_DIR/self_edits.jsonl, one line per self-edit; results.json counts them
Run     python few-shot/generate_self_edits.py --run_dir runs/arc-self-edits \\
            --tasks ARC-AGI/data/training --task_ids paper-training
"""

from collections import Counter

from arc.method.configurations import Rejection
from arc.puzzles.tasks import read_tasks
from arc.settings import PolicySettings, SelfEditSettings, TaskSettings
from seal.command_line.flag_values import count
from seal.command_line.program import run_program
from seal.run import RunSettings


class Config(RunSettings, PolicySettings, TaskSettings, SelfEditSettings):
    """Flags of generate_self_edits.py."""


def main(config: Config) -> None:
    """Sample k self-edits for every task and say how many could be trained on."""
    from arc.method.open_run import open_run
    from arc.method.self_edits import sample_self_edits
    from seal.loop.policy import open_policy

    tasks = read_tasks(config, config.seed)
    count("self-edits", {"--n_tasks": len(tasks), "--k": config.k})
    inputs = {"--tasks --solutions --task_ids": tasks}
    run = open_run(config, inputs, {"--model": config.model}, tasks)
    run.say(f"{len(tasks)} tasks x {config.k} self-edits")
    with open_policy(config.model, config, run.path("vllm.log")) as policy:
        self_edits = sample_self_edits(run, tasks, policy, config, config.seed)
    parsed = [self_edit.parsed for self_edit in self_edits]
    rejected = Counter(result.reason for result in parsed if isinstance(result, Rejection))
    run.write_results(
        {
            "n_tasks": len(tasks),
            "n_self_edits": len(self_edits),
            "n_rejected": rejected.total(),
            "rejected": dict(sorted(rejected.items())),
        }
    )
    run.say(
        f"{len(self_edits)} self-edits, {rejected.total()} invalid: {run.path('self_edits.jsonl')}"
    )


if __name__ == "__main__":
    run_program(main, Config)
