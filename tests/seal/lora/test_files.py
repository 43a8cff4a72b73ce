"""Adapter folders are PEFT's own, whole or absent, and strange ones are named.

One adapter that concatenates several is all of them merged in turn.
"""

import copy
import json
import math
from dataclasses import replace

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file

from seal.errors import UserError
from seal.lora import train_adapters
from seal.lora.bank import AdapterBank, find_targets
from seal.lora.files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    AdapterFolder,
    concatenate_adapters,
    read_adapter,
    weight_names,
    write_adapter,
    write_concatenated,
)
from tests.support.small_jobs import (
    VOCABULARY,
    adapter_weights,
    distance,
    random_job,
    random_weights,
)
from tests.support.small_models import small_llama, small_qwen2

TARGETS = ["q_proj", "down_proj"]
ATTENTION = ["q_proj", "v_proj"]
INPUT = torch.arange(2 * 9).view(2, 9) % VOCABULARY


@pytest.fixture
def folder(tmp_path):
    """A written adapter of rank 3."""
    folder = tmp_path / "adapter"
    write_adapter(
        folder,
        random_weights(small_llama(VOCABULARY), TARGETS, rank=3, seed=1),
        rank=3,
        alpha=6,
        target_modules=TARGETS,
        base_model="",
    )
    return folder


def test_peft_loads_the_folder_bit_for_bit(folder):
    model = small_llama(VOCABULARY)
    written = random_weights(model, TARGETS, rank=3, seed=1)
    loaded = get_peft_model_state_dict(PeftModel.from_pretrained(model, folder))
    assert loaded.keys() == written.keys()
    assert all(torch.equal(loaded[name], written[name]) for name in written)


def test_the_config_says_what_vllm_reads(folder):
    config = json.loads((folder / CONFIG_FILE).read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 3, 6)
    assert config["target_modules"] == sorted(TARGETS)
    assert config["lora_dropout"] == 0.0


def test_it_reads_back(folder):
    adapter = read_adapter(folder)
    written = random_weights(small_llama(VOCABULARY), TARGETS, rank=3, seed=1)
    assert (adapter.rank, adapter.scale) == (3, 2.0)
    assert all(torch.equal(adapter.weights[name], written[name]) for name in written)
    assert "model.layers.1.mlp.down_proj" in adapter.modules
    assert len(adapter.modules) == 4


