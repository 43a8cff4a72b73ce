"""Train many LoRA adapters side by side on one frozen model: SEAL's inner loop (section 3.1).

Each adapter comes out as `transformers.Trainer` with PEFT would have trained it alone, but a step
computes the next batch of every adapter at once and no padding. A queue keeps the slots busy: where
an adapter is finished, it is exported and the next job takes its slot.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from seal.errors import UserError
from seal.lora.attention import segment_attention
from seal.lora.bank import ALL_LINEAR, AdapterBank, find_targets
from seal.lora.files import AdapterFolder, write_adapter
from seal.lora.jobs import AdapterJob, AdapterResult
from seal.lora.packing import PackedBatch, PackedSequence, pack_batches, pack_sequence
from seal.seeds import derive_seed

# Logits in flight at a time. A GPU wants large products; on a CPU a slice should stay in its cache
_LOGITS = {"cuda": 2**26, "cpu": 2**20}


def train_adapters(
    model: PreTrainedModel,
    jobs: Sequence[AdapterJob],
    output_dirs: Sequence[str | Path],
    target_modules: str | Sequence[str],
    slots: int,
    on_done: Callable[[int, AdapterResult], object] | None = None,
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
    folders = [Path(folder) for folder in output_dirs]
    for folder in folders:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"adapter folder {folder} is not empty; remove it or choose another")
    _check_model(model)
    names = find_targets(model, target_modules)
    endings = [target_modules] if isinstance(target_modules, str) else list(target_modules)
    if endings == [ALL_LINEAR]:  # spelt out in an adapter's config, as vLLM wants it
        endings = sorted({name.rpartition(".")[2] for name in names})
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
    named = {f"earlier adapter of job {n}": job.earlier for n, job in enumerate(jobs)}
    given = {name: adapter for name, adapter in named.items() if adapter is not None}
    earlier = AdapterBank.for_adapters(model, given, slots=bank.slots) if given else None
    results: dict[int, AdapterResult] = {}
    with _frozen(model), ExitStack() as attached, torch.enable_grad():
        for each in filter(None, (earlier, bank)):
            attached.enter_context(each.attached())
        training = Training(model, bank, jobs, max_tokens, earlier)
        for slot, progress, losses, grad_norms in training.run():
            index, job, steps = progress.index, progress.job, len(progress.batches)
            write_adapter(
                folders[index],
                bank.export(slot, job.rank),
                rank=job.rank,
                alpha=job.alpha,
                target_modules=endings,
                base_model=model.name_or_path,
            )
            results[index] = AdapterResult(
                losses=losses,
                learning_rates=[job.learning_rate_at(step, steps) for step in range(steps)],
                grad_norms=grad_norms,
                tokens=job.tokens,
                seconds=time.perf_counter() - progress.started,
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
            name = type(model).__name__
            raise UserError(f"{name} uses {option}: such models are not trained here")


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


@dataclass
class Progress:
    """A job in a slot: which steps it has before it, and since when it is there."""

    index: int
    job: AdapterJob
    batches: list[list[int]]
    padding_generator: torch.Generator
    entered_at_step: int
    started: float
    steps_done: int = 0

    def next_sequences(self) -> list[PackedSequence]:
        """The sequences of the job's next optimizer step."""
        return [
            pack_sequence(*self.job.sequences[index], self.job.padding, self.padding_generator)
            for index in self.batches[self.steps_done]
        ]


