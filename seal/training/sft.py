"""Finetune on prompt -> completion rows into a model folder: M-step, continued pretraining.

Trains a LoRA adapter, which is then merged, or every weight. `finetune` runs this module as a
program of its own, so that the GPU is empty afterwards and `accelerate launch` can use several:

    python -m seal.training.sft FOLDER   FOLDER/job.json and FOLDER/rows.jsonl in, FOLDER/model out
"""

import fcntl
import math
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from seal.checksums import check_sums, write_sums
from seal.errors import UserError
from seal.records import read_json, read_jsonl, write_json, write_jsonl
from seal.settings import ModelSettings, Schedule, SftSettings
from seal.supervisor import GRACE_SECONDS, start

_POLL_SECONDS = 0.1
_REFUSED = "refused: "
"""Begins a line of the log that is for the user."""
_DIVERGED = "diverged (lower the learning rate of the finetuning)"


@dataclass(frozen=True)
class SftRow:
    """One example. `prompt`: token ids, or a text for the tokenizer's defaults; no loss on it.

    An empty text means no prompt: the completion begins as a document does.
    """

    prompt: str | list[int]
    completion: str
    weight: float = 1.0
    """Its share in the loss of its optimizer step, negative to make the completion less likely:
    `seal.training.weighted` has the formula."""


Update = Callable[[str, Sequence[SftRow], Path, int], Path]
"""update(policy name, rows, folder, seed): train the policy on rows; the new one is folder/model.

What `seal.loop.rest_em` is given as its M-step. A folder/model that is there stays as it is.
"""


@dataclass(frozen=True)
class SftJob:
    """What to finetune and how; `SftSettings` holds the paper's numbers for the M-step."""

    model: str
    dtype: str
    trust_remote_code: bool
    learning_rate: float
    schedule: Schedule
    epochs: int
    rank: int | None
    """None trains every weight, in float32, and ignores `alpha` and `target_modules`."""
    alpha: float
    target_modules: list[str]
    batch_size: int
    """Sequences per optimizer step over all processes."""
    seed: int
    at_once: int = 1
    """Sequences that a process computes at a time, at most; more of them change sums' rounding."""
    warmup_ratio: float = 0.0
    """Share of the steps in which the learning rate rises from 0."""
    max_length: int | None = None
    """Tokens after which an example is cut."""


def imitation(model: ModelSettings, settings: SftSettings) -> Update:
    """ReST-EM's update (paper, section 3.1): imitate the rewarded self-edits, all of one weight."""
    # The flag of SftJob's `rank` is --sft_rank, and so on
    flags = [flag.name for flag in fields(SftSettings) if flag.name != "sft_processes"]
    of_flags = {name.removeprefix("sft_"): getattr(settings, name) for name in flags}
    of_model = {"dtype": model.dtype, "trust_remote_code": model.trust_remote_code}

    def update(policy_name: str, rows: Sequence[SftRow], folder: Path, seed: int) -> Path:
        job = SftJob(model=policy_name, seed=seed, **of_model, **of_flags)
        return finetune(rows, job, folder, settings.sft_processes)

    return update


