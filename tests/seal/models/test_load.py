"""Models are whole and finite, and on a device that is here; what is wrong is named."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seal.errors import UserError
from seal.models.load import (
    check_files_finite,
    check_finite,
    check_model,
    find_device,
    load_model,
    load_tokenizer,
)
from seal.records import read_json, write_json
from tests.support.small_models import save_model_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save_model_folder(tmp_path_factory.mktemp("models") / "whole", ["The lamp."])


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


@pytest.fixture
def on_the_hub(whole, tmp_path, monkeypatch):
    """The folder of org/small in the hub's cache; there is no network."""
    repository = tmp_path / "hub/models--org--small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return shutil.copytree(whole, repository / "snapshots" / COMMIT)


def spoil(folder: Path, name: str, value: float) -> None:
    weights = load_file(folder / "model.safetensors")
    weights[name].view(-1)[0] = value
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def test_a_checked_model_takes_no_memory_and_brings_its_tokenizer(folder):
    skeleton, tokenizer = check_model(str(folder))
    assert {weight.device.type for weight in skeleton.parameters()} == {"meta"}
    assert tokenizer("lamp")["input_ids"]


def test_a_loaded_model_is_frozen_and_answers_as_its_files_say(folder):
    model = load_model(str(folder), "float32", "cpu")
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(model.state_dict()[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers_are_found_in_files_and_in_memory(folder, value):
    name = "model.layers.1.mlp.down_proj.weight"
    spoil(folder, name, value)
    told = f"^--policies p {folder}: its weight {name} holds NaN or infinity"
    with pytest.raises(UserError, match=told):
        check_files_finite(str(folder), "--policies p")
    with pytest.raises(UserError, match=f"^--model {folder}: its weight {name} holds NaN"):
        load_model(str(folder), "float32", "cpu")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_weights_of_any_precision_are_looked_through(dtype):
    weights = torch.ones(8, 8).to(dtype)
    check_finite([("w", weights), ("empty", weights[:0]), ("ids", torch.ones(2).long())], "m")
    weights.view(torch.uint8)[3] = 0xFF  # NaN in each of them
    with pytest.raises(UserError, match=r"^m: its weight w holds NaN or infinity; "):
        check_finite([("w", weights)], "m")


def test_the_hubs_models_are_checked_in_the_cache(on_the_hub):
    check_model("org/small")
    check_files_finite("org/small")
    spoil(on_the_hub, "model.norm.weight", torch.nan)
    with pytest.raises(UserError, match=r"^--model org/small: its weight model\.norm\.weight"):
        check_files_finite("org/small")


def test_the_hubs_code_is_refused_without_a_question(on_the_hub, monkeypatch):
    path = on_the_hub / "config.json"
    code = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    write_json(path, read_json(path) | {"model_type": "own", "auto_map": code})
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    with pytest.raises(UserError, match=r"^--model org/small does not load: .*trust_remote_code"):
        check_model("org/small")


def test_a_name_that_means_nothing_is_named_with_its_flag(on_the_hub):
    for name in ("org/other", "smal", "x=y", "a b", "a" * 300):
        with pytest.raises(UserError, match=f"^--policies p {name} does not load: .*; ") as refused:
            check_model(name, flag="--policies p")
        assert "check the name and the network" in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_tokenizer_without_vocabulary_or_end_is_refused(folder):
    path = folder / "tokenizer_config.json"
    config = read_json(path)
    write_json(path, config | {"eos_token": None})
    with pytest.raises(UserError, match="its tokenizer has no eos_token"):
        load_tokenizer(str(folder))
    write_json(path, config)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="its tokenizer has no vocabulary"):
        load_tokenizer(str(folder))


def test_the_end_of_a_text_pads_where_nothing_else_does(folder):
    path = folder / "tokenizer_config.json"
    write_json(path, {k: v for k, v in read_json(path).items() if k != "pad_token"})
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("name", "gpus", "found"),
    [("auto", 0, "cpu"), ("auto", 2, "cuda:1"), ("cpu", 2, "cpu"), ("cuda:1", 2, "cuda:1")],
)
def test_devices(monkeypatch, name, gpus, found):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert find_device(name) == torch.device(found)


@pytest.mark.parametrize(
    "name", ["mps", "xpu", "meta", "cpu:1", "cuda:2", "cuda:-1", "cuda:x", "gpu", "0", "", "é"]
)
def test_devices_that_are_not_here_are_refused_before_a_model_is_read(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=f"^--device {name}.*; use auto"):
        load_model("/no/such/model", "float32", name)
