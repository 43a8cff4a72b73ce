"""A bank's slots act as PEFT's adapters do, each on its own rows, and leave the model alone."""

import math

import pytest
import torch
from peft import PeftModel

from seal.errors import UserError
from seal.lora.bank import AdapterBank, find_targets, make_runs, multiply_by_slot
from seal.lora.files import AdapterFolder, write_adapter
from tests.support.small_jobs import VOCABULARY, random_weights
from tests.support.small_models import small_llama, small_qwen2

TARGETS = ["q_proj", "v_proj", "up_proj"]


@pytest.mark.parametrize("sizes", [[4, 4, 3], [1, 20, 1]], ids=["padded", "one by one"])
def test_each_token_meets_its_slots_matrix_only(sizes):
    torch.manual_seed(0)
    slots = [3, 0, 2]
    weights = torch.randn(4, 5, 6, dtype=torch.float64, requires_grad=True)
    x = torch.randn(sum(sizes), 6, dtype=torch.float64, requires_grad=True)
    runs = make_runs(slots, sizes, torch.ones(4), len(x))
    assert (runs.gather is None) == (sizes == [1, 20, 1])
    output = multiply_by_slot(x, weights, runs)
    of_token = weights[torch.tensor(slots).repeat_interleave(torch.tensor(sizes))]
    expected = (of_token @ x[:, :, None]).squeeze(2)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-13)
    slope = torch.randn_like(output)
    ours = torch.autograd.grad(output, (x, weights), slope)
    theirs = torch.autograd.grad(expected, (x, weights), slope)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize("sizes", [[4, 3], [1, 20]], ids=["padded", "one by one"])
def test_a_diverged_slot_does_not_touch_its_neighbour(sizes):
    weights = torch.ones(2, 5, 6)
    weights[0] = math.nan
    weights.requires_grad_()
    x = torch.ones(sum(sizes), 6)
    x[: sizes[0]] = math.nan
    output = multiply_by_slot(x, weights, make_runs([0, 1], sizes, torch.ones(2), len(x)))
    assert output[sizes[0] :].isfinite().all()
    (gradient,) = torch.autograd.grad(output.sum(), weights)
    assert gradient[1].isfinite().all()
    assert gradient[0].isnan().all()


def make_adapters(model, tmp_path):
    """Two adapters of different rank and scale; returns their folders and a bank with both."""
    bank = AdapterBank(model, find_targets(model, TARGETS), slots=3, rank=5, dtype=model.dtype)
    folders = []
    for slot, (rank, alpha) in enumerate([(5, 8), (2, 3)]):
        weights = random_weights(model, TARGETS, rank, seed=slot)
        bank.load(slot, AdapterFolder(rank, alpha / rank, weights))
        folders.append(tmp_path / f"adapter-{slot}")
        write_adapter(
            folders[-1],
            bank.export(slot, rank),
            rank=rank,
            alpha=alpha,
            target_modules=TARGETS,
            base_model="",
        )
    return folders, bank


