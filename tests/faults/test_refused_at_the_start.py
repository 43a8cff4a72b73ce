"""What cannot work is refused before a policy is loaded and before there is a run folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seal.errors import UserError
from seal.records import read_json, write_json
from tests.faults.conftest import FEW_SHOT, KNOWLEDGE

PROGRAMS = [
    (KNOWLEDGE, "rest_em"),
    (KNOWLEDGE, "adapt"),
    (FEW_SHOT, "rest_em"),
    (FEW_SHOT, "solve"),
]


def model_of(tree: str, folder: Path) -> Path:
    return folder / ("knowledge" if tree == KNOWLEDGE else "few-shot") / "model"


def with_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def damage(model: Path) -> None:
        weights = load_file(model / "model.safetensors")
        change(weights)
        save_file(weights, model / "model.safetensors", {"format": "pt"})

    return damage


def with_config(**values: object) -> Callable[[Path], None]:
    def damage(model: Path) -> None:
        write_json(model / "config.json", read_json(model / "config.json") | values)

    return damage


def another_tokenizer(model: Path) -> None:
    content = read_json(model / "tokenizer.json")
    token = content["added_tokens"][0] | {"id": 100_000, "content": "<|more|>"}
    content["added_tokens"].append(token)
    (model / "tokenizer.json").write_text(json.dumps(content))


DAMAGES = {
    "a weight is missing": (
        with_weights(lambda w: w.pop("model.layers.1.mlp.up_proj.weight")),
        "lacks the weights: model.layers.1.mlp.up_proj.weight",
    ),
    "a weight too many": (
        with_weights(lambda w: w.update({"model.layers.77.x": torch.zeros(2)})),
        "has weights of which its config.json knows nothing: model.layers.77.x",
    ),
    "another shape": (
        with_weights(lambda w: w.update({"model.norm.weight": torch.ones(3)})),
        "of another shape than its config.json says",
    ),
    "more layers": (with_config(num_hidden_layers=99), "lacks the weights"),
    "fewer layers": (with_config(num_hidden_layers=1), "knows nothing"),
    "no number": (with_config(hidden_size="wide"), "does not load"),
    "code": (with_config(auto_map={"AutoConfig": "x.Y"}), "names code in the folder"),
    "no config": (lambda model: (model / "config.json").unlink(), "no config.json"),
    "cut": (lambda model: (model / "model.safetensors").write_bytes(b"12345678"), "does not load"),
    "pickled": (
        lambda model: (model / "model.safetensors").rename(model / "pytorch_model.bin"),
        "no .safetensors weights",
    ),
    "another's tokenizer": (another_tokenizer, "take the tokenizer that belongs to the model"),
    "changed after a finetuning": (
        lambda model: (model / "SHA256SUMS").write_text(f"{'0' * 64}  model.safetensors\n"),
        "is not what SHA256SUMS says",
    ),
    "no folder": (shutil.rmtree, "no such folder"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("tree", "program"), [PROGRAMS[0], PROGRAMS[3]])
def test_a_model_that_is_not_whole(tree, program, damage, start, tmp_path):
    change, told = DAMAGES[damage]
    change(model_of(tree, tmp_path))
    with pytest.raises(UserError, match="model") as refusal:
        start(tree, program)
    assert told in str(refusal.value) and str(model_of(tree, tmp_path)) in str(refusal.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("tree", "program"), PROGRAMS)
def test_target_modules_that_the_model_lacks(tree, program, start, tmp_path):
    flags = ["target_modules", *(["sft_target_modules"] if program == "rest_em" else [])]
    for flag in flags:
        with pytest.raises(UserError, match=f"^--{flag}: target module v_porj"):
            start(tree, program, **{flag: "v_porj"})
    assert not (tmp_path / "run").exists()


def test_a_full_finetuning_needs_no_target_modules(start, tmp_path):
    start(KNOWLEDGE, "run_cpt", method="full", target_modules="v_porj")
    with pytest.raises(UserError, match=r"^--target_modules: target module v_porj"):
        start(KNOWLEDGE, "run_cpt", method="lora", target_modules="v_porj", run_dir="lora")


def test_a_policy_that_is_not_there_costs_no_row(start, tmp_path):
    for tree, program in [(KNOWLEDGE, "eval_single_passage"), (FEW_SHOT, "eval_self_edits")]:
        with pytest.raises(UserError, match="--policies x /not/there: no such folder"):
            start(tree, program, policies="x=/not/there")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("program", ["rest_em", "generate_self_edits"])
def test_a_passage_that_is_too_long_is_named_with_its_place(program, start, tmp_path):
    path = tmp_path / "passages.json"
    passages = read_json(path)
    passages[4]["context"] *= 400
    write_json(path, passages)
    n = {"n_passages": 4, "n_validation": 0} if program == "rest_em" else {"n_passages": 8}
    with pytest.raises(UserError, match=r"passages\.json passage 5.*tokens.*--max_new_tokens") as e:
        start(KNOWLEDGE, program, **n)
    assert passages[4]["title"] in str(e.value)
    assert not (tmp_path / "run").exists()


def test_a_task_that_is_too_long_is_named(start, tmp_path):
    path = tmp_path / "tasks/cells-fall-down.json"
    task = read_json(path)
    task["train"] += [{"input": [[1] * 30] * 30, "output": [[2] * 30] * 30}] * 8
    write_json(path, task)
    with pytest.raises(UserError, match=r"^task cells-fall-down-0: a prompt about it has"):
        start(FEW_SHOT, "rest_em")
    assert not (tmp_path / "run").exists()
