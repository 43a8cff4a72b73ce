"""A damaged model or adapter folder is refused in one line before it is loaded, or does no harm.

A part of the table by default; all of it with SEAL_FAULTS=all.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from seal.checksums import SUMS_FILE, write_sums
from seal.errors import UserError
from seal.lora.files import CONFIG_FILE, WEIGHTS_FILE, read_adapter, write_adapter
from seal.models.folders import fingerprint
from seal.models.load import check_files_finite, check_model, load_model
from seal.models.untrained import save_untrained_model
from seal.samplers.vllm import check_adapter

WHOLE, SHARDED, ADAPTER = "whole", "sharded", "adapter"
Damage = Callable[[Path], object]
Case = tuple[str, Damage]
"""The kind of folder, and what becomes of it."""
EVERY = 1 if os.environ.get("SEAL_FAULTS") == "all" else 7
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TEXT = "The lamp burned whale oil, é 5."
LAYER = "model.layers.1."


# Damages of bytes


def replaced(name: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def instead(name: str, make: Callable[[Path], object]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return damage


BYTES: dict[str, Callable[[str], Damage]] = {
    "empty": lambda name: replaced(name, lambda data: b""),
    "NUL": lambda name: replaced(name, lambda data: bytes(len(data))),
    "half": lambda name: replaced(name, lambda data: data[: len(data) // 2]),
    "without its first byte": lambda name: replaced(name, lambda data: data[1:]),
    "without its last bytes": lambda name: replaced(name, lambda data: data[:-2]),
    "with a byte more": lambda name: replaced(name, lambda data: data + b"x"),
    "no UTF-8": lambda name: replaced(name, lambda data: b"\xff\xfe" + data),
    "gone": lambda name: instead(name, lambda path: None),
    "a folder": lambda name: instead(name, Path.mkdir),
    "a pipe": lambda name: instead(name, os.mkfifo),
    "endless": lambda name: instead(name, lambda path: path.symlink_to("/dev/zero")),
    "a link to nothing": lambda name: instead(name, lambda path: path.symlink_to("/no/such")),
    "a link to itself": lambda name: instead(name, lambda path: path.symlink_to(path)),
}
TEXTS = [
    "null",
    "[]",
    "{}",
    '"x"',
    "5",
    "true",
    "NaN",
    "{",
    "[" * 100_000,
    "1" * 6000,
    '{"a":1,"a":2}',
]


# Damages of JSON and of weights


def edited(name: str, *place: object, to: object) -> Damage:
    """Another value at a place in a JSON file; without the key where it is `...`."""

    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        if to is ...:
            inner.pop(place[-1], None)
        else:
            inner[place[-1]] = to
        (folder / name).write_text(json.dumps(content))

    return damage


def weights(change: Callable[[dict[str, torch.Tensor]], object], name: str = WEIGHTS) -> Damage:
    def damage(folder: Path) -> None:
        held = load_file(folder / name)
        change(held)
        held = {key: weight.contiguous() for key, weight in held.items()}
        save_file(held, folder / name, {"format": "pt"})

    return damage


def each_weight(kind: str, names: list[str], file: str = WEIGHTS) -> dict[str, Case]:
    """What may befall a weight, for each of the weights."""
    changes = {
        "gone": lambda held, name: held.pop(name),
        "renamed": lambda held, name: held.update({name + "x": held.pop(name)}),
        "twice as long": lambda held, name: held.update({name: torch.cat([held[name]] * 2)}),
        "without rows": lambda held, name: held.update({name: held[name][:0]}),
        "with more axes": lambda held, name: held.update({name: held[name][None, None]}),
    }
    values = {
        "NaN at its end": lambda held, name: held[name].view(-1)[-1:].fill_(torch.nan),
        "infinite at its start": lambda held, name: held[name].view(-1)[:1].fill_(-torch.inf),
    }
    changes |= values if kind == WHOLE else {}
    return {
        f"{kind}: {name} {what}": (kind, weights(lambda h, c=change, n=name: c(h, n), file))
        for name in names
        for what, change in changes.items()
    }


def build(folder: Path, kind: str) -> Path:
    """A folder of this kind."""
    if kind == ADAPTER:
        shapes = {".lora_A.weight": (3, 64), ".lora_B.weight": (64, 3)}
        own = {
            f"base_model.model.{LAYER}self_attn.{module}{end}": torch.randn(shape)
            for module in ("q_proj", "o_proj")
            for end, shape in shapes.items()
        }
        targets = ["q_proj", "o_proj"]
        write_adapter(folder, own, rank=3, alpha=6, target_modules=targets, base_model="base")
        return folder
    save_untrained_model(folder, [TEXT], vocab_size=300)
    if kind == SHARDED:
        model = AutoModelForCausalLM.from_pretrained(folder)
        (folder / WEIGHTS).unlink()
        model.save_pretrained(folder, max_shard_size="100KB")
    return folder


MODEL_FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
SETTINGS = ["model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"]
SETTINGS += ["intermediate_size", "num_key_value_heads", "hidden_act", "rope_parameters", "dtype"]
SETTINGS += ["max_position_embeddings", "layer_types", "eos_token_id", "pad_token_id"]
WRONG = ["wide", -1, 0, [], {}, [None], 1e400]
SHARD = "model-00002-of-00005.safetensors"
MODULES = ["self_attn.q_proj.weight", "self_attn.k_proj.bias", "mlp.down_proj.weight"]
NAMES = [*(LAYER + module for module in MODULES), "model.embed_tokens.weight", "model.norm.weight"]
A, B = (f"base_model.model.{LAYER}self_attn.o_proj.lora_{x}.weight" for x in "AB")


def cases() -> dict[str, Case]:
    """All damages, by their names."""
    files = [(WHOLE, file) for file in (*MODEL_FILES, WEIGHTS)]
    files += [(SHARDED, file) for file in (INDEX, SHARD)]
    files += [(ADAPTER, file) for file in (CONFIG_FILE, WEIGHTS_FILE)]
    table = {
        f"{kind}: {file} {how}": (kind, damage(file))
        for kind, file in files
        for how, damage in BYTES.items()
    }
    for kind, file in files:
        for text in TEXTS if file.endswith(".json") else []:
            words = text.encode()
            table[f"{kind}: {file} is {text[:14]}"] = kind, replaced(file, lambda _, w=words: w)
    for key in SETTINGS:
        for value in WRONG:
            table[f"{WHOLE}: {key} {value}"] = WHOLE, edited("config.json", key, to=value)
    for file in ("config.json", "generation_config.json"):
        for ends in (300, -5, "2", 1.0, True, [1, "x"], [[1]], [1, 999], {"a": 1}):
            damage = edited(file, "eos_token_id", to=ends)
            table[f"{WHOLE}: {file} ends with {ends}"] = WHOLE, damage
    for layers in (1, 3, 99):
        damage = edited("config.json", "num_hidden_layers", to=layers)
        table[f"{WHOLE}: {layers} layers"] = WHOLE, damage
    for file in ("config.json", "tokenizer_config.json", "generation_config.json"):
        for code in ({"AutoConfig": "x.Y"}, {}, "x"):
            table[f"{WHOLE}: {file} names code {code}"] = WHOLE, edited(file, "auto_map", to=code)
    for method in ("gptq", "awq", "bitsandbytes", "fp8", "mxfp4", "compressed-tensors", "nope", 5):
        damage = edited("config.json", "quantization_config", to={"quant_method": method})
        table[f"{WHOLE}: quantized by {method}"] = WHOLE, damage
    for key in ("eos_token", "model_max_length", "tokenizer_class", "extra_special_tokens"):
        for value in (..., None, "no such", -1, 1.5, [], {}, [None]):
            table[f"{WHOLE}: {key} {value}"] = WHOLE, edited("tokenizer_config.json", key, to=value)
    for key in ("model", "pre_tokenizer", "decoder", "added_tokens", "post_processor"):
        for value in (..., "x", 5, [], {}, [None]):
            damage = edited("tokenizer.json", key, to=value)
            table[f"{WHOLE}: tokenizer's {key} {value}"] = WHOLE, damage
    for id_ in (300, -1, 1e9, "a", None):
        token = {"id": id_, "content": "<more>", "special": True}
        token |= dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
        damage = edited("tokenizer.json", "added_tokens", to=[token])
        table[f"{WHOLE}: a token of id {id_}"] = WHOLE, damage
    table |= each_weight(WHOLE, NAMES) | each_weight(ADAPTER, [A, B], WEIGHTS_FILE)
    table |= {
        "whole: a weight too many": (WHOLE, weights(lambda h: h.update(x=torch.ones(2)))),
        "whole: no weights": (WHOLE, weights(dict.clear)),
        "whole: an adapter beside": (WHOLE, lambda f: (f / CONFIG_FILE).write_text("{}")),
        "whole: pickled": (WHOLE, lambda f: (f / WEIGHTS).rename(f / "pytorch_model.bin")),
        "whole: not there": (WHOLE, shutil.rmtree),
        "whole: a file": (WHOLE, lambda f: (shutil.rmtree(f), f.write_text("x"))),
        "sharded: whole weights beside": (SHARDED, lambda f: shutil.copy(f / SHARD, f / WEIGHTS)),
        "sharded: one shard twice": (
            SHARDED,
            lambda f: shutil.copy(f / SHARD, f / SHARD.replace("2", "3", 1)),
        ),
    }
    place = ("weight_map", NAMES[0])
    for file in (..., "nope.safetensors", "../x.safetensors", 5, None, "model-00005-of-00005"):
        table[f"{SHARDED}: a weight in {file}"] = SHARDED, edited(INDEX, *place, to=file)
    for key, value in [("weight_map", ...), ("weight_map", None), ("weight_map", [1])]:
        table[f"{SHARDED}: {key} {value}"] = SHARDED, edited(INDEX, key, to=value)
    for key, values in {
        "r": [..., None, 0, -3, 4, 3.0, "3", True, [3]],
        "lora_alpha": [..., None, "6", True, [6], 1e400],
        "peft_type": [..., None, "IA3", 5, ["LORA"]],
        "use_rslora": ["yes", 1, [0]],
        "use_dora": [True],
        "rank_pattern": [{"q_proj": 2}],
        "alpha_pattern": [{"q_proj": 2}],
        "modules_to_save": [["lm_head"]],
        "lora_bias": [True],
    }.items():
        for value in values:
            table[f"{ADAPTER}: {key} {value}"] = ADAPTER, edited(CONFIG_FILE, key, to=value)
    table.pop(f"{ADAPTER}: {B} twice as long")  # of another model, which its bank finds
    table["adapter: whole numbers"] = (
        ADAPTER,
        weights(lambda held: held.update({A: held[A].int()}), WEIGHTS_FILE),
    )
    return table


CASES = cases()
ADAPTERS = [name for name, (kind, _) in CASES.items() if kind == ADAPTER]
MODELS = [name for name in CASES if name not in ADAPTERS]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("folders")
    return {kind: build(place / kind, kind) for kind in (WHOLE, SHARDED, ADAPTER)}


@pytest.fixture
def damaged(folders, tmp_path) -> Callable[[str], Path]:
    def damage(case: str) -> Path:
        kind, change = CASES[case]
        folder = tmp_path / "damaged"
        shutil.copytree(folders[kind], folder)
        change(folder)
        return folder

    return damage


def refusal(use: Callable[..., object], *arguments: object) -> str | None:
    """The message with which a folder is refused; None if it is not."""
    try:
        use(*arguments)
    except UserError as error:
        return str(error)
    return None


def facts(folder: Path) -> dict[str, object]:
    """All that a model folder can change in a run that uses it."""
    skeleton, tokenizer = check_model(str(folder))
    model = load_model(str(folder), "float32", "cpu")
    ids = tokenizer(TEXT)["input_ids"]
    ends = model.generation_config.eos_token_id
    return {
        "ids": ids,
        "text": tokenizer.decode(ids),
        "ends": {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None},
        "window": skeleton.config.max_position_embeddings,
        "weights": {name: weight.tolist() for name, weight in model.state_dict().items()},
        "logits": model(torch.tensor([ids])).logits.tolist(),
    }


@pytest.fixture(scope="module")
def undamaged(folders) -> dict[str, object]:
    assert facts(folders[WHOLE]) == facts(folders[SHARDED])
    return facts(folders[WHOLE])


@pytest.mark.parametrize("case", MODELS[::EVERY])
def test_a_damaged_model_is_refused_before_it_is_loaded_or_does_no_harm(case, damaged, undamaged):
    folder = damaged(case)
    refused = refusal(check_model, str(folder)) or refusal(check_files_finite, str(folder))
    if refused is None:
        assert facts(folder) == undamaged
    else:
        assert str(folder) in refused and "\n" not in refused and "; " in refused


@pytest.mark.parametrize("case", [name for name in MODELS if ": model." in name][:: 2 * EVERY])
def test_loading_alone_refuses_what_is_wrong_with_weights(case, damaged):
    folder = damaged(case)
    assert str(folder) in refusal(load_model, str(folder), "float32", "cpu")


@pytest.mark.parametrize("case", ADAPTERS[::EVERY])
def test_a_damaged_adapter_is_refused(case, damaged):
    folder = damaged(case)
    refused = refusal(read_adapter, folder)
    assert refused and str(folder) in refused and "\n" not in refused and "; " in refused
    told = refusal(check_adapter, folder)
    assert told is None or str(folder) in told


def test_an_adapter_that_diverged_is_read(folders, tmp_path):
    folder = shutil.copytree(folders[ADAPTER], tmp_path / "diverged")
    weights(lambda held: held[A].fill_(torch.nan), WEIGHTS_FILE)(folder)
    assert read_adapter(folder).weights[A].isnan().all()


# Folders with checksums, and those that are valid but changed


CHANGES: dict[str, Damage] = {
    "a bit of the weights": replaced(
        WEIGHTS, lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    ),
    "half of the weights": replaced(
        WEIGHTS, lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
    ),
    "a setting": edited("config.json", "rms_norm_eps", to=1e-3),
    "the window": edited("config.json", "max_position_embeddings", to=8192),
    "merges": edited("tokenizer.json", "model", "merges", to=[]),
    "the end of a text": edited("tokenizer_config.json", "eos_token", to="x"),
    "sampling": edited("generation_config.json", "temperature", to=0.5),
    "merges removed": edited("tokenizer.json", "model", "merges", to=...),
}
NO_CHANGES: dict[str, Damage] = {
    "a card": lambda folder: (folder / "README.md").write_text("# A model"),
    "a hidden folder": lambda folder: (folder / ".cache").mkdir(),
    "a later date": lambda folder: os.utime(folder / WEIGHTS, (1, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_cannot_be_seen_has_another_fingerprint(change, folders, tmp_path):
    folder = shutil.copytree(folders[WHOLE], tmp_path / "model")
    CHANGES[change](folder)
    check_model(str(folder))
    assert fingerprint(str(folder)) != fingerprint(str(folders[WHOLE]))


@pytest.mark.parametrize("change", NO_CHANGES)
def test_what_decides_nothing_has_the_same_fingerprint(change, folders, tmp_path):
    folder = shutil.copytree(folders[WHOLE], tmp_path / "model")
    NO_CHANGES[change](folder)
    check_model(str(folder))
    assert fingerprint(str(folder)) == fingerprint(str(folders[WHOLE]))


@pytest.mark.parametrize("change", [*CHANGES, *BYTES][:: 1 if EVERY == 1 else 3])
def test_what_a_finetuning_wrote_is_used_unchanged_or_refused(change, folders, tmp_path):
    folder = shutil.copytree(folders[WHOLE], tmp_path / "model")
    write_sums(folder, sorted(path.name for path in folder.iterdir()))
    check_model(str(folder))
    damage = CHANGES.get(change) or BYTES[change](WEIGHTS)
    damage(folder)
    for use in (check_model, lambda model: load_model(model, "float32", "cpu")):
        assert str(folder) in refusal(use, str(folder))


@pytest.mark.parametrize("text", ["", "x", "0" * 64, f"{'0' * 64}  ../x", f"{'0' * 64}  /x", "\0"])
def test_damaged_checksums(text, folders, tmp_path):
    folder = shutil.copytree(folders[WHOLE], tmp_path / "model")
    (folder / SUMS_FILE).write_text(text)
    refused = refusal(check_model, str(folder))
    assert refused