class Training:
    """Works off a queue of jobs in the slots of a bank, one optimizer step of all at a time.

    Bank and `earlier`, of as many slots for the jobs' earlier adapters, are attached to `model`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        bank: AdapterBank,
        jobs: Sequence[AdapterJob],
        max_tokens: int,
        earlier: AdapterBank | None = None,
    ) -> None:
        self._model, self._bank, self._earlier = model, bank, earlier
        self._max_tokens = max_tokens
        self._queue = iter(enumerate(jobs))
        self._slots: list[Progress | None] = [None] * bank.slots
        self._gradients = bank.enable_gradients()
        self._rows = [bank.weights[slot].detach().requires_grad_() for slot in range(bank.slots)]
        # HF Trainer's default optimizer and its settings; one group a slot for its learning rate
        self._optimizer = torch.optim.AdamW(
            [{"params": [row]} for row in self._rows],
            betas=(0.9, 0.999),
            eps=1e-8,
            weight_decay=0.0,
            fused=bank.weights.device.type in ("cpu", "cuda"),
        )
        self._history: list[torch.Tensor] = []

    def run(self) -> Iterator[tuple[int, Progress, list[float], list[float]]]:
        """Train all jobs; yields one that is finished while its slot holds its weights.

        Slot, job, and the loss and gradient norm of each of its steps.
        """
        for slot in range(self._bank.slots):
            self._fill(slot)
        while self._active():
            self._step()
            for slot, progress in self._active():
                if progress.steps_done == len(progress.batches):
                    own = torch.stack(self._history[progress.entered_at_step :])
                    yield slot, progress, *own[:, :, slot].T.tolist()
                    self._slots[slot] = None
                    self._optimizer.state.pop(self._rows[slot], None)
                    # None takes the row out of the optimizer's steps; under a zero gradient,
                    # momentum would go on moving it
                    self._rows[slot].grad = None
                    self._fill(slot)

    def _active(self) -> list[tuple[int, Progress]]:
        return [(slot, progress) for slot, progress in enumerate(self._slots) if progress]

    def _fill(self, slot: int) -> None:
        index, job = next(self._queue, (0, None))
        if job is None:
            return
        if job.initial_adapter is None:
            self._bank.initialise(slot, rank=job.rank, alpha=job.alpha, seed=job.seed)
        else:
            self._bank.load(slot, job.initial_adapter)
        if self._earlier is not None:
            self._earlier.load(slot, job.earlier or AdapterFolder(rank=1, scale=0.0, weights={}))
        self._rows[slot].grad = self._gradients[slot]
        self._slots[slot] = Progress(
            index=index,
            job=job,
            batches=job.batches(),
            padding_generator=torch.Generator().manual_seed(derive_seed(job.seed, "padding")),
            entered_at_step=len(self._history),
            started=time.perf_counter(),
        )

    def _step(self) -> None:
        step = [(slot, progress.next_sequences()) for slot, progress in self._active()]
        losses = self._gradients.new_zeros(self._bank.slots)
        for batch in pack_batches(step, self._max_tokens, self._gradients.device):
            losses += add_gradients(self._model, self._bank, batch, self._earlier)
        norms = self._clip()
        for slot, progress in self._active():
            rate = progress.job.learning_rate_at(progress.steps_done, len(progress.batches))
            self._optimizer.param_groups[slot]["lr"] = rate
            progress.steps_done += 1
        self._optimizer.step()
        self._gradients.zero_()
        self._history.append(torch.stack([losses, norms]))

    def _clip(self) -> torch.Tensor:
        """Clip each slot's gradient as `clip_grad_norm_` does; returns norms before it, [slots]."""
        norms = torch.linalg.vector_norm(self._gradients, dim=1)
        limits = {slot: progress.job.max_grad_norm for slot, progress in self._active()}
        if any(limits.values()):
            limit = norms.new_tensor([limits.get(k) or torch.inf for k in range(len(norms))])
            self._gradients.mul_((limit / (norms + 1e-6)).clamp(max=1.0)[:, None])
        return norms


def add_gradients(
    model: PreTrainedModel,
    bank: AdapterBank,
    batch: PackedBatch,
    earlier: AdapterBank | None = None,
) -> torch.Tensor:
    """Run a batch forth and back; returns what it adds to each slot's mean loss, [slots].

    `earlier`: a bank that acts too, slot by slot, and gets no gradients.
    """
    with ExitStack() as stack:
        stack.enter_context(segment_attention(model))
        for each in filter(None, (bank, earlier)):
            stack.enter_context(each.routed(batch.slots, batch.sizes))
        output = model.get_decoder()(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            use_cache=False,
            segments=batch.segments,
        )
        hidden = output.last_hidden_state[0].index_select(0, batch.predict)
        head = model.get_output_embeddings()
        losses, gradient = head_loss(hidden, head, batch.targets, batch.weights)
        hidden.backward(gradient)
    shares = (losses * batch.weights).to(bank.weights.dtype)
    return shares.new_zeros(bank.slots).index_add(0, batch.slot_of_target, shares)


@torch.no_grad()
def head_loss(
    hidden: torch.Tensor, head: nn.Linear, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy at each place, and the gradient of their weighted sum by `hidden`.

    hidden [M, width]; targets and weights [M]. The head is frozen, so one pass gives both, and
    logits [M, vocabulary] never exist as a whole. Returns losses [M] in at least float32, and the
    gradient [M, width] in the type of `hidden`.
    """
    size = max(1, _LOGITS.get(hidden.device.type, 2**24) // head.out_features)
    losses, gradients = [], []
    for states, target, weight in zip(
        hidden.split(size), targets.split(size), weights.split(size), strict=True
    ):
        logits = head(states)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        log_sum = logits.logsumexp(dim=-1, keepdim=True)
        losses.append((log_sum - logits.gather(1, target[:, None])).squeeze(1))
        # d loss / d logits = softmax - one-hot
        weight = weight.to(logits.dtype)[:, None]
        slope = logits.sub_(log_sum).exp_().mul_(weight)
        slope.scatter_add_(1, target[:, None], -weight)
        gradients.append(slope.to(hidden.dtype) @ head.weight)
    return torch.cat(losses), torch.cat(gradients)
