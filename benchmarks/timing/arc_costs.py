"""What an inner loop on an ARC task asks of a GPU: counted operations and bytes, as seconds.

Nothing is measured here. Products run at one rate, whatever their shape, and what they do not take
in all (norms, activations, gaps between kernels) is left out: a GPU will be slower than this.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from seal.lora import AdapterJob
from seal.lora.bank import find_targets
from seal.lora.packing import pack_sequence


@dataclass(frozen=True)
class Speed:
    """What the GPU does in a second."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder-only model with an adapter on it, in numbers of weights."""

    body: int
    """All linear layers below the head."""
    head: int
    adapter: int
    attention: int
    """Width of all heads of all layers."""
    cache: int
    """Keys and values of one token, of all layers."""


def shape_of(model: PreTrainedModel, targets: Sequence[str], rank: int) -> Shape:
    """Count `model`, which may lie on the meta device."""
    config, head = model.config, model.get_output_embeddings().weight.numel()
    body = sum(weight.numel() for weight in model.parameters() if weight.dim() == 2)
    embeddings = head if config.tie_word_embeddings else 2 * head
    adapted = [model.get_submodule(name) for name in find_targets(model, targets)]
    return Shape(
        body=body - embeddings,
        head=head,
        adapter=sum(rank * (layer.in_features + layer.out_features) for layer in adapted),
        attention=config.num_hidden_layers * config.num_attention_heads * config.head_dim,
        cache=2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim,
    )


def training_seconds(job: AdapterJob, shape: Shape, speed: Speed) -> float:
    """Seconds of all steps of `job`; each token is computed once per epoch."""
    per_sequence = []
    for input_ids, labels in job.sequences:
        packed = pack_sequence(input_ids, labels)
        # Each product once forward; backward to the activations, an adapter's to its weights too.
        # The head's loss and gradient are one pass, at the places with a label alone
        products = packed.real * (4 * shape.body + 6 * shape.adapter)
        products += len(packed.targets) * 4 * shape.head
        # Two products forward, five backward, half of each under a causal mask, 2 operations each
        products += 7 * packed.real**2 * shape.attention
        per_sequence.append(products)
    flops = sum(per_sequence[index] for batch in job.batches() for index in batch)
    # Gradients are added up, measured, clipped and cleared, AdamW reads 4 and writes 3 numbers a
    # weight, and the layers compute with a copy in 2 bytes: about 14 times 4 bytes
    optimizer = job.steps * shape.adapter * 4 * 14
    return flops / speed.flops + optimizer / speed.bytes


def answering_seconds(
    prompts: Sequence[int], answers: Sequence[int], shape: Shape, speed: Speed
) -> float:
    """Seconds to answer prompts of so many tokens with so many, side by side, in bfloat16."""
    weights = shape.body + shape.adapter
    prefill = sum(2 * n * weights + 2 * n**2 * shape.attention for n in prompts)
    # A step reads all weights once, and each row's cache
    rows = zip(prompts, answers, strict=True)
    cache = sum((n * steps + steps**2 / 2) * shape.cache for n, steps in rows)
    reads = 2 * (max(answers) * (weights + shape.head) + cache)
    return prefill / speed.flops + reads / speed.bytes
