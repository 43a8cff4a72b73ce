"""Random adapter jobs for small models, and the distance between two adapters."""

import random
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from seal.lora import AdapterJob
from seal.lora.bank import find_targets
from seal.lora.files import WEIGHTS_FILE, weight_names

VOCABULARY = 50


def random_job(seed: int, lengths: tuple[int, ...] = (5, 17, 3, 9), **settings) -> AdapterJob:
    """A job on random tokens; `settings` replace its plain ones."""
    generator = random.Random(seed)
    sequences = []
    for length in lengths:
        input_ids = [generator.randrange(1, VOCABULARY) for _ in range(length)]
        sequences.append((input_ids, list(input_ids)))
    plain = {
        "sequences": sequences,
        "learning_rate": 1e-2,
        "epochs": 3,
        "batch_size": 1,
        "gradient_accumulation": 1,
        "schedule": "linear",
        "warmup_steps": 0,
        "max_grad_norm": 1.0,
        "rank": 4,
        "alpha": 8,
        "seed": seed,
    }
    return AdapterJob(**plain | settings)


def random_weights(
    model: PreTrainedModel, target_modules: str | list[str], rank: int, seed: int
) -> dict[str, torch.Tensor]:
    """Initial weights with a B that is not zero, so that A has a gradient from the first step."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name in find_targets(model, target_modules):
        layer = model.get_submodule(name)
        shapes = (rank, layer.in_features), (layer.out_features, rank)
        for weight_name, shape in zip(weight_names(name), shapes, strict=True):
            weight = torch.randn(shape, generator=generator, dtype=torch.float64) * 0.1
            weights[weight_name] = weight.to(model.dtype)
    return weights


def adapter_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / WEIGHTS_FILE)


def distance(ours: Mapping[str, torch.Tensor], reference: Mapping[str, torch.Tensor]) -> float:
    """The largest difference of two weights, as a share of the largest weight."""
    assert ours.keys() == reference.keys()
    largest = max(weight.abs().max() for weight in reference.values())
    return float(max((ours[name] - reference[name]).abs().max() for name in ours) / largest)
