"""The training loop of an adapter bank: one optimizer step of every slot at a time."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from seal.lora.attention import segment_attention
from seal.lora.bank import AdapterBank
from seal.lora.files import AdapterFolder
from seal.lora.jobs import AdapterJob
from seal.lora.loss import head_loss
from seal.lora.packing import PackedBatch, PackedSequence, pack_batches, pack_sequence
from seal.seeds import derive_seed


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


Finished = tuple[int, Progress, list[float], list[float]]
"""A slot, the job that is finished in it, and the loss and gradient norm of each of its steps."""


class Training:
    """Works off a queue of jobs in the slots of a bank that is attached to `model`.

    `earlier`, attached too and of the same number of slots, gets the jobs' earlier adapters.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        bank: AdapterBank,
        jobs: Sequence[AdapterJob],
        max_tokens: int,
        earlier: AdapterBank | None = None,
    ) -> None:
        self._model = model
        self._bank = bank
        self._earlier = earlier
        self._queue = iter(enumerate(jobs))
        self._max_tokens = max_tokens
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

    def run(self) -> Iterator[Finished]:
        """Train all jobs; each comes out when it is finished, while its slot holds its weights."""
        for slot in range(self._bank.slots):
            self._fill(slot)
        while self._active():
            self._step()
            for slot, progress in self._active():
                if progress.steps_done == len(progress.batches):
                    yield self._empty(slot, progress)
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

    def _empty(self, slot: int, progress: Progress) -> Finished:
        own = torch.stack(self._history[progress.entered_at_step :])[:, :, slot]
        losses, grad_norms = own.T.tolist()
        self._slots[slot] = None
        self._optimizer.state.pop(self._rows[slot], None)
        # None takes the row out of the optimizer's steps; under a zero gradient, momentum would go
        # on moving it
        self._rows[slot].grad = None
        return slot, progress, losses, grad_norms

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
        for each in (bank, earlier):
            if each is not None:
                stack.enter_context(each.routed(batch.slots, batch.sizes))
        output = model.get_decoder()(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            use_cache=False,
            segments=batch.segments,
        )
        hidden = output.last_hidden_state[0].index_select(0, batch.predict)
        losses, gradient = head_loss(
            hidden, model.get_output_embeddings(), batch.targets, batch.weights
        )
        hidden.backward(gradient)
    shares = (losses * batch.weights).to(bank.weights.dtype)
    return shares.new_zeros(bank.slots).index_add(0, batch.slot_of_target, shares)
