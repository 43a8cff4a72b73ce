"""The reference: one adapter trained alone by `transformers.Trainer` with PEFT.

The benchmark times it, and the tests hold the engine of `seal.lora` to its weights.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, Trainer, TrainingArguments

from seal.lora import AdapterJob


@dataclass(frozen=True)
class TrainerResult:
    """What the Trainer made of a job; the lists have one number for each optimizer step."""

    weights: dict[str, torch.Tensor]
    losses: list[float]
    learning_rates: list[float]
    grad_norms: list[float]
    seconds: float


def train_with_trainer(
    model: PreTrainedModel, job: AdapterJob, target_modules: str | Sequence[str], log: bool = True
) -> TrainerResult:
    """Train `job` on `model`, which is left as it was; batches are padded to their longest row.

    A job with padding loss is padded to that length, with labels on the padding: the release's way.
    A bfloat16 model is trained under autocast. Without `log` the result holds weights and seconds.
    """
    config = LoraConfig(
        r=job.rank,
        lora_alpha=job.alpha,
        lora_dropout=0.0,
        target_modules=target_modules,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    if job.initial_weights is not None:
        set_peft_model_state_dict(adapted, dict(job.initial_weights))
    with tempfile.TemporaryDirectory() as folder:
        trainer = _SilentTrainer(
            model=adapted,
            args=_arguments(job, model, folder, log),
            train_dataset=[
                {"input_ids": input_ids, "labels": labels} for input_ids, labels in job.sequences
            ],
            data_collator=lambda rows: _collate(rows, job),
            # The models' own loss rounds logits to float32
            compute_loss_func=_mean_loss if model.dtype == torch.float64 else None,
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    weights = {name: w.clone() for name, w in get_peft_model_state_dict(adapted).items()}
    adapted.unload()
    log = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    return TrainerResult(
        weights=weights,
        losses=[entry["loss"] for entry in log],
        learning_rates=[entry["learning_rate"] for entry in log],
        grad_norms=[entry["grad_norm"] for entry in log],
        seconds=seconds,
    )


def _arguments(
    job: AdapterJob, model: PreTrainedModel, folder: str, log: bool
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=job.epochs,
        per_device_train_batch_size=job.batch_size,
        gradient_accumulation_steps=job.gradient_accumulation,
        learning_rate=job.learning_rate,
        lr_scheduler_type="constant_with_warmup" if job.schedule == "constant" else job.schedule,
        warmup_steps=job.warmup_steps,
        max_grad_norm=job.max_grad_norm or 0.0,
        weight_decay=0.0,
        seed=job.seed,
        data_seed=job.seed,
        bf16=model.dtype == torch.bfloat16,
        use_cpu=model.device.type == "cpu",
        logging_strategy="steps" if log else "no",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


class _SilentTrainer(Trainer):
    """A Trainer that prints nothing."""

    def log(self, logs: dict[str, float], *arguments, **options) -> None:
        """Keep the log for the result and print nothing."""
        self.state.log_history.append(dict(logs))


def _collate(rows: Sequence[dict], job: AdapterJob) -> dict[str, torch.Tensor]:
    length = max(len(row["input_ids"]) for row in rows)
    pad, label = 0, -100
    if job.padding is not None:
        length, pad, label = job.padding.length, job.padding.token_id, job.padding.token_id
    batch: dict[str, list[list[int]]] = {"input_ids": [], "labels": [], "attention_mask": []}
    for row in rows:
        real = len(row["input_ids"])
        batch["input_ids"].append([*row["input_ids"], *[pad] * (length - real)])
        batch["labels"].append([*row["labels"], *[label] * (length - real)])
        batch["attention_mask"].append([1] * real + [0] * (length - real))
    return {name: torch.tensor(values) for name, values in batch.items()}


def _mean_loss(outputs, labels: torch.Tensor, num_items_in_batch) -> torch.Tensor:
    logits, targets = outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return cross_entropy(logits, targets, reduction="sum") / num_items_in_batch
