"""Attention within segments equals softmax under the mask that it stands for, in both forms."""

import pytest
import torch

from seal.errors import UserError
from seal.lora import attention as lora_attention
from seal.lora.attention import Segments, segment_attention
from tests.support.small_models import small_llama

CPU = torch.device("cpu")
WITHOUT_PADS = Segments([4, 1, 7], [0, 0, 0], CPU)
WITH_PADS = Segments([4, 1, 7], [3, 0, 2], CPU)


def attend_under_mask(query, key, value, segments, scale):
    """Plain softmax with an explicit mask."""
    allowed = torch.zeros(query.shape[2], query.shape[2], dtype=torch.bool)
    start = 0
    for real, pads in zip(segments.real, segments.pads, strict=True):
        for row in range(real):
            allowed[start + row, start : start + row + 1] = True
        allowed[start + real : start + real + pads, start : start + real] = True
        start += real + pads
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    scores = (query @ key.transpose(2, 3) * scale).masked_fill(~allowed, -torch.inf)
    return scores.softmax(dim=-1) @ value


def random_states(tokens):
    generator = torch.Generator().manual_seed(0)
    shapes = (1, 4, tokens, 8), (1, 2, tokens, 8), (1, 2, tokens, 8)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in shapes
    ]


def varlen_reference(query, key, value, starts_q, starts_k, max_q, max_k, **options):
    """What torch's kernel for GPUs computes, sequence by sequence."""
    assert max_q == starts_q.diff().max() and max_k == starts_k.diff().max()
    assert options["enable_gqa"]
    outputs = []
    for first, last, first_k, last_k in zip(
        starts_q[:-1], starts_q[1:], starts_k[:-1], starts_k[1:], strict=True
    ):
        outputs.append(
            torch.nn.functional.scaled_dot_product_attention(
                query[first:last].transpose(0, 1),
                key[first_k:last_k].transpose(0, 1),
                value[first_k:last_k].transpose(0, 1),
                is_causal=options.get("window_size") == (-1, 0),
                scale=options["scale"],
                enable_gqa=True,
            ).transpose(0, 1)
        )
    return torch.cat(outputs)


@pytest.mark.parametrize("segments", [WITHOUT_PADS, WITH_PADS], ids=["text", "pads"])
@pytest.mark.parametrize("form", ["_attend_one_by_one", "_attend_packed"])
def test_values_and_gradients_are_those_of_the_mask(form, segments, monkeypatch):
    monkeypatch.setattr(lora_attention, "varlen_attn", varlen_reference)
    states = random_states(sum(segments.sizes))
    output = getattr(lora_attention, form)(states, segments, 0.3)
    expected = attend_under_mask(*states, segments, 0.3)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    slope = torch.randn(output.shape, dtype=output.dtype)
    ours = torch.autograd.grad(output, states, slope)
    for ours_, expected_ in zip(ours, torch.autograd.grad(expected, states, slope), strict=True):
        torch.testing.assert_close(ours_, expected_, rtol=0, atol=1e-12)


def test_the_model_attends_as_before_afterwards_even_after_an_error():
    model = small_llama(20)
    before = model.config._attn_implementation
    with pytest.raises(RuntimeError, match="stop"), segment_attention(model):
        assert model.config._attn_implementation != before
        raise RuntimeError("stop")
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("option", [{"softcap": 30.0}, {"sliding_window": 6}])
def test_attention_of_another_kind_is_refused(option):
    states = random_states(sum(WITHOUT_PADS.sizes))
    with pytest.raises(UserError):
        lora_attention._attend(torch.nn.Identity(), *states, None, segments=WITHOUT_PADS, **option)


def test_a_sliding_window_that_is_never_reached_is_no_hindrance():
    states = random_states(sum(WITHOUT_PADS.sizes))
    output, _ = lora_attention._attend(
        torch.nn.Identity(), *states, None, segments=WITHOUT_PADS, sliding_window=7, scaling=0.3
    )
    expected = attend_under_mask(*states, WITHOUT_PADS, 0.3).transpose(1, 2)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
