"""Adapters that were trained one after the other, as one adapter of a higher rank.

Merging a LoRA adapter adds B A to a weight. One adapter whose A holds the rows of several, and
whose B their columns, adds their sum: to be updated again, a model need not be merged or copied.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from seal.lora.files import AdapterFolder, read_adapter, weight_names, write_adapter


def concatenate_adapters(adapters: Sequence[AdapterFolder]) -> AdapterFolder:
    """One adapter that adds what all of `adapters` add: its rank is the sum of theirs.

    Columns of B are rescaled to the scale of the first adapter; where all have one scale, no weight
    changes. Raises ValueError for no adapters, or if they adapt different layers.
    """
    if not adapters:
        raise ValueError("no adapters to concatenate")
    first = adapters[0]
    if any(adapter.weights.keys() != first.weights.keys() for adapter in adapters):
        raise ValueError("the adapters adapt different layers")
    weights = {}
    for module in first.modules:
        name_a, name_b = weight_names(module)
        weights[name_a] = torch.cat([adapter.weights[name_a] for adapter in adapters], dim=0)
        weights[name_b] = torch.cat(
            [adapter.weights[name_b] * (adapter.scale / first.scale) for adapter in adapters],
            dim=1,
        )
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
