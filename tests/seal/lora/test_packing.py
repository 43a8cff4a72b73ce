"""What is computed for a sequence: nothing that no loss needs, and all that one needs."""

import numpy as np
import pytest
import torch

from seal.lora import PaddingLoss
from seal.lora.packing import pack_batches, pack_sequence

CPU = torch.device("cpu")


def test_the_last_token_is_a_target_only():
    packed = pack_sequence([5, 6, 7], [5, 6, 7])
    assert packed.input_ids.tolist() == [5, 6]
    assert packed.position_ids.tolist() == [0, 1]
    assert packed.predict.tolist() == [0, 1]
    assert packed.targets.tolist() == [6, 7]
    assert packed.weights.tolist() == [1, 1]


def test_tokens_after_the_last_label_are_dropped_and_unlabelled_ones_before_are_kept():
    packed = pack_sequence([5, 6, 7, 8, 9], [-100, -100, 7, -100, -100])
    assert packed.input_ids.tolist() == [5, 6]
    assert packed.predict.tolist() == [1]
    assert packed.targets.tolist() == [7]


def test_arrays_are_lists():
    ids, labels = np.array([5, 6, 7], np.int32), np.array([-100, -100, 7], np.int32)
    ids.setflags(write=False)
    padding = PaddingLoss("max", token_id=9, length=7)
    for arguments in ([], [padding]):
        packed = vars(pack_sequence(ids, labels, *arguments))
        expected = vars(pack_sequence([5, 6, 7], [-100, -100, 7], *arguments))
        for name, value in expected.items():
            same = torch.equal if isinstance(value, torch.Tensor) else int.__eq__
            assert same(packed[name], value)


def test_maximal_padding_predicts_every_pad():
    packed = pack_sequence([5, 6, 7], [5, 6, 7], PaddingLoss("max", token_id=9, length=7))
    # Pads at 3..6: the last real token and the pads at 3, 4, 5 predict one each
    assert packed.input_ids.tolist() == [5, 6, 7, 9, 9, 9]
    assert packed.position_ids.tolist() == [0, 1, 2, 3, 4, 5]
    assert packed.real == 3
    assert packed.predict.tolist() == [0, 1, 2, 3, 4, 5]
    assert packed.targets.tolist() == [6, 7, 9, 9, 9, 9]
    assert packed.weights.tolist() == [1] * 6


@pytest.mark.parametrize(("length", "tokens", "targets"), [(3, [5, 6], [6, 7]), (4, None, None)])
def test_padding_by_nothing_or_one(length, tokens, targets):
    packed = pack_sequence([5, 6, 7], [5, 6, 7], PaddingLoss("max", token_id=9, length=length))
    assert packed.input_ids.tolist() == (tokens or [5, 6, 7])
    assert packed.targets.tolist() == (targets or [6, 7, 9])


def test_sampled_pads_are_distinct_in_place_and_stand_for_all():
    padding = PaddingLoss("sampled", token_id=9, length=100, samples=10)
    packed = pack_sequence([5, 6, 7], [5, 6, 7], padding, torch.Generator().manual_seed(0))
    pads = packed.position_ids[packed.real :].tolist()
    assert len(pads) == 10
    assert pads == sorted(set(pads))
    assert min(pads) >= 3
    assert max(pads) <= 98
    assert packed.weights.sum().item() == pytest.approx(99)  # the labels of the padded sequence
    assert packed.targets[3:].tolist() == [9] * 10


def test_few_pads_are_not_sampled():
    sampled = PaddingLoss("sampled", token_id=9, length=8, samples=10)
    packed = pack_sequence([5, 6, 7], [5, 6, 7], sampled)
    exact = pack_sequence([5, 6, 7], [5, 6, 7], PaddingLoss("max", token_id=9, length=8))
    assert packed.position_ids.tolist() == exact.position_ids.tolist()
    assert packed.weights.tolist() == exact.weights.tolist()


def test_a_row_holds_the_slots_one_after_the_other():
    step = [
        (1, [pack_sequence([1, 2, 3], [1, 2, 3]), pack_sequence([4, 5], [4, 5])]),
        (3, [pack_sequence([6, 7, 8], [-100, -100, 8])]),
    ]
    (batch,) = pack_batches(step, max_tokens=100, device=CPU)
    assert batch.input_ids.tolist() == [[1, 2, 4, 6, 7]]
    assert batch.position_ids.tolist() == [[0, 1, 0, 0, 1]]
    assert (batch.slots, batch.sizes) == ([1, 3], [3, 2])
    assert batch.segments.real == [2, 1, 2]
    assert batch.predict.tolist() == [0, 1, 2, 4]
    assert batch.targets.tolist() == [2, 3, 5, 8]
    assert batch.slot_of_target.tolist() == [1, 1, 1, 3]
    assert batch.weights.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])


def test_a_step_is_cut_between_sequences_and_keeps_its_mean():
    sequences = [pack_sequence(ids, ids) for ids in ([1] * 5, [2] * 5, [3] * 20, [4] * 3)]
    batches = pack_batches([(0, sequences[:3]), (1, sequences[3:])], max_tokens=8, device=CPU)
    assert [batch.input_ids.shape[1] for batch in batches] == [8, 19, 2]
    for slot in (0, 1):
        shares = [batch.weights[batch.slot_of_target == slot].sum() for batch in batches]
        assert sum(shares).item() == pytest.approx(1)
    (whole,) = pack_batches([(0, sequences[:3]), (1, sequences[3:])], max_tokens=29, device=CPU)
    assert whole.input_ids.shape[1] == 29
