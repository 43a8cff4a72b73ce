"""The inner loops that benchmarks train: the release's own self-edits, the paper's settings."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from transformers import PreTrainedTokenizerBase

from knowledge.method.training_texts import training_sequences, training_texts
from seal.errors import UserError
from seal.lora import AdapterJob, PaddingLoss

TARGETS = ["q_proj", "v_proj"]
SELF_EDITS = "seal-release/general-knowledge/data/synthetic_data/eval/base_val.json"


def read_self_edits(data: Path, count: int) -> list[list[str]]:
    """The training texts of the first self-edit of `count` passages of the release.

    Raises UserError if the file is absent or has fewer.
    """
    path = data / SELF_EDITS
    if not path.exists():
        raise UserError(f"{path} is absent; set --data to a folder with the SEAL release's data")
    records = json.loads(path.read_text())
    if count > len(records):
        raise UserError(f"--adapters {count}: {path} has {len(records)} self-edits")
    return [
        training_texts(record["title"], record["context"], record["completions"][0])
        for record in records[:count]
    ]


def make_job(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, seed: int) -> AdapterJob:
    """The inner loop of the paper's single-passage experiment (section 4.1) on `texts`."""
    return AdapterJob(
        sequences=training_sequences(texts, tokenizer),
        learning_rate=1e-3,
        epochs=10,
        batch_size=1,
        gradient_accumulation=1,
        schedule="linear",
        warmup_steps=0,
        max_grad_norm=1.0,
        rank=32,
        alpha=64,
        seed=seed,
    )


def with_padding(
    job: AdapterJob, tokenizer: PreTrainedTokenizerBase, mode: Literal["max", "sampled"]
) -> AdapterJob:
    """The job as the release poses it: no end-of-text token but padding, which is learned."""
    texts = [(ids[:-1], labels[:-1]) for ids, labels in job.sequences]
    return replace(job, sequences=texts, padding=PaddingLoss(mode, tokenizer.pad_token_id))
