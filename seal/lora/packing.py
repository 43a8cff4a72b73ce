"""Sequences of many adapters in one row without padding, and where their losses are.

The release pads each sequence of about 50 tokens to 2,048; here those of all slots follow each
other in one row, so that only needed tokens are computed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from seal.lora.attention import Segments
from seal.lora.jobs import IGNORED_LABEL, PaddingLoss, Tokens


@dataclass(frozen=True)
class PackedSequence:
    """What the model has to compute for one training sequence.

    `input_ids` and `position_ids` [n]: `real` tokens of text, then pads that see only the text.
    `predict` [m] are the places whose next token is learned, `targets` [m] those tokens, `weights`
    [m] how many labels each stands for.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    real: int
    predict: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor

    @property
    def length(self) -> int:
        return len(self.input_ids)


def pack_sequence(
    input_ids: Tokens,
    labels: Tokens,
    padding: PaddingLoss | None = None,
    generator: torch.Generator | None = None,
) -> PackedSequence:
    """Drop what no loss depends on; with `padding` add pads, in mode "sampled" by `generator`."""
    ids = torch.tensor(input_ids, dtype=torch.int64)
    next_tokens = torch.tensor(labels, dtype=torch.int64)[1:]
    predict = (next_tokens != IGNORED_LABEL).nonzero().flatten()
    targets, weights = next_tokens[predict], torch.ones(len(predict), dtype=torch.float64)
    if padding is None or len(ids) == padding.length:
        # Under causal attention nothing after the last prediction matters to it
        real = int(predict[-1]) + 1
        return PackedSequence(ids[:real], torch.arange(real), real, predict, targets, weights)
    real = len(ids)
    pads = torch.arange(real, padding.length - 1)  # the very last pad predicts nothing
    if padding.mode == "sampled" and len(pads) > padding.samples:
        drawn = torch.randperm(len(pads), generator=generator)[: padding.samples]
        pads = pads[drawn.sort().values]
    # The last real token predicts the first pad, every pad the next one
    pad_weights = weights.new_ones(len(pads) + 1)
    pad_weights[1:] = (padding.length - 1 - real) / max(1, len(pads))
    return PackedSequence(
        input_ids=torch.cat([ids, torch.full_like(pads, padding.token_id)]),
        position_ids=torch.cat([torch.arange(real), pads]),
        real=real,
        predict=torch.cat([predict, torch.arange(real - 1, real + len(pads))]),
        targets=torch.cat([targets, pads.new_full((len(pads) + 1,), padding.token_id)]),
        weights=torch.cat([weights, pad_weights]),
    )


@dataclass(frozen=True)
class PackedBatch:
    """One row of N tokens: the sequences of a step or of a part of it, slot by slot.

    `slots` and `sizes` say how many adjacent tokens belong to which slot. For the M places that
    predict: `predict` [M] where they are, `targets` [M], `weights` [M] their shares in their slot's
    mean loss, `slot_of_target` [M].
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    segments: Segments
    slots: list[int]
    sizes: list[int]
    predict: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    slot_of_target: torch.Tensor


def pack_batches(
    step: Sequence[tuple[int, Sequence[PackedSequence]]], max_tokens: int, device: torch.device
) -> list[PackedBatch]:
    """Lay the sequences of (slot, its sequences) into rows of at most `max_tokens` tokens.

    A sequence is never cut: one longer than `max_tokens` gets a row of its own. The weights of a
    slot sum to 1 over all rows, so adding up the rows' gradients gives those of the slots' means.
    """
    rows: list[list[tuple[int, float, PackedSequence]]] = [[]]
    room = max_tokens
    for slot, sequences in step:
        share = 1.0 / sum(float(sequence.weights.sum()) for sequence in sequences)
        for sequence in sequences:
            if sequence.length > room and rows[-1]:
                rows.append([])
                room = max_tokens
            rows[-1].append((slot, share, sequence))
            room -= sequence.length
    return [_pack_row(row, device) for row in rows]


def _pack_row(
    row: Sequence[tuple[int, float, PackedSequence]], device: torch.device
) -> PackedBatch:
    sequences = [sequence for *_, sequence in row]
    starts = accumulate((sequence.length for sequence in sequences), initial=0)
    sizes: Counter[int] = Counter()
    for slot, _, sequence in row:
        sizes[slot] += sequence.length

    def join(parts: Iterable[torch.Tensor]) -> torch.Tensor:
        return torch.cat(list(parts)).to(device)

    return PackedBatch(
        input_ids=join(sequence.input_ids for sequence in sequences)[None],
        position_ids=join(sequence.position_ids for sequence in sequences)[None],
        segments=Segments(
            real=[sequence.real for sequence in sequences],
            pads=[sequence.length - sequence.real for sequence in sequences],
            device=device,
        ),
        slots=list(sizes),
        sizes=list(sizes.values()),
        predict=join(each.predict + start for each, start in zip(sequences, starts, strict=False)),
        targets=join(sequence.targets for sequence in sequences),
        weights=join(sequence.weights * share for _, share, sequence in row),
        slot_of_target=join(torch.full((len(each.targets),), slot) for slot, _, each in row),
    )
