"""Time what the programs do to a model folder before its weights are used.

The folder is made: the shapes of a real model with random weights, in files of 5 GB. Reading it for
the first time costs what the disk costs, which loading would pay otherwise; so each check runs
twice.

Reads   nothing
Writes  --folder
Run     python benchmarks/model_checks.py --folder runs/checked-model
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from seal.command_line.arguments import Settings, arg
from seal.command_line.program import run_program


class Config(Settings):
    """Flags of model_checks.py."""

    folder: Path = arg("folder to write the model to, 15 GB for the larger preset")
    preset: Literal["qwen2.5-7b", "small"] = arg("whose shapes the weights have", "qwen2.5-7b")


SHAPES = {
    "qwen2.5-7b": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    },
    "small": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
}
SHARD = 5_000_000_000


def write_model(folder: Path, preset: str) -> None:
    """Random bfloat16 weights, config, tokenizer."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, Qwen2Config

    from seal.models.untrained import train_tokenizer
    from seal.records import write_json

    config = Qwen2Config(**SHAPES[preset], bos_token_id=None, eos_token_id=0, pad_token_id=0)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    train_tokenizer(["a text"]).save_pretrained(folder)
    shards: list[dict[str, torch.Tensor]] = [{}]
    places, size = {}, 0

    def write() -> None:
        save_file(shards[-1], folder / f"model-{len(shards):05}.safetensors", {"format": "pt"})
        shards[-1] = {}

    for name, weight in model.state_dict().items():
        if size + weight.nbytes > SHARD:
            write()
            shards.append({})
            size = 0
        size += weight.nbytes
        shards[-1][name] = torch.randn(weight.shape, dtype=torch.bfloat16) / 50
        places[name] = f"model-{len(shards):05}.safetensors"
    write()
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})


def timed(check: Callable[[], object], forget: Callable[[], None]) -> Iterator[float]:
    """Seconds of the first time and of the second."""
    for _ in range(2):
        forget()
        start = time.perf_counter()
        check()
        yield time.perf_counter() - start


def main(config: Config) -> None:
    """Write the model unless it is there, check it, print seconds and GB a second."""
    from seal import checksums
    from seal.models.folders import fingerprint
    from seal.models.load import check_files_finite, check_model

    if not config.folder.exists():
        write_model(config.folder, config.preset)
    model = str(config.folder)
    size = sum(path.stat().st_size for path in config.folder.glob("*.safetensors"))
    print(f"{size / 1e9:.1f} GB")
    for name, check in [
        ("fingerprint, all bytes", fingerprint),
        ("names and shapes of all weights", check_model),
        ("every weight finite", check_files_finite),
    ]:
        first, second = timed(lambda run=check: run(model), checksums._read_once.cache_clear)
        rate = f"{size / second / 1e9:.2f} GB/s"
        print(f"{name}: {first:.1f} s, again {second:.1f} s ({rate})")


if __name__ == "__main__":
    run_program(main, Config)
