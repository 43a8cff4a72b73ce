"""Train many LoRA adapters side by side on one frozen model: SEAL's inner loop (section 3.1).

Each adapter comes out as `transformers.Trainer` with PEFT would have trained it alone, but a step
computes the next batch of every adapter at once and no padding. A queue keeps the slots busy: where
an adapter is finished, it is exported and the next job takes its slot.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from seal.errors import UserError
from seal.lora.bank import ALL_LINEAR, AdapterBank, find_targets
from seal.lora.files import write_adapter
from seal.lora.jobs import AdapterJob, AdapterResult
from seal.lora.loop import Training

OnDone = Callable[[int, AdapterResult], object]


def train_adapters(
    model: PreTrainedModel,
    jobs: Sequence[AdapterJob],
    output_dirs: Sequence[str | Path],
    target_modules: str | Sequence[str],
    slots: int,
    on_done: OnDone | None = None,
    *,
    max_tokens: int = 8192,
) -> list[AdapterResult]:
    """Train one adapter per job, `slots` at a time, and export each as a PEFT folder.

    `model`: a causal language model that uses transformers' attention interface (Qwen2, Qwen3,
    Llama ...); adapted in place, it is afterwards as it was, also after an error. `target_modules`:
    endings of layer names, or "all-linear". Jobs enter slots in their order; `on_done(index,
    result)` is called when job `index` is exported, in an order that depends on the jobs alone. A
    step is computed in parts of at most `max_tokens` tokens (7B: about 5 MiB each).

    Returns the results in the order of `jobs`. Raises UserError for a model or target that cannot
    be adapted and an output folder that is not empty, ValueError for jobs that do not fit together.
    """
    if len(jobs) != len(output_dirs) or len(set(output_dirs)) != len(output_dirs):
        raise ValueError(f"{len(jobs)} jobs need output_dirs of their own, one each")
    if slots < 1 or max_tokens < 1:
        raise ValueError(f"slots and max_tokens must be at least 1, not {slots} and {max_tokens}")
    output_dirs = [Path(folder) for folder in output_dirs]
    for folder in output_dirs:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"adapter folder {folder} is not empty; remove it or choose another")
    _check_model(model)
    names = find_targets(model, target_modules)
    if not jobs:
        return []
    bank = AdapterBank(
        model,
        names,
        slots=min(slots, len(jobs)),
        rank=max(job.rank for job in jobs),
        # PEFT keeps adapters of half-precision models in float32
        dtype=torch.promote_types(model.get_submodule(names[0]).weight.dtype, torch.float32),
    )
    for number, job in enumerate(jobs):
        if job.initial_adapter is not None:
            bank.check(job.initial_adapter, f"initial weights of job {number}", whole=True)
    earlier = None
    named = {f"earlier adapter of job {n}": job.earlier for n, job in enumerate(jobs)}
    given = {name: adapter for name, adapter in named.items() if adapter is not None}
    if given:
        earlier = AdapterBank.for_adapters(model, given, slots=bank.slots)
    results: dict[int, AdapterResult] = {}
    with _frozen(model), ExitStack() as attached, torch.enable_grad():
        for each in (earlier, bank):
            if each is not None:
                attached.enter_context(each.attached())
        training = Training(model, bank, jobs, max_tokens, earlier)
        for slot, progress, losses, grad_norms in training.run():
            index, job, steps = progress.index, progress.job, len(progress.batches)
            write_adapter(
                output_dirs[index],
                bank.export(slot, job.rank),
                rank=job.rank,
                alpha=job.alpha,
                target_modules=_suffixes(names, target_modules),
                base_model=model.name_or_path,
            )
            results[index] = AdapterResult(
                losses=losses,
                learning_rates=[job.learning_rate_at(step, steps) for step in range(steps)],
                grad_norms=grad_norms,
                steps=steps,
                tokens=job.tokens,
                seconds=time.perf_counter() - progress.started,
                output_dir=output_dirs[index],
            )
            if on_done is not None:
                on_done(index, results[index])
    return [results[index] for index in range(len(jobs))]


def _check_model(model: PreTrainedModel) -> None:
    config = model.get_decoder().config
    dropout = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    if max([*dropout, getattr(config, "attention_dropout", 0.0)], default=0.0) > 0:
        raise UserError(f"{type(model).__name__} has dropout; set it to 0 in config.json")
    for option in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(config, option, None) is not None:
            raise UserError(
                f"{type(model).__name__} uses {option}: such models are not trained here"
            )


def _suffixes(names: Sequence[str], target_modules: str | Sequence[str]) -> list[str]:
    """Target modules for an adapter's config; "all-linear" is spelt out, as vLLM wants it."""
    given = [target_modules] if isinstance(target_modules, str) else list(target_modules)
    return sorted({name.rpartition(".")[2] for name in names}) if given == [ALL_LINEAR] else given


@contextmanager
def _frozen(model: PreTrainedModel) -> Iterator[None]:
    """No weight of `model` gets a gradient: a frozen base needs half of a backward pass only."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
