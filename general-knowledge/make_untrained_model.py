"""Make a small model with random weights, to try the programs without a download.

It learns nothing worth quoting: this shows that a machine runs the loops, and how fast.

Reads   --passages, whose texts train the tokenizer
Writes  --output, a transformers folder (Qwen2, about 0.1 million parameters)
Run     python general-knowledge/make_untrained_model.py --output runs/untrained \\
            --passages general-knowledge/examples/passages.json
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from knowledge.passages import load_passages
from knowledge.settings import PassageSettings
from seal.arguments import arg, run_program
from seal.errors import UserError
from seal.untrained import save_untrained_model


@dataclass(frozen=True, kw_only=True)
class Config(PassageSettings):
    """Flags of make_untrained_model.py."""

    output: Path = arg("folder to write; an existing one is left as it is")
    seed: int = arg("seed of the random weights", 0)


def main(config: Config) -> None:
    """Train a tokenizer on the passages and save a random model with it."""
    texts = [f"{passage.title}\n{passage.context}" for passage in load_passages(config.passages)]
    if (config.output / "config.json").exists():
        print(f"{config.output} is there already")
        return
    if config.output.exists():
        raise UserError(f"--output {config.output} exists and is no model folder; choose another")
    partial = config.output.with_name(f".{config.output.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    save_untrained_model(partial, texts, config.seed)
    partial.rename(config.output)
    print(f"untrained model in {config.output}")


if __name__ == "__main__":
    run_program(main, Config)
