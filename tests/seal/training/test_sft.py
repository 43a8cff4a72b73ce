"""The M-step: loss on the completion alone, a merged model that has learned, and clear failures."""

import fcntl
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load_file
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer

from seal.errors import UserError
from seal.models.untrained import save_untrained_model, train_tokenizer
from seal.records import write_json, write_jsonl
from seal.settings import ModelSettings, SftSettings
from seal.training.sft import (
    SftJob,
    SftRow,
    _run_child,
    check_processes,
    encode_example,
    finetune,
    imitation,
    launcher,
    train,
    visible_gpus,
)

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


def completion_loss(folder, rows=ROWS) -> float:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    losses = []
    for row in rows:
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


@pytest.mark.parametrize("add_start", [False, True])
def test_an_empty_prompt_begins_a_document(add_start):
    tokenizer = train_tokenizer(TEXTS, 300)
    if add_start:  # as Llama's tokenizer does
        end = (tokenizer.eos_token, tokenizer.eos_token_id)
        tokenizer._tokenizer.post_processor = TemplateProcessing(
            single=f"{end[0]} $A", special_tokens=[end]
        )
    example = encode_example(tokenizer, SftRow("", TEXTS[0]))
    assert example["input_ids"] == [*tokenizer(TEXTS[0])["input_ids"], tokenizer.eos_token_id]
    assert len(example["labels"]) == len(example["input_ids"])
    assert tokenizer.decode([label for label in example["labels"] if label != -100]) == (
        TEXTS[0] + tokenizer.eos_token
    )


def test_a_long_example_loses_its_end():
    tokenizer = train_tokenizer(TEXTS, 300)
    whole = encode_example(tokenizer, SftRow("Write:\n", TEXTS[0]))
    for length in (2, len(whole["labels"]) - 1, len(whole["labels"]), 2048):
        cut = encode_example(tokenizer, SftRow("Write:\n", TEXTS[0]), max_length=length)
        assert cut == {name: values[:length] for name, values in whole.items()}


