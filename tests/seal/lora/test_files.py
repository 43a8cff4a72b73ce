"""Adapter folders are PEFT's own, whole or absent, and strange ones are named."""

import json

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file

from seal.errors import UserError
from seal.lora.files import CONFIG_FILE, WEIGHTS_FILE, read_adapter, write_adapter
from tests.support.small_jobs import VOCABULARY, random_weights
from tests.support.small_models import small_llama

TARGETS = ["q_proj", "down_proj"]


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
    change_config(folder, use_rslora=True, r=4)
    assert read_adapter(folder).scale == 3.0


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
