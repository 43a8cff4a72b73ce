"""A sampler in this process: one transformers model that answers under many adapters at once."""

import copy
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from seal.errors import UserError
from seal.lora.bank import AdapterBank
from seal.lora.files import read_adapter
from seal.sampling import Completion, SampleRequest, SamplingParameters


def share_weights(model: PreTrainedModel) -> PreTrainedModel:
    """A second tree of modules over the same weights, in evaluation mode.

    Hooks and settings of one tree do not reach the other, so one thread can train adapters on
    `model` while another samples from the copy. Call it before any training starts.
    """
    tensors = chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors}).eval()


class TransformersSampler:
    """Implements `seal.sampling.Sampler` with a causal language model of transformers.

    Prompts are answered `max_batch` at a time, padded on the left. Sampling defaults in the model's
    generation_config are ignored. Calls from several threads take turns.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, max_batch: int = 64
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, not {max_batch}")
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._max_batch = max_batch
        self._window = model.config.max_position_embeddings
        ends = model.generation_config.eos_token_id if model.generation_config else None
        ends = [*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id]
        self._stop = frozenset(token for token in ends if token is not None)
        self._lock = threading.Lock()

    def complete(
        self, requests: Sequence[SampleRequest], parameters: SamplingParameters
    ) -> list[Completion]:
        """One completion per request, in order.

        Raises UserError that names the adapter folder that is missing or does not fit the model, or
        the prompt that is empty or longer than the model's window.
        """
        with self._lock, torch.inference_mode():
            rows = [self._row(request, parameters) for request in requests]
            # Adapters stay together: each is read once, or twice where a batch ends within
            used = list(dict.fromkeys(request.adapter for request in requests))
            ordered = sorted(rows, key=lambda r: (used.index(r.request.adapter), len(r.prompt)))
            for start in range(0, len(ordered), self._max_batch):
                self._complete_batch(ordered[start : start + self._max_batch], parameters)
            return [self._completion(row) for row in rows]

    def _row(self, request: SampleRequest, parameters: SamplingParameters) -> "_Row":
        prompt = request.prompt
        if isinstance(prompt, str):
            prompt = self._tokenizer(prompt)["input_ids"]
        room = self._window - len(prompt)
        if not prompt or room < 1:
            raise UserError(
                f"a prompt has {len(prompt)} tokens; the model takes 1 to {self._window - 1}"
            )
        limit = min(parameters.max_new_tokens, room)
        return _Row(request, list(prompt), limit, torch.Generator().manual_seed(request.seed))

    def _load_adapters(self, adapters: Sequence[Path | None]) -> AdapterBank:
        """A bank with an adapter a slot; the slot of the bare model (None) stays empty."""
        loaded = {folder: read_adapter(folder) for folder in adapters if folder is not None}
        named = {f"adapter {folder}": adapter for folder, adapter in loaded.items()}
        try:
            bank = AdapterBank.for_adapters(self._model, named, slots=len(adapters))
        except ValueError as error:
            raise UserError(str(error)) from error
        for slot, folder in enumerate(adapters):
            if folder is not None:
                bank.load(slot, loaded[folder])
        return bank

    def _complete_batch(self, rows: list["_Row"], parameters: SamplingParameters) -> None:
        """Extend the rows until each has met a stop token or its limit."""
        adapters = list(dict.fromkeys(row.request.adapter for row in rows))
        bank = None if adapters == [None] else self._load_adapters(adapters)
        device = self._model.device
        prompts = [torch.tensor(row.prompt) for row in rows]
        tokens, mask = (
            pad_sequence(texts, batch_first=True, padding_side="left").to(device)
            for texts in (prompts, [torch.ones_like(prompt) for prompt in prompts])
        )
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._model.config)
        with bank.attached() if bank else nullcontext():
            while rows:
                # Rows of one adapter are adjacent, and stay so when finished ones leave the batch
                sizes = Counter(adapters.index(row.request.adapter) for row in rows)
                with bank.routed([*sizes], [*sizes.values()]) if bank else nullcontext():
                    logits = self._model(
                        input_ids=tokens,
                        attention_mask=mask,
                        position_ids=positions,
                        past_key_values=cache,
                        use_cache=True,
                        logits_to_keep=1,
                    ).logits[:, -1]
                chosen = choose_tokens(logits, parameters, [row.generator for row in rows])
                for row, token in zip(rows, chosen.tolist(), strict=True):
                    if not row.finished:
                        row.tokens.append(token)
                        row.finished = token in self._stop or len(row.tokens) == row.limit
                tokens, positions = chosen[:, None], positions[:, -1:] + 1
                mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
                unfinished = [place for place, row in enumerate(rows) if not row.finished]
                # Finished rows are carried along until they are half of the batch: leaving them
                # out copies the cache
                if 2 * len(unfinished) <= len(rows):
                    keep = torch.tensor(unfinished, dtype=torch.long, device=device)
                    rows = [rows[place] for place in unfinished]
                    tokens, positions, mask = tokens[keep], positions[keep], mask[keep]
                    cache.batch_select_indices(keep)

    def _completion(self, row: "_Row") -> Completion:
        stopped = row.tokens[-1] in self._stop
        text = self._tokenizer.decode(
            row.tokens[:-1] if stopped else row.tokens,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        return Completion(text, "stop" if stopped else "length", tuple(row.tokens))


@dataclass
class _Row:
    """A request on its way: its prompt and the tokens drawn so far, at most `limit`."""

    request: SampleRequest
    prompt: list[int]
    limit: int
    generator: torch.Generator
    tokens: list[int] = field(default_factory=list)
    finished: bool = False


def choose_tokens(
    logits: torch.Tensor, parameters: SamplingParameters, generators: Sequence[torch.Generator]
) -> torch.Tensor:
    """The next token of each row, [rows], from its logits [rows, vocabulary].

    Temperature first, then the smallest set of most likely tokens that holds `top_p` of the mass.
    A row's token is where one number of its own generator falls in the distribution, so it depends
    neither on the other rows nor on the device's random numbers.
    """
    if parameters.temperature == 0:
        return logits.argmax(dim=-1)
    uniform = [torch.rand((), generator=own, dtype=torch.float64) for own in generators]
    probabilities = (logits.float() / parameters.temperature).softmax(dim=-1).double()
    tokens = None
    if parameters.top_p < 1:
        probabilities, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        # The likeliest token stays, whatever top_p is
        beyond = (before >= parameters.top_p) & (before > 0)
        probabilities = probabilities.masked_fill(beyond, 0.0)
    cumulative = probabilities.cumsum(dim=-1)
    threshold = torch.stack(uniform).to(logits.device)[:, None] * cumulative[:, -1:]
    place = torch.searchsorted(cumulative, threshold, right=True)
    # Past the end only for an adapter that diverged: its probabilities are not numbers
    place = place.clamp(max=logits.shape[-1] - 1)
    return (place if tokens is None else tokens.gather(1, place)).squeeze(1)
