"""Attention within each of many sequences that lie one after another in a single row.

Registered with transformers, for any model that goes through its attention interface. On one CPU
thread, 60 sequences of about 43 tokens take 16 ms a layer, forward and backward; under a
block-diagonal mask, most of it in vain, 29-78 ms.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from seal.errors import UserError

_NAME = "seal_segments"

Heads = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Query [1, heads, N, d], key and value [1, groups, N, d] of a row of N tokens."""


@dataclass(frozen=True)
class Segments:
    """Where the sequences of a row lie: each has `real` tokens of text, then `pads`.

    Text attends causally within its sequence; pads attend to the text of their sequence alone, as
    right padding does under an attention mask.
    """

    real: list[int]
    pads: list[int]
    device: torch.device

    @property
    def sizes(self) -> list[int]:
        """Lengths of all stretches of text and of pads, in the order of the row."""
        return list(chain.from_iterable(zip(self.real, self.pads, strict=True)))

    @cached_property
    def starts(self) -> tuple[torch.Tensor, torch.Tensor]:
        """[sequences + 1] where each one's text begins among all text, its pads among all pads."""
        text, pads = (
            torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=self.device)
            for lengths in (self.real, self.pads)
        )
        return text, pads

    @cached_property
    def text_first(self) -> tuple[torch.Tensor, torch.Tensor]:
        """[N] the order that puts the pads of a row behind all its text, and its inverse."""
        kinds = torch.tensor([0, 1]).repeat(len(self.real))
        is_pad = kinds.repeat_interleave(torch.tensor(self.sizes))
        order = is_pad.argsort(stable=True)
        return order.to(self.device), order.argsort().to(self.device)


@contextmanager
def segment_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let `model` attend within `segments=Segments(...)`, which each call must then be given."""
    config = model.get_decoder().config
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    segments: Segments,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """`Heads` of a row -> ([1, N, heads, d], no attention weights)."""
    if softcap is not None or s_aux is not None:
        raise UserError(f"{type(module).__name__} caps its attention: such models are not trained")
    if sliding_window is not None and max(segments.real) > sliding_window:
        raise UserError(
            f"a sequence of {max(segments.real)} tokens exceeds the model's sliding window of"
            f" {sliding_window}: shorten the sequences"
        )
    # Flash attention wants an Ampere GPU or a newer one, and half precision
    half = query.dtype in (torch.bfloat16, torch.float16)
    fast = query.is_cuda and half and torch.cuda.get_device_capability(query.device) >= (8, 0)
    attend = _attend_packed if fast else _attend_one_by_one
    return attend((query, key, value), segments, scaling).transpose(1, 2), None


def _attend_one_by_one(heads: Heads, segments: Segments, scale: float | None) -> torch.Tensor:
    # One split of the row, not a slice per sequence: its backward is a single concatenation
    stretches = zip(*(t.split(segments.sizes, dim=2) for t in heads), strict=True)
    outputs = []
    for queries, keys, values in stretches:
        pads, _, _ = next(stretches)
        for part, causal in ((queries, True), (pads, False)):
            if part.shape[2]:
                options = {"is_causal": causal, "scale": scale, "enable_gqa": True}
                outputs.append(scaled_dot_product_attention(part, keys, values, **options))
    return torch.cat(outputs, dim=2)


def _attend_packed(heads: Heads, segments: Segments, scale: float | None) -> torch.Tensor:
    """The same in one kernel, or two with pads: flash attention over sequences of any lengths."""
    query, key, value = (t[0].transpose(0, 1) for t in heads)
    has_pads = any(segments.pads)
    if has_pads:
        order, inverse = segments.text_first
        query, key, value = (t.index_select(0, order) for t in (query, key, value))
    (starts, pad_starts), tokens, longest = segments.starts, sum(segments.real), max(segments.real)
    text = key[:tokens], value[:tokens]
    options = {"scale": scale, "enable_gqa": True}
    sizes = starts, starts, longest, longest
    output = varlen_attn(query[:tokens], *text, *sizes, window_size=(-1, 0), **options)
    if has_pads:
        sizes = pad_starts, starts, max(segments.pads), longest
        of_pads = varlen_attn(query[tokens:], *text, *sizes, **options)
        output = torch.cat([output, of_pads]).index_select(0, inverse)
    return output.transpose(0, 1)[None]


AttentionInterface.register(_NAME, _attend)
