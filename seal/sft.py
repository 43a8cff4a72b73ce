"""Supervised finetuning on prompt -> completion rows, merged into a model folder (the M-step).

`finetune` runs this module as a program of its own, so that the GPU is empty again afterwards and
`accelerate launch` can spread it over several GPUs:

    python -m seal.sft FOLDER     FOLDER/job.json and FOLDER/rows.jsonl in, FOLDER/model out
"""

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from seal.errors import UserError
from seal.records import read_json, read_jsonl, write_json, write_jsonl
from seal.settings import ModelSettings, Schedule, SftSettings
from seal.supervisor import supervised


@dataclass(frozen=True)
class SftRow:
    """One example. `prompt`: token ids, or a text for the tokenizer's defaults; no loss on it."""

    prompt: str | list[int]
    completion: str


@dataclass(frozen=True)
class SftJob:
    """What to finetune and how; the paper's figures are the defaults of `SftSettings`."""

    model: str
    dtype: str
    trust_remote_code: bool
    learning_rate: float
    schedule: Schedule
    epochs: int
    rank: int
    alpha: float
    target_modules: list[str]
    batch_size: int
    """Sequences per optimizer step over all processes; each process takes one at a time."""
    seed: int


def m_step(model: str, model_settings: ModelSettings, settings: SftSettings, seed: int) -> SftJob:
    """The M-step's finetune of `model` as the flags ask for it."""
    return SftJob(
        model=model,
        dtype=model_settings.dtype,
        trust_remote_code=model_settings.trust_remote_code,
        learning_rate=settings.sft_learning_rate,
        schedule=settings.sft_schedule,
        epochs=settings.sft_epochs,
        rank=settings.sft_rank,
        alpha=settings.sft_alpha,
        target_modules=settings.sft_target_modules,
        batch_size=settings.sft_batch_size,
        seed=seed,
    )


def finetune(rows: list[SftRow], job: SftJob, folder: Path, processes: int = 1) -> Path:
    """Finetune `job.model` on `rows` and return `folder`/model, a standalone model folder.

    A folder that is complete is returned as it is, a partial one is made anew. With more than one
    process, `accelerate launch` starts them. Output goes to `folder`/log.txt.

    Raises UserError if there are no rows, if `batch_size` does not divide among the processes, or
    with the log's tail if the finetuning failed.
    """
    output = folder / "model"
    if output.exists():
        return output
    if not rows:
        raise UserError(
            f"{folder}: no self-edit to finetune on (none was graded, or all were blank); see"
            " rewards.jsonl beside it"
        )
    if job.batch_size % processes:
        raise UserError(
            f"a batch of {job.batch_size} does not divide among {processes} processes; choose"
            " --sft_processes that divides --sft_batch_size"
        )
    write_json(folder / "job.json", asdict(job))
    write_jsonl(folder / "rows.jsonl", (asdict(row) for row in rows))
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "accelerate.commands.launch", "--num_processes", str(processes)]
        launcher += ["--mixed_precision", "bf16" if job.dtype == "bfloat16" else "no"]
        launcher += ["--multi_gpu"] if _gpus() >= processes else ["--cpu"]
    command = [*launcher, "-m", "seal.sft", str(folder)]
    log = folder / "log.txt"
    with log.open("a") as file:
        print(f"$ {shlex.join(command)}", file=file, flush=True)
        status = _run(command, file, visible_gpus(processes))
    if status != 0 or not output.exists():
        tail = " | ".join(log.read_text(errors="replace").splitlines()[-5:])
        raise UserError(f"finetuning failed with status {status}, see {log}: {tail}")
    return output


def visible_gpus(processes: int) -> dict[str, str]:
    """Environment variables that show a single process a single GPU.

    Trainer would spread one process over all GPUs it sees, and multiply the batch by their number.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    return {"CUDA_VISIBLE_DEVICES": visible.split(",")[0]} if processes == 1 else {}


def _run(command: list[str], log: IO[str], environment: dict[str, str]) -> int:
    """Run a command that ends with this process, however that ends; returns its exit status."""
    # A finetuning left behind by a killed run would write into the folder of the resumed one
    process = subprocess.Popen(
        supervised(command),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | environment,
        start_new_session=True,
    )
    try:
        return process.wait()
    finally:
        process.terminate()
        process.wait()


def train(folder: Path) -> None:
    """The child process: train on FOLDER/rows.jsonl, merge, and write FOLDER/model atomically."""
    import torch
    from accelerate import PartialState
    from peft import LoraConfig, get_peft_model
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments, set_seed

    from seal.models import load_model, load_tokenizer

    job = SftJob(**read_json(folder / "job.json"))
    set_seed(job.seed)
    tokenizer = load_tokenizer(job.model, job.trust_remote_code)
    examples = [
        encode_example(tokenizer, SftRow(**row)) for row in read_jsonl(folder / "rows.jsonl")
    ]
    # Trainer moves the model to its own process's device
    base = load_model(job.model, job.dtype, "cpu", job.trust_remote_code)
    model = get_peft_model(
        base,
        LoraConfig(
            r=job.rank,
            lora_alpha=job.alpha,
            lora_dropout=0.0,
            target_modules=job.target_modules,
            task_type="CAUSAL_LM",
        ),
    )
    state = PartialState()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder / "trainer"),
            per_device_train_batch_size=1,
            gradient_accumulation_steps=job.batch_size // state.num_processes,
            num_train_epochs=job.epochs,
            learning_rate=job.learning_rate,
            lr_scheduler_type=job.schedule,
            bf16=job.dtype == "bfloat16",
            use_cpu=not torch.cuda.is_available(),
            seed=job.seed,
            save_strategy="no",
            logging_steps=1,
            report_to=[],
            remove_unused_columns=False,
            disable_tqdm=not state.is_main_process,
        ),
        train_dataset=examples,
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100),
    )
    trainer.train()
    if state.is_main_process:
        merged = model.merge_and_unload()
        partial = folder / ".model.tmp"
        shutil.rmtree(partial, ignore_errors=True)
        merged.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(folder / "model")
    shutil.rmtree(folder / "trainer", ignore_errors=True)


def encode_example(tokenizer: Any, row: SftRow) -> dict[str, list[int]]:
    """Token ids of prompt, completion and one end-of-text token; labels are -100 on the prompt.

    Prompt and completion are tokenized apart, as at sampling time, so no token spans their border.
    """
    prompt = row.prompt
    if isinstance(prompt, str):
        prompt = tokenizer(prompt)["input_ids"]
    completion = tokenizer(row.completion, add_special_tokens=False)["input_ids"]
    completion = [*completion, tokenizer.eos_token_id]
    input_ids = [*prompt, *completion]
    return {
        "input_ids": input_ids,
        "attention_mask": [1] * len(input_ids),
        "labels": [-100] * len(prompt) + completion,
    }


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


if __name__ == "__main__":
    # The tokenizer has done its work before training forks data loaders
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    train(Path(sys.argv[1]))
