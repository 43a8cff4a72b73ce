"""The M-step: loss on the completion alone, a merged model that has learned, and clear failures."""

import json
import math
import re

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from seal.errors import UserError
from seal.settings import ModelSettings, SftSettings
from seal.sft import SftJob, SftRow, encode_example, finetune, m_step, visible_gpus
from seal.untrained import save_untrained_model, train_tokenizer

TEXTS = ["The lamp burned whale oil.", "The tower is green and white."]
ROWS = [SftRow(f"Write about item {i}:\n", TEXTS[i % 2]) for i in range(4)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_untrained_model(tmp_path_factory.mktemp("model") / "base", TEXTS, vocab_size=300)


def job(model, **changes) -> SftJob:
    settings = {
        "model": str(model),
        "dtype": "float32",
        "trust_remote_code": False,
        "learning_rate": 1e-2,
        "schedule": "cosine",
        "epochs": 8,
        "rank": 4,
        "alpha": 8,
        "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj"],
        "batch_size": 2,
        "seed": 1,
    }
    return SftJob(**settings | changes)


def completion_loss(folder) -> float:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    losses = []
    for row in ROWS:
        example = encode_example(tokenizer, row)
        batch = {name: torch.tensor([values]) for name, values in example.items()}
        losses.append(model(**batch).loss.item())
    return sum(losses) / len(losses)


def test_labels_cover_exactly_the_completion_and_its_end():
    tokenizer = train_tokenizer(TEXTS, 300)
    for prompt in ("Write:\n", tokenizer("Write:\n")["input_ids"]):
        example = encode_example(tokenizer, SftRow(prompt, TEXTS[0]))
        labelled = [label for label in example["labels"] if label != -100]
        assert tokenizer.decode(labelled) == TEXTS[0] + tokenizer.eos_token
        assert tokenizer.decode(example["input_ids"]) == "Write:\n" + TEXTS[0] + tokenizer.eos_token
        start = example["labels"].index(labelled[0])
        assert all(label == -100 for label in example["labels"][:start])


def test_flags_reach_the_job():
    settings = SftSettings(
        sft_learning_rate=0.5,
        sft_schedule="cosine",
        sft_epochs=3,
        sft_rank=7,
        sft_alpha=9,
        sft_target_modules=["q_proj"],
        sft_batch_size=5,
    )
    expected = SftJob(
        model="policy",
        dtype="float32",
        trust_remote_code=True,
        learning_rate=0.5,
        schedule="cosine",
        epochs=3,
        rank=7,
        alpha=9,
        target_modules=["q_proj"],
        batch_size=5,
        seed=4,
    )
    of_model = ModelSettings(model="base", dtype="float32", trust_remote_code=True)
    assert m_step("policy", of_model, settings, seed=4) == expected


def test_merged_model_has_learned_and_is_not_made_twice(model, tmp_path):
    output = finetune(ROWS, job(model), tmp_path / "sft")
    assert completion_loss(output) < 0.5 * completion_loss(model)
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= {
        p.name for p in output.iterdir()
    }
    written = (output / "model.safetensors").stat().st_mtime_ns
    assert finetune(ROWS, job(model), tmp_path / "sft") == output
    assert (output / "model.safetensors").stat().st_mtime_ns == written
    # 4 rows, 2 a step, 8 epochs: the scheduler and the batch are what was asked for
    cosine = [1e-2 * (0.5 + 0.5 * math.cos(math.pi * step / 16)) for step in range(16)]
    log = (tmp_path / "sft" / "log.txt").read_text()
    rates = re.findall(r"'learning_rate': '([^']+)'", log)
    assert [float(rate) for rate in rates] == pytest.approx(cosine, rel=1e-3)
    before, after = (load_file(folder / "model.safetensors") for folder in (model, output))
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(job(model).target_modules)


def test_two_processes_share_a_batch(model, tmp_path):
    output = finetune(ROWS, job(model), tmp_path / "sft", processes=2)
    assert completion_loss(output) < 0.5 * completion_loss(model)


def test_nothing_selected_is_refused(model, tmp_path):
    with pytest.raises(UserError, match="no self-edit to finetune on"):
        finetune([], job(model), tmp_path / "sft")


def test_indivisible_batch_is_refused(model, tmp_path):
    with pytest.raises(UserError, match="does not divide among 3 processes"):
        finetune(ROWS, job(model), tmp_path / "sft", processes=3)


def test_failure_shows_the_end_of_the_log(model, tmp_path):
    with pytest.raises(UserError, match=r"status 1.*log\.txt.*no_such_proj"):
        finetune(ROWS, job(model, target_modules=["no_such_proj"]), tmp_path / "sft")
    assert not (tmp_path / "sft" / "model").exists()
    assert json.loads((tmp_path / "sft" / "rows.jsonl").read_text().splitlines()[0])["prompt"]


@pytest.mark.parametrize(
    ("given", "shown"), [(None, "0"), ("4,5", "4"), ("", ""), ("GPU-1f,GPU-2e", "GPU-1f")]
)
def test_one_process_sees_one_gpu(monkeypatch, given, shown):
    # With two in sight, Trainer would train on twice the batch that was asked for
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus(1) == {"CUDA_VISIBLE_DEVICES": shown}
    assert visible_gpus(2) == {}
