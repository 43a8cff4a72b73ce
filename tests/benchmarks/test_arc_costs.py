"""Counted operations and bytes of an inner loop."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.timing.arc_costs import Shape, Speed, answering_seconds, shape_of, training_seconds
from benchmarks.timing.presets import build_model
from seal.lora import AdapterJob, train_adapters

TARGETS = ["q_proj", "down_proj"]
RANK = 4
# Where bytes cost nothing, seconds are operations, and the other way round
OPERATIONS = Speed(flops=1.0, bytes=float("inf"))
BYTES = Speed(flops=float("inf"), bytes=1.0)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config).requires_grad_(False).eval()


def job(lengths: list[int], labelled: int, epochs: float = 1) -> AdapterJob:
    sequences = [
        (ids, [-100] * (len(ids) - labelled) + ids[-labelled:])
        for ids in (list(range(1, length + 1)) for length in lengths)
    ]
    return AdapterJob(
        sequences,
        learning_rate=1e-3,
        epochs=epochs,
        batch_size=2,
        gradient_accumulation=1,
        schedule="cosine",
        warmup_steps=0,
        max_grad_norm=1.0,
        rank=RANK,
        alpha=8,
        seed=0,
    )


def test_the_real_models_shape():
    shape = shape_of(build_model("llama-3.2-1b", 0, torch.device("meta")), ["q_proj"], rank=128)
    norms = 2048 * (2 * 16 + 1)
    assert shape.body + shape.head + norms == 1_235_814_400  # Llama-3.2-1B, head and embedding tied
    assert shape.head == 128_256 * 2048
    assert shape.adapter == 16 * 128 * (2048 + 2048)
    assert shape.attention == 16 * 2048
    assert shape.cache == 16 * 2 * 512


def test_untied_embeddings_are_no_layer(model):
    shape = shape_of(model, TARGETS, RANK)
    assert shape.head == 96 * 32
    per_layer = 32 * (32 + 16 + 16 + 32) + 3 * 32 * 48
    assert shape.body == 2 * per_layer


class MatrixProducts(TorchDispatchMode):
    """Counts the operations of matrix products; attention is no such product here."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        if function in (torch.ops.aten.mm.default, torch.ops.aten.bmm.default):
            self.operations += 2 * result.numel() * args[0].shape[-1]
        return result


def test_training_costs_what_the_engine_computes(model, tmp_path):
    shape = replace(shape_of(model, TARGETS, RANK), attention=0)
    trained = job([24, 40, 33], labelled=5, epochs=2)
    with MatrixProducts() as counted:
        train_adapters(model, [trained], [tmp_path / "adapter"], TARGETS, slots=1)
    # The first layer's inputs need no gradient, which is counted here all the same
    least = training_seconds(trained, replace(shape, body=shape.body * 7 // 8), OPERATIONS)
    assert least < counted.operations < training_seconds(trained, shape, OPERATIONS)


def test_training_grows_with_epochs_and_with_labels():
    shape = Shape(body=1000, head=500, adapter=10, attention=7, cache=3)
    one, two = job([10, 20], 1), job([10, 20], 1, epochs=2)
    assert training_seconds(two, shape, OPERATIONS) == 2 * training_seconds(one, shape, OPERATIONS)
    assert training_seconds(two, shape, BYTES) == 2 * training_seconds(one, shape, BYTES)
    more = training_seconds(job([10, 20], 4), shape, OPERATIONS)
    assert more == training_seconds(one, shape, OPERATIONS) + 2 * 3 * 4 * shape.head


def test_the_last_token_is_not_computed():
    shape = Shape(body=1000, head=0, adapter=0, attention=0, cache=0)
    assert training_seconds(job([10, 20], 1), shape, OPERATIONS) == 4 * 1000 * (9 + 19)


def test_answers_read_all_weights_once_a_token_however_many_there_are():
    shape = Shape(body=1000, head=500, adapter=10, attention=0, cache=0)
    assert answering_seconds([5], [8], shape, BYTES) == 2 * 8 * 1510
    assert answering_seconds([5, 5, 5], [2, 8, 4], shape, BYTES) == 2 * 8 * 1510
    assert answering_seconds([5, 3], [1, 1], shape, OPERATIONS) == 2 * 8 * 1010


def test_answers_read_the_cache_of_every_row():
    shape = Shape(body=0, head=0, adapter=0, attention=0, cache=3)
    assert answering_seconds([10, 20], [4, 2], shape, BYTES) == 2 * 3 * (10 * 4 + 8 + 20 * 2 + 2)