def test_imitation_finetunes_the_policy_that_it_is_given_as_the_flags_say(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("seal.training.sft.finetune", lambda *given: asked.append(given))
    settings = SftSettings(
        sft_learning_rate=0.5,
        sft_schedule="cosine",
        sft_epochs=3,
        sft_rank=7,
        sft_alpha=9,
        sft_target_modules=["q_proj"],
        sft_batch_size=5,
        sft_processes=3,
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
    imitation(of_model, settings)("policy", ROWS, tmp_path, 4)
    assert asked == [(ROWS, expected, tmp_path, 3)]


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
    rows = weighted(0.5, 1, 2, 1)
    output = finetune(rows, job(model), tmp_path / "sft", processes=2)
    assert "process 2 of 2 on cpu" in (tmp_path / "sft" / "log.txt").read_text()
    assert completion_loss(output) < 0.5 * completion_loss(model)
    assert_equal(output, train_here(rows, job(model), tmp_path / "one"))


# Weights of rows


def weighted(*weights: float) -> list[SftRow]:
    return [replace(row, weight=weight) for row, weight in zip(ROWS, weights, strict=False)]


def train_here(rows, sft_job, folder):
    """What `finetune` does in a process of its own; the model folder."""
    write_json(folder / "job.json", asdict(sft_job))
    write_jsonl(folder / "rows.jsonl", map(asdict, rows))
    train(folder)
    return folder / "model"


def assert_equal(*folders):
    one, other = (load_file(folder / "model.safetensors") for folder in folders)
    assert max((one[name] - other[name]).abs().max() for name in one) < 1e-5


# Examples of unlike lengths, so that a mean over tokens is not a mean of the examples' means
@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_equal_weights_are_no_weights(model, tmp_path, at_once):
    rows = [replace(row, completion=row.completion * (1 + i)) for i, row in enumerate(ROWS)]
    plain = train_here(rows, job(model, batch_size=4, epochs=3), tmp_path / "plain")
    tripled = [replace(row, weight=3.0) for row in rows]
    many = job(model, batch_size=4, epochs=3, at_once=at_once)
    assert_equal(plain, train_here(tripled, many, tmp_path / "tripled"))


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_row_of_weight_0_changes_nothing(model, tmp_path, at_once):
    three = job(model, batch_size=3, epochs=3, at_once=at_once)
    without = train_here(ROWS[:2], job(model, batch_size=2, epochs=3), tmp_path / "without")
    assert_equal(without, train_here(weighted(1, 1, 0), three, tmp_path / "with"))


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_row_of_weight_2_is_the_row_twice(model, tmp_path, at_once):
    twice = train_here([ROWS[0], *ROWS[:2]], job(model, batch_size=3, epochs=3), tmp_path / "twice")
    two = job(model, batch_size=2, epochs=3, at_once=at_once)
    assert_equal(twice, train_here(weighted(2, 1), two, tmp_path / "weight"))


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_negative_weight_makes_a_completion_less_likely(model, tmp_path, at_once):
    settings = {"batch_size": 2, "epochs": 3, "at_once": at_once}
    output = train_here(weighted(1, -1), job(model, **settings), tmp_path / "sft")
    assert completion_loss(output, ROWS[:1]) < completion_loss(model, ROWS[:1])
    assert completion_loss(output, ROWS[1:2]) > completion_loss(model, ROWS[1:2])


def test_rows_without_any_weight_train_nothing(model, tmp_path):
    assert_equal(model, train_here(weighted(0, 0, 0, 0), job(model), tmp_path / "sft"))


def test_a_row_that_was_written_without_weight_has_weight_1():
    assert SftRow(**{"prompt": "a", "completion": "b"}).weight == 1


FULL = {"rank": None, "learning_rate": 1e-3, "schedule": "linear", "warmup_ratio": 0.25}


@pytest.fixture(scope="module")
def fully_finetuned(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    changes = {"epochs": 4, "batch_size": 4, "at_once": 2, "max_length": 30}
    return finetune(ROWS, job(model, **FULL, **changes), folder)


def test_full_finetuning_trains_every_weight(model, fully_finetuned):
    assert completion_loss(fully_finetuned) < completion_loss(model)
    before, after = (load_file(f / "model.safetensors") for f in (model, fully_finetuned))
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[name], after[name]) for name in before)
    # One step an epoch, the first a quarter of all: up from 0, then down
    log = (fully_finetuned.parent / "log.txt").read_text()
    rates = [float(rate) for rate in re.findall(r"'learning_rate': '([^']+)'", log)]
    assert rates == pytest.approx([0, 1e-3, 1e-3 * 2 / 3, 1e-3 / 3], rel=1e-3)


def test_two_processes_finetune_as_one_does(model, fully_finetuned, tmp_path):
    changes = {"epochs": 4, "batch_size": 4, "at_once": 4, "max_length": 30}
    output = finetune(ROWS, job(model, **FULL, **changes), tmp_path / "full", processes=2)
    log = (tmp_path / "full" / "log.txt").read_text()
    assert all(f"process {n} of 2 on cpu: 2 sequences at a time, 2 a step" in log for n in (1, 2))
    one, two = (load_file(folder / "model.safetensors") for folder in (fully_finetuned, output))
    for name, weight in one.items():
        assert (weight - two[name]).abs().max() < 1e-5, name


def test_weights_are_saved_in_the_precision_asked_for(model, tmp_path):
    changes = {"epochs": 1, "batch_size": 4, "at_once": 4, "dtype": "bfloat16"}
    output = finetune(ROWS, job(model, **FULL, **changes), tmp_path / "full")
    assert {w.dtype for w in load_file(output / "model.safetensors").values()} == {torch.bfloat16}
    assert AutoModelForCausalLM.from_pretrained(output).dtype == torch.bfloat16


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


@pytest.mark.parametrize("rank", [4, None])
def test_a_finetuning_that_diverged_is_one_line_and_leaves_no_model(model, tmp_path, rank):
    diverging = job(model, learning_rate=1e38, schedule="constant", rank=rank)
    with pytest.raises(UserError) as refused:
        finetune(ROWS, diverging, tmp_path / "sft")
    line = str(refused.value)
    assert line.startswith(f"{tmp_path / 'sft'} diverged (lower the learning rate")
    assert "holds NaN or infinity" in line and "\n" not in line
    assert not (tmp_path / "sft/model").exists()


@pytest.mark.parametrize("change", ["gone", "cut", "zeroed", "another"])
def test_a_finetuned_model_that_was_damaged_is_refused(fully_finetuned, model, tmp_path, change):
    output = shutil.copytree(fully_finetuned, tmp_path / "sft/model")
    assert finetune(ROWS, job(model), tmp_path / "sft") == output
    path = output / "model.safetensors"
    data = path.read_bytes()
    half = len(data) // 2
    path.unlink()
    if change == "another":
        shutil.copy(model / "model.safetensors", path)
    elif change != "gone":
        path.write_bytes(data[:half] + (bytes(len(data) - half) if change == "zeroed" else b""))
    with pytest.raises(UserError, match=f"^{path} .*; delete {output} to finetune again$"):
        finetune(ROWS, job(model), tmp_path / "sft")


def test_a_finetuning_of_a_killed_start_is_waited_for_or_named(model, tmp_path, monkeypatch):
    folder = tmp_path / "sft"
    folder.mkdir()
    holding = "import fcntl, signal, sys; lock = open(sys.argv[1], 'w');"
    holding += "fcntl.flock(lock, fcntl.LOCK_SH); print(flush=True); signal.pause()"
    command = [sys.executable, "-c", holding, folder / "lock"]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    with other.stdout as output:
        output.readline()
    monkeypatch.setattr("seal.training.sft.GRACE_SECONDS", 0.1)
    with pytest.raises(UserError, match=f"^{folder}: a finetuning of an earlier start still runs"):
        finetune(ROWS, job(model), folder)
    assert [path.name for path in folder.iterdir()] == ["lock"]
    # It ends while another start waits, which then finds no self-edits: a sign that it went on
    monkeypatch.setattr("seal.training.sft.time.sleep", lambda _: (other.kill(), other.wait()))
    monkeypatch.setattr("seal.training.sft.GRACE_SECONDS", 60)
    with pytest.raises(UserError, match="no self-edit to finetune on"):
        finetune([], job(model), folder)


def test_a_child_holds_the_lock_for_as_long_as_it_trains(model, tmp_path, monkeypatch):
    def train(folder):
        with (folder / "lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setattr("seal.training.sft.train", train)
    _run_child(tmp_path)
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_that_is_a_link_is_not_followed(model, tmp_path):
    (tmp_path / "thesis").write_text("years of work")
    (tmp_path / "lock").symlink_to(tmp_path / "thesis")
    with pytest.raises(OSError, match="symbolic links"):
        finetune(ROWS, job(model), tmp_path)
    assert (tmp_path / "thesis").read_text() == "years of work"


def test_a_config_says_how_gpus_share_a_model(model, monkeypatch, tmp_path):
    monkeypatch.setattr("seal.training.sft._gpus", lambda: 4)
    config = tmp_path / "fsdp.yaml"
    shared = launcher(job(model, dtype="bfloat16"), 4, config)
    assert shared[0] == sys.executable and shared[-2:] == ["--config_file", str(config)]
    assert "bf16" in shared and "--multi_gpu" not in shared
    alone = launcher(job(model), 2)
    assert alone[-1] == "--multi_gpu" and "bf16" not in alone
    assert launcher(job(model), 1, config) == [sys.executable]
    # Without any, the CPU; sharing is for GPUs
    monkeypatch.setattr("seal.training.sft._gpus", lambda: 0)
    assert launcher(job(model), 5, config)[-1] == "--multi_gpu"


def test_processes_share_a_batch_and_have_a_gpu_each(monkeypatch):
    monkeypatch.setattr("seal.training.sft._gpus", lambda: 4)
    check_processes(12, 4)
    with pytest.raises(UserError, match="5 processes need a GPU each, and 4 are visible"):
        check_processes(10, 5)
    with pytest.raises(UserError, match="a batch of 10 does not divide among 4 processes"):
        check_processes(10, 4)
    monkeypatch.setattr("seal.training.sft._gpus", lambda: 0)
    check_processes(10, 5)


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
