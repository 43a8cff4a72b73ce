"""PEFT adapter folders: adapter_config.json and adapter_model.safetensors.

Merging a LoRA adapter adds B A to a weight. One adapter whose A holds the rows of several, and
whose B their columns, adds their sum: to be updated again, a model need not be merged or copied.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from seal.errors import UserError
from seal.records import of_kind, read_json

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_SUFFIXES = (".lora_A.weight", ".lora_B.weight")


def weight_names(module: str) -> tuple[str, str]:
    """Names of a module's A and B in the weights file, as PEFT gives them."""
    a, b = (f"{_PREFIX}{module}{suffix}" for suffix in _SUFFIXES)
    return a, b


@dataclass(frozen=True)
class AdapterFolder:
    """An adapter as it was read: `weights` as in its file, for `modules` of the base model."""

    rank: int
    scale: float
    """Factor of B A x in a module's output: alpha / rank, or what rank-stabilised LoRA has."""
    weights: Mapping[str, torch.Tensor]

    @property
    def modules(self) -> list[str]:
        return [
            name.removeprefix(_PREFIX).removesuffix(_SUFFIXES[0])
            for name in self.weights
            if name.endswith(_SUFFIXES[0])
        ]


def write_adapter(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    *,
    rank: int,
    alpha: float,
    target_modules: Sequence[str],
    base_model: str,
) -> None:
    """Write an adapter under a temporary name and rename it, so that a folder is always whole."""
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        inference_mode=True,
        base_model_name_or_path=base_model,
    )
    # Assigned afterwards: the constructor makes it a set, whose order changes from run to run
    config.target_modules = sorted(target_modules)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    config.save_pretrained(str(partial))
    try:
        save_file(dict(weights), partial / WEIGHTS_FILE, metadata={"format": "pt"})
    except SafetensorError as error:  # a full disk, say, which is an OSError everywhere else
        raise OSError(f"{partial / WEIGHTS_FILE}: {error}") from error
    partial.rename(folder)


def read_adapter(folder: Path) -> AdapterFolder:
    """Read a plain LoRA adapter. Raises UserError, naming the folder, for anything else.

    Values that are not finite pass: an adapter that diverged is examined like every other.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise UserError(f"adapter {folder}: no {name}; give a PEFT adapter folder")
    try:
        config = of_kind(read_json(folder / CONFIG_FILE), dict, "its settings")
        rank, alpha = of_kind(config.get("r"), int, "r"), config.get("lora_alpha")
        alpha = of_kind(alpha, float, "lora_alpha")
        rank_stabilised = of_kind(config.get("use_rslora") or False, bool, "use_rslora")
        weights = load_file(folder / WEIGHTS_FILE)
    except UserError as error:
        raise UserError(f"adapter {folder}: {error}; train it again") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"adapter {folder} does not read: {error}; train it again") from error
    _check_plain_lora(folder, config, weights)
    return AdapterFolder(rank, alpha / (math.sqrt(rank) if rank_stabilised else rank), weights)


def _check_plain_lora(
    folder: Path, config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]
) -> None:
    if config.get("peft_type") != "LORA":
        raise UserError(f"adapter {folder} is of type {config.get('peft_type')}; LORA is needed")
    for option in ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias"):
        if config.get(option):
            raise UserError(f"adapter {folder} uses {option}; answer with it through vLLM or PEFT")
    modules = {name.rpartition(".lora_")[0] for name in weights}
    expected = {module + suffix for module in modules for suffix in _SUFFIXES}
    odd = sorted(expected ^ set(weights))
    if odd or not weights:
        problem = f"{odd[0]} has no partner" if odd else "it is empty"
        raise UserError(
            f"adapter {folder}: {WEIGHTS_FILE} must hold A and B of linear layers, but {problem};"
            " train it again"
        )
    for name, weight in weights.items():
        rank_axis = 0 if name.endswith(_SUFFIXES[0]) else 1
        shape = tuple(weight.shape)
        if len(shape) != 2 or shape[rank_axis] != config["r"] or 0 in shape:
            raise UserError(
                f"adapter {folder}: {name} has shape {shape}, and r is {config['r']} in"
                f" {CONFIG_FILE}; the files do not belong together, train it again"
            )
        if not weight.is_floating_point():
            raise UserError(f"adapter {folder}: {name} holds {weight.dtype}; train it again")


def concatenate_adapters(adapters: Sequence[AdapterFolder]) -> AdapterFolder:
    """One adapter that adds what all of `adapters` add, of their summed rank and the first's scale.

    Where all have one scale, no weight changes. Raises ValueError for no adapters, or if they adapt
    different layers.
    """
    if not adapters:
        raise ValueError("no adapters to concatenate")
    first = adapters[0]
    if any(adapter.weights.keys() != first.weights.keys() for adapter in adapters):
        raise ValueError("the adapters adapt different layers")
    weights = {}
    for module in first.modules:
        name_a, name_b = weight_names(module)
        rescaled = [each.weights[name_b] * (each.scale / first.scale) for each in adapters]
        weights[name_a] = torch.cat([each.weights[name_a] for each in adapters], dim=0)
        weights[name_b] = torch.cat(rescaled, dim=1)
    return AdapterFolder(sum(adapter.rank for adapter in adapters), first.scale, weights)


def write_concatenated(folder: Path, adapters: Sequence[Path], base_model: str) -> None:
    """Write the concatenation of adapter folders as an ordinary PEFT folder, whole or not at all.

    Raises UserError for a folder that is not a plain LoRA adapter, ValueError as
    `concatenate_adapters` does.
    """
    chain = concatenate_adapters([read_adapter(adapter) for adapter in adapters])
    write_adapter(
        folder,
        chain.weights,
        rank=chain.rank,
        alpha=chain.scale * chain.rank,
        target_modules=sorted({module.rpartition(".")[2] for module in chain.modules}),
        base_model=base_model,
    )
