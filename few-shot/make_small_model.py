"""Make a small model that knows how self-edits are written, to try the programs without a download.

It solves nothing and chooses self-edits at random: this shows that a machine runs the loops.

Reads   --tasks, whose grids train the tokenizer
Writes  --output, a transformers folder (Llama, about 0.1 million parameters)
Run     python few-shot/make_small_model.py --output runs/small-arc --tasks few-shot/examples
"""

from pathlib import Path

from arc.method.prompts import check_prompts
from arc.puzzles.tasks import read_tasks
from arc.settings import PromptSettings, TaskSettings
from seal.command_line.arguments import arg
from seal.command_line.flag_values import LARGEST_SEED
from seal.command_line.program import run_program
from seal.models.folders import build_once


class Config(TaskSettings, PromptSettings):
    """Flags of make_small_model.py."""

    output: Path = arg("folder to write; an existing one is left as it is")
    format_steps: int = arg(
        "steps, of 8 random self-edits each", 150, at_least=1, at_most=100_000, group="how much"
    )
    seed: int = arg(
        "every random choice derives from it: weights and self-edits",
        0,
        at_least=0,
        at_most=LARGEST_SEED,
    )


def main(config: Config) -> None:
    """Train a tokenizer on the tasks, and a random model on the form of self-edits."""
    from arc.small_world.format_model import save_small_model

    tasks = read_tasks(config, config.seed)
    check_prompts(config)
    built = build_once(
        config.output,
        lambda folder: save_small_model(folder, tasks, config, config.seed, config.format_steps),
    )
    print(f"small model in {config.output}" if built else f"{config.output} is there already")


if __name__ == "__main__":
    run_program(main, Config)
