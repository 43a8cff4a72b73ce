"""Train a small model from scratch on invented grid tasks, to see SEAL learn on a CPU.

The model carries out rules that are named to it and rarely finds one by itself; at test time it
must learn a task's rule from its demonstrations. It writes self-edits at random. Measurements with
it show the method at work, and say nothing about language models.

Then tasks are chosen that it fails in context and learns at test time with the hand-made
configuration, under two seeds of views and of training.

Reads   few-shot/presets/small.yaml, few-shot/small_model/oracle.json and prompts: how it is used
Writes  RUN_DIR/model          a transformers folder (Llama, 0.9 million weights, 4 MB)
        RUN_DIR/training_challenges.json, training_solutions.json     tasks for ReST-EM
        RUN_DIR/validation_challenges.json, validation_solutions.json tasks to choose settings on
        RUN_DIR/evaluation_challenges.json, evaluation_solutions.json tasks for the table
        RUN_DIR/POOL/try-1, try-2   how it did on the candidates of a pool
        RUN_DIR/results.json   what it can do, and how many candidates passed
Run     python few-shot/pretrain_small_model.py --run_dir runs/small-arc-model
"""

from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.run import Run, RunSettings


class Config(RunSettings, group="how much"):
    """Flags of pretrain_small_model.py."""

    pretraining_steps: int = arg("steps, of about 2,600 tokens each", 2400, at_least=1)
    measure_every: int = arg(
        "steps between checkpoints and measurements", 200, machine=True, at_least=1, group="run"
    )
    training_tasks: int = arg("tasks for ReST-EM", 64, at_least=1, at_most=10_000)
    validation_tasks: int = arg("tasks to choose settings on", 24, at_least=1, at_most=10_000)
    evaluation_tasks: int = arg("tasks for the table", 48, at_least=1, at_most=10_000)


def main(config: Config) -> None:
    """Train the model and choose its tasks, or go on with either."""
    from arc.method.prompts import check_prompts
    from arc.small_world.pretraining import SMALL_PROMPTS, Lessons
    from arc.small_world.task_pools import make_pools, small_model_settings
    from seal.training.from_scratch import pretrain

    run = Run.open(config.run_dir, config, {"the prompts": check_prompts(SMALL_PROMPTS)})
    if run.results() is None:
        lessons = Lessons(config.seed, config.pretraining_steps)
        skill = pretrain(run, lessons, config.measure_every)
        sizes = {
            "training": config.training_tasks,
            "validation": config.validation_tasks,
            "evaluation": config.evaluation_tasks,
        }
        pools = make_pools(run, small_model_settings(run.path("model")), sizes, config.seed)
        run.write_results({**skill, "pools": pools})
        run.path("checkpoint.pt").unlink(missing_ok=True)
    run.say(f"{run.path('model')}: {Lessons.describe(run.results())}")


if __name__ == "__main__":
    run_program(main, Config)