def finetune(
    rows: Sequence[SftRow],
    job: SftJob,
    folder: Path,
    processes: int = 1,
    accelerate_config: Path | None = None,
) -> Path:
    """Finetune `job.model` on `rows` and return `folder`/model, a standalone model folder.

    A complete folder is checked and returned, a partial one is made again. With more than one
    process, `accelerate launch` starts them, on a GPU each or on the CPU where there is no GPU.
    Each holds the whole model, unless `accelerate_config` says how GPUs share it. Output goes to
    `folder`/log.txt. Where `at_once` sequences of every process do not divide the rows, some of the
    first are seen again at an epoch's end, so that all processes get the same number.

    Raises UserError if there are no rows, if an earlier finetuning still runs in the folder, as
    `check_processes` does, and if the finetuning failed: its own UserError, or the log's tail.
    """
    output = folder / "model"
    if not output.exists():
        _outlast_others(folder)  # it may be there afterwards
    if output.exists():
        check_sums(output, f"delete {output} to finetune again")
        return output
    if not rows:
        raise UserError(
            f"{folder}: no self-edit to finetune on (none was graded, or all were blank); see"
            " rewards.jsonl beside it"
        )
    check_processes(job.batch_size, processes)
    write_json(folder / "job.json", asdict(job))
    write_jsonl(folder / "rows.jsonl", (asdict(row) for row in rows))
    command = [*launcher(job, processes, accelerate_config), "-m", "seal.training.sft", str(folder)]
    log = folder / "log.txt"
    with log.open("a") as file:
        print(f"$ {shlex.join(command)}", file=file, flush=True)
        status = _run(command, file, visible_gpus(processes))
    if status != 0 or not output.exists():
        lines = log.read_text(errors="replace").splitlines()
        start_of_this = max(i for i, line in enumerate(lines) if line.startswith("$ "))
        for line in lines[start_of_this:]:
            if line.startswith(_REFUSED):
                raise UserError(line.removeprefix(_REFUSED))
        tail = " | ".join(lines[-5:])
        raise UserError(f"finetuning failed with status {status}, see {log}: {tail}")
    return output


def _run(command: list[str], log: IO[str], environment: dict[str, str]) -> int:
    """Run a command that ends with this process, however that ends; returns its exit status."""
    # The package that runs, whatever the child's Python would find first
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    process = start(command, log, {**os.environ, **environment, **own})
    try:
        return process.wait()
    finally:  # left behind by a killed run, it would write into the resumed one's folder
        process.terminate()
        process.wait()


def _outlast_others(folder: Path) -> None:
    """Wait until no process of a killed start trains in the folder; UserError if one goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 3 * GRACE_SECONDS
    while True:
        with _open_lock(folder) as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() > deadline:
            raise UserError(
                f"{folder}: a finetuning of an earlier start still runs there; end it first"
                f" (pgrep -f 'seal.training.sft {folder}' finds it)"
            )
        time.sleep(_POLL_SECONDS)


def _open_lock(folder: Path) -> IO[bytes]:
    """FOLDER/lock, on which every training process has a shared lock."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW  # a link could point at a file of the user's
    return os.fdopen(os.open(folder / "lock", flags, 0o644), "rb")


def check_processes(batch_size: int, processes: int) -> None:
    """Raise UserError if so many processes cannot share a batch, or there are too few GPUs."""
    if batch_size % processes:
        raise UserError(
            f"a batch of {batch_size} does not divide among {processes} processes; choose a number"
            " that divides it"
        )
    if 0 < (gpus := _gpus()) < processes:
        raise UserError(
            f"{processes} processes need a GPU each, and {gpus} are visible; ask for no more"
        )


def launcher(job: SftJob, processes: int, accelerate_config: Path | None = None) -> list[str]:
    """The beginning of the command line that starts `processes` processes of a module."""
    if processes == 1:
        return [sys.executable]
    # What starts a process per GPU starts them without GPUs too, whereas --cpu starts a single one
    spread = ["--config_file", str(accelerate_config)] if accelerate_config and _gpus() else []
    return [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--num_processes", str(processes), "--num_machines", "1"),
        *("--main_process_port", "0"),  # a free one: two finetunes of one machine do not meet
        *("--mixed_precision", "bf16" if job.dtype == "bfloat16" else "no"),
        *(spread or ["--multi_gpu"]),
    ]


def visible_gpus(processes: int) -> dict[str, str]:
    """Environment variables that show a single process a single GPU."""
    # Trainer would spread a process over all that it sees, and multiply the batch by their number
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    return {"CUDA_VISIBLE_DEVICES": visible.split(",")[0]} if processes == 1 else {}


