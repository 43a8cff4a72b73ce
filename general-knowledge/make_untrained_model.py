"""Make a small model with random weights, to try the programs without a download.

It learns nothing worth quoting: this shows that a machine runs the loops, and how fast.

Reads   --passages, whose texts train the tokenizer
Writes  --output, a transformers folder (Qwen2, about 0.1 million parameters)
Run     python general-knowledge/make_untrained_model.py --output runs/untrained \\
            --passages general-knowledge/examples/passages.json
"""

from pathlib import Path

from knowledge.data.passages import load_passages
from knowledge.settings import PassageSettings
from seal.command_line.arguments import arg
from seal.command_line.flag_values import LARGEST_SEED
from seal.command_line.program import run_program
from seal.models.folders import build_once


class Config(PassageSettings):
    """Flags of make_untrained_model.py."""

    output: Path = arg("folder to write; an existing one is left as it is")
    seed: int = arg("seed of the random weights", 0, at_least=0, at_most=LARGEST_SEED)


def main(config: Config) -> None:
    """Train a tokenizer on the passages and save a random model with it."""
    from seal.models.untrained import save_untrained_model

    texts = [f"{passage.title}\n{passage.context}" for passage in load_passages(config.passages)]
    built = build_once(
        config.output, lambda folder: save_untrained_model(folder, texts, config.seed)
    )
    print(f"untrained model in {config.output}" if built else f"{config.output} is there already")


if __name__ == "__main__":
    run_program(main, Config)
