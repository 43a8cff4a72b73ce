"""The head's loss and gradient are autograd's, however it is sliced."""

import pytest
import torch

from seal.lora import loss as lora_loss


@pytest.mark.parametrize("logits_in_flight", [1, 70, 10**6])
@pytest.mark.parametrize("bias", [False, True])
def test_loss_and_gradient_are_those_of_autograd(monkeypatch, logits_in_flight, bias):
    monkeypatch.setitem(lora_loss._LOGITS, "cpu", logits_in_flight)
    torch.manual_seed(0)
    head = torch.nn.Linear(6, 30, bias=bias, dtype=torch.float64)
    hidden = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    targets, weights = torch.randint(30, (9,)), torch.rand(9, dtype=torch.float64)
    losses, gradient = lora_loss.head_loss(hidden, head, targets, weights)
    expected = torch.nn.functional.cross_entropy(head(hidden), targets, reduction="none")
    torch.testing.assert_close(losses, expected.detach(), rtol=0, atol=1e-12)
    (expected_gradient,) = torch.autograd.grad((expected * weights).sum(), hidden)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-12)


def test_half_precision_is_summed_in_float32():
    torch.manual_seed(0)
    head = torch.nn.Linear(6, 30, dtype=torch.bfloat16)
    hidden = torch.randn(9, 6, dtype=torch.bfloat16)
    targets = torch.randint(30, (9,))
    losses, gradient = lora_loss.head_loss(hidden, head, targets, torch.ones(9).double())
    expected = torch.nn.functional.cross_entropy(head(hidden).float(), targets, reduction="none")
    torch.testing.assert_close(losses, expected.detach())
    assert (losses.dtype, gradient.dtype) == (torch.float32, torch.bfloat16)