def train(folder: Path) -> None:
    """The child process: train on FOLDER/rows.jsonl and write FOLDER/model atomically."""
    import torch
    from accelerate import PartialState
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments, set_seed

    from seal.models.load import check_finite, load_model, load_tokenizer
    from seal.training.weighted import WeightedTrainer

    job = SftJob(**read_json(folder / "job.json"))
    set_seed(job.seed)
    tokenizer = load_tokenizer(job.model, job.trust_remote_code)
    rows = [SftRow(**row) for row in read_jsonl(folder / "rows.jsonl")]
    on_cpu = not torch.cuda.is_available()
    state = PartialState(cpu=on_cpu)
    of_process = job.batch_size // state.num_processes
    at_once = math.gcd(job.at_once, of_process)
    print(
        f"process {state.process_index + 1} of {state.num_processes} on {state.device.type}:"
        f" {at_once} sequences at a time, {of_process} a step"
    )
    examples = [encode_example(tokenizer, row, job.max_length) for row in rows]
    weighted = any(row.weight != 1 for row in rows)
    if weighted:
        for example, row in zip(examples, rows, strict=True):
            example["weight"] = row.weight
    trainer = (WeightedTrainer if weighted else Trainer)(
        model=_trainable(job),
        args=TrainingArguments(
            output_dir=str(folder / "trainer"),
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=of_process // at_once,
            num_train_epochs=job.epochs,
            learning_rate=job.learning_rate,
            lr_scheduler_type=job.schedule,
            warmup_steps=job.warmup_ratio,
            bf16=job.dtype == "bfloat16",
            use_cpu=on_cpu,
            ddp_find_unused_parameters=False,
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
    # Of all processes: where they share one model, each holds a part of every weight
    weights = None if job.rank else trainer.accelerator.get_state_dict(trainer.model)
    if state.is_main_process:
        if weights is None:
            trained = trainer.model.merge_and_unload()
        else:
            trained = load_model(job.model, job.dtype, "cpu", job.trust_remote_code)
            trained.load_state_dict(weights)
        check_finite(trained.named_parameters(), f"{folder} {_DIVERGED}")
        partial = folder / ".model.tmp"
        shutil.rmtree(partial, ignore_errors=True)
        trained.save_pretrained(partial, max_shard_size="5GB")  # so that threads share the work
        tokenizer.save_pretrained(partial)
        write_sums(partial, sorted(path.name for path in partial.iterdir()))
        partial.rename(folder / "model")
    shutil.rmtree(folder / "trainer", ignore_errors=True)


def _trainable(job: SftJob) -> Any:
    """The model with the weights to train; on the CPU, from where Trainer moves it."""
    from peft import LoraConfig, get_peft_model

    from seal.models.load import load_model

    # Half precision would round away most of a step of a full finetune; Trainer computes in it
    dtype = job.dtype if job.rank else "float32"
    model = load_model(job.model, dtype, "cpu", job.trust_remote_code)
    if job.rank is None:
        return model.requires_grad_(True)
    lora = LoraConfig(
        r=job.rank,
        lora_alpha=job.alpha,
        lora_dropout=0.0,
        target_modules=job.target_modules,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, lora)


def encode_example(
    tokenizer: Any, row: SftRow, max_length: int | None = None
) -> dict[str, list[int]]:
    """Token ids of prompt, completion and one end-of-text token; labels are -100 on the prompt.

    Prompt and completion are tokenized apart, as at sampling time, so no token spans their border.
    What is beyond `max_length` tokens is cut off, and the end of text with it.
    """
    prompt = row.prompt
    if isinstance(prompt, str):
        prompt = tokenizer(prompt)["input_ids"]
    completion = tokenizer(row.completion, add_special_tokens=False)["input_ids"]
    completion = [*completion, tokenizer.eos_token_id]
    input_ids = [*prompt, *completion][:max_length]
    labels = [*([-100] * len(prompt)), *completion][:max_length]
    return {"input_ids": input_ids, "attention_mask": [1] * len(input_ids), "labels": labels}


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _run_child(folder: Path) -> None:
    try:
        with _open_lock(folder) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            train(folder)
    except UserError as error:  # the parent finds it in the log
        print(f"{_REFUSED}{error}", flush=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    # The tokenizer has done its work before training forks data loaders
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _run_child(Path(sys.argv[1]))