def test_routed_logits_are_those_of_peft(tmp_path):
    build = lambda: small_llama(VOCABULARY, torch.float64)  # noqa: E731
    model = build()
    folders, bank = make_adapters(model, tmp_path)
    tokens = torch.randint(VOCABULARY, (6, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        bare = model(tokens).logits
        with bank.attached():
            assert torch.equal(model(tokens).logits, bare)
            with bank.routed([1, 2, 0], [2, 1, 3]):
                routed = model(tokens).logits
        for folder, rows in zip(folders, (slice(3, 6), slice(0, 2)), strict=True):
            expected = PeftModel.from_pretrained(build(), folder)(tokens[rows]).logits
            assert (expected - bare[rows]).abs().max() > 0.1
            torch.testing.assert_close(routed[rows], expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(routed[2], bare[2], rtol=0, atol=1e-12)  # slot 2 is empty


def test_generate_takes_a_row_through_its_slot(tmp_path):
    model = small_qwen2(VOCABULARY)
    folders, bank = make_adapters(model, tmp_path)
    tokens = torch.randint(VOCABULARY, (2, 7), generator=torch.Generator().manual_seed(0))
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    with bank.attached(), bank.routed([0, 1], [1, 1]):
        routed = model.generate(tokens, **options)
    for row, folder in enumerate(folders):
        adapted = PeftModel.from_pretrained(small_qwen2(VOCABULARY), folder)
        assert torch.equal(adapted.generate(tokens[row : row + 1], **options)[0], routed[row])


def test_detached_after_an_error_the_model_is_what_it_was(tmp_path):
    model = small_qwen2(VOCABULARY)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = dict(model.named_modules())
    _, bank = make_adapters(model, tmp_path)
    tokens = torch.arange(5)[None]
    with torch.no_grad():
        bare = model(tokens).logits
        with (
            pytest.raises(RuntimeError, match="stop"),
            bank.attached(),
            bank.routed([0], [1]),
        ):
            assert not torch.equal(model(tokens).logits, bare)
            raise RuntimeError("stop")
        assert torch.equal(model(tokens).logits, bare)
    assert all(model.get_submodule(name) is module for name, module in modules.items() if name)
    assert not any(module._forward_hooks for module in modules.values())
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_initial_weights_are_drawn_as_peft_draws_them():
    model = small_qwen2(VOCABULARY)
    bank = AdapterBank(model, find_targets(model, ["down_proj"]), slots=2, rank=4)
    bank.initialise(1, rank=3, alpha=6, seed=7)
    weights = bank.export(1, 3)
    a = weights["base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"]
    bound = 1 / math.sqrt(64)  # Kaiming-uniform with a = sqrt(5) over 64 inputs
    assert a.abs().max() <= bound
    assert a.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert all(not weight.any() for name, weight in weights.items() if "lora_B" in name)
    assert not bank.weights[0].any()
    bank.initialise(0, rank=3, alpha=6, seed=7)
    assert torch.equal(bank.weights[0], bank.weights[1])
    bank.initialise(0, rank=3, alpha=6, seed=8)
    assert not torch.equal(bank.weights[0], bank.weights[1])


def test_a_slot_keeps_nothing_of_its_last_adapter():
    model = small_qwen2(VOCABULARY)
    bank = AdapterBank(model, find_targets(model, TARGETS), slots=1, rank=4)
    small = random_weights(model, TARGETS, rank=2, seed=1)
    bank.load(0, AdapterFolder(2, 1.0, small))
    fresh = bank.weights.clone()
    bank.load(0, AdapterFolder(4, 1.0, random_weights(model, TARGETS, rank=4, seed=2)))
    bank.load(0, AdapterFolder(2, 1.0, small))
    assert torch.equal(bank.weights, fresh)


def test_weights_of_another_model_are_refused():
    model = small_qwen2(VOCABULARY)
    bank = AdapterBank(model, find_targets(model, ["q_proj"]), slots=1, rank=4)
    with pytest.raises(ValueError, match="v_proj"):
        bank.load(0, AdapterFolder(4, 1.0, random_weights(model, ["v_proj"], rank=4, seed=0)))
    with pytest.raises(ValueError, match="shape"):
        bank.load(0, AdapterFolder(4, 1.0, random_weights(model, ["q_proj"], rank=3, seed=0)))
    assert not bank.weights.any()


@pytest.mark.parametrize("build", [small_qwen2, small_llama], ids=["tied head", "own head"])
def test_all_linear_is_every_linear_layer_but_the_head(build):
    names = find_targets(build(VOCABULARY), "all-linear")
    assert len(names) == 2 * 7
    assert "lm_head" not in names
    assert find_targets(build(VOCABULARY), ["all-linear"]) == names


def test_targets_are_whole_name_endings_in_the_order_of_the_model():
    model = small_qwen2(VOCABULARY)
    assert find_targets(model, ["v_proj", "layers.1.self_attn.q_proj"]) == [
        "model.layers.0.self_attn.v_proj",
        "model.layers.1.self_attn.q_proj",
        "model.layers.1.self_attn.v_proj",
    ]


@pytest.mark.parametrize("target", ["proj", "w_pack", "lm_head", "embed_tokens", "mlp"])
def test_impossible_targets_are_named(target):
    with pytest.raises(UserError, match=target):
        find_targets(small_qwen2(VOCABULARY), ["q_proj", target])