def test_an_interrupted_write_leaves_no_folder_and_does_not_hinder_the_next(tmp_path):
    weights = random_weights(small_llama(VOCABULARY), TARGETS, rank=3, seed=1)
    options = {"rank": 3, "alpha": 6, "target_modules": TARGETS, "base_model": ""}
    folder = tmp_path / "adapter"
    with pytest.raises(ValueError, match="broken"):
        write_adapter(folder, {"broken": None}, **options)
    assert not folder.exists()
    write_adapter(folder, weights, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


def test_rank_stabilised_adapters_have_their_own_scale(folder):
    change_config(folder, use_rslora=True)
    assert read_adapter(folder).scale == 6 / math.sqrt(3)


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "IA3"},
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 2}},
        {"modules_to_save": ["lm_head"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_adapters_of_other_kinds_are_refused_by_name(folder, change):
    change_config(folder, **change)
    with pytest.raises(UserError, match=str(folder)):
        read_adapter(folder)


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{folder}.*{name}"):
        read_adapter(folder)


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_damaged_file_is_refused(folder, name):
    (folder / name).write_bytes(b"{")
    with pytest.raises(UserError, match=str(folder)):
        read_adapter(folder)


def test_weights_must_come_in_pairs(folder):
    weights = read_adapter(folder).weights
    weights.popitem()
    save_file(weights, folder / WEIGHTS_FILE)
    with pytest.raises(UserError, match="no partner"):
        read_adapter(folder)
    save_file({"base_model.model.lm_head.weight": torch.zeros(1)}, folder / WEIGHTS_FILE)
    with pytest.raises(UserError, match="no partner"):
        read_adapter(folder)
    save_file({}, folder / WEIGHTS_FILE)
    with pytest.raises(UserError, match="empty"):
        read_adapter(folder)


def change_config(folder, **changes):
    path = folder / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# Adapters in sequence as one


def random_adapter(model, targets, rank, scale, seed) -> AdapterFolder:
    return AdapterFolder(rank, scale, random_weights(model, targets, rank, seed))


def merged(model, adapters):
    """A copy of the model into whose weights the adapters were added, one after the other."""
    changed = copy.deepcopy(model)
    for adapter in adapters:
        for module in adapter.modules:
            a, b = (adapter.weights[name].to(model.dtype) for name in weight_names(module))
            changed.get_submodule(module).weight.data += adapter.scale * (b @ a)
    return changed


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(INPUT).logits


def logits_under(model, adapter: AdapterFolder) -> torch.Tensor:
    bank = AdapterBank(model, adapter.modules, slots=1, rank=adapter.rank, dtype=model.dtype)
    bank.load(0, adapter)
    with bank.attached(), bank.routed([0], [len(INPUT)]):
        return logits(model)


def snapshot(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("build", "targets"), [(small_qwen2, ATTENTION), (small_llama, "all-linear")]
)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("scales", [(2.0, 2.0, 2.0), (2.0, 0.5, 3.0)])
def test_concatenated_is_merged_one_after_the_other(build, targets, dtype, error, scales):
    model = build(VOCABULARY, dtype)
    adapters = [
        random_adapter(model, targets, rank, scale, seed)
        for seed, (rank, scale) in enumerate(zip((4, 2, 3), scales, strict=True))
    ]
    chain = concatenate_adapters(adapters)
    assert chain.rank == 9
    expected = logits(merged(model, adapters))
    size = expected.abs().max()
    assert (logits_under(model, chain) - expected).abs().max() < error * size
    # A chain may be a link of another
    nested = concatenate_adapters([concatenate_adapters(adapters[:2]), adapters[2]])
    assert (logits_under(model, nested) - expected).abs().max() < error * size
    assert (logits(model) - expected).abs().max() > 1e-2 * size


def test_adapters_of_one_scale_are_concatenated_bit_by_bit():
    model = small_qwen2(VOCABULARY)
    adapters = [random_adapter(model, ATTENTION, 3, 2.0, seed) for seed in range(2)]
    chain = concatenate_adapters(adapters)
    for module in chain.modules:
        name_a, name_b = weight_names(module)
        for number, adapter in enumerate(adapters):
            own = slice(3 * number, 3 * number + 3)
            assert torch.equal(chain.weights[name_a][own], adapter.weights[name_a])
            assert torch.equal(chain.weights[name_b][:, own], adapter.weights[name_b])


@pytest.mark.parametrize("scale", [2.0, 1 / 3])
def test_peft_answers_with_the_written_chain_as_the_merged_model_does(scale, tmp_path):
    model = small_qwen2(VOCABULARY)
    adapters = [random_adapter(model, ATTENTION, 3, scale, seed) for seed in range(4)]
    folders = [tmp_path / f"step-{number}" for number in range(len(adapters))]
    for folder, adapter in zip(folders, adapters, strict=True):
        write_adapter(
            folder,
            adapter.weights,
            rank=adapter.rank,
            alpha=adapter.scale * adapter.rank,
            target_modules=ATTENTION,
            base_model="base",
        )
    write_concatenated(tmp_path / "chain", folders, "base")
    chain = read_adapter(tmp_path / "chain")
    assert (chain.rank, chain.scale) == (12, pytest.approx(scale))
    peft = PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / "chain")
    assert peft.peft_config["default"].target_modules == set(ATTENTION)
    expected = logits(merged(model, adapters))
    assert (logits(peft) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_what_cannot_be_concatenated_is_refused(tmp_path):
    model = small_qwen2(VOCABULARY)
    with pytest.raises(ValueError, match="no adapters"):
        concatenate_adapters([])
    unlike = [random_adapter(model, targets, 2, 1.0, 0) for targets in (ATTENTION, ["q_proj"])]
    with pytest.raises(ValueError, match="different layers"):
        concatenate_adapters(unlike)
    with pytest.raises(UserError, match="no adapter_config"):
        write_concatenated(tmp_path / "chain", [tmp_path / "none"], "base")
    assert not (tmp_path / "chain").exists()


# Training under earlier adapters


def train(model, jobs, folder, slots=2):
    folders = [folder / str(number) for number in range(len(jobs))]
    train_adapters(model, jobs, folders, ATTENTION, slots)
    return [adapter_weights(each) for each in folders]


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 2e-3)])
def test_training_sees_earlier_adapters_as_if_they_were_merged(dtype, error, tmp_path):
    model = small_qwen2(VOCABULARY, dtype)
    before = snapshot(model)
    plain = [
        replace(
            random_job(seed, epochs=2, rank=rank),
            initial_weights=random_weights(model, ATTENTION, rank, seed),
        )
        for seed, rank in enumerate((4, 2, 4, 3))
    ]
    # Side by side, two with a queue behind them: of different ranks, one on other layers, one none
    earlier = [
        random_adapter(model, ATTENTION, 6, 2.0, seed=10),
        None,
        random_adapter(model, ["down_proj", "q_proj"], 3, 0.5, seed=11),
        random_adapter(model, ATTENTION, 1, 1.0, seed=12),
    ]
    jobs = [replace(job, earlier=adapter) for job, adapter in zip(plain, earlier, strict=True)]
    together = train(model, jobs, tmp_path / "together")
    for number, (job, adapter) in enumerate(zip(plain, earlier, strict=True)):
        base = merged(model, [adapter] if adapter else [])
        (alone,) = train(base, [job], tmp_path / f"alone-{number}")
        assert distance(together[number], alone) < error
        (without,) = train(model, [job], tmp_path / f"without-{number}")
        assert adapter is None or distance(together[number], without) > 1e-2
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_a_chain_of_steps_is_merging_after_every_step(dtype, error, tmp_path):
    model = small_qwen2(VOCABULARY, dtype)
    before = snapshot(model)
    chain, merging = None, copy.deepcopy(model)
    for step in range(3):
        job = random_job(step, learning_rate=1e-3, epochs=2)
        train_adapters(model, [replace(job, earlier=chain)], [tmp_path / f"{step}"], ATTENTION, 1)
        link = read_adapter(tmp_path / f"{step}")
        chain = concatenate_adapters([chain, link] if chain else [link])
        train_adapters(merging, [job], [tmp_path / f"merging-{step}"], ATTENTION, 1)
        merging = merged(merging, [read_adapter(tmp_path / f"merging-{step}")])
        expected = logits(merging)
        difference = (logits_under(model, chain) - expected).abs().max()
        assert difference < error * expected.abs().max(), step
    assert (logits(model) - expected).abs().max() > 1e-2 * expected.abs().max()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_an_earlier_adapter_of_another_model_is_refused(tmp_path):
    model = small_qwen2(VOCABULARY)
    elsewhere = random_adapter(small_qwen2(VOCABULARY, num_hidden_layers=3), ATTENTION, 2, 1.0, 0)
    with pytest.raises(ValueError, match=r"layers\.2\.self_attn.*does not have"):
        train(model, [random_job(0, earlier=elsewhere)], tmp_path)
    wider = random_adapter(small_qwen2(VOCABULARY, hidden_size=64), ATTENTION, 2, 1.0, 0)
    with pytest.raises(ValueError, match=r"earlier adapter of job 1.*has shape"):
        train(model, [random_job(0), random_job(1, earlier=wider)], tmp_path)
    assert find_targets(model, ATTENTION) and not list(tmp_path.iterdir())
