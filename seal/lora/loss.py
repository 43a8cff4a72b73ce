"""Cross-entropy of a language-model head, and its gradient, in slices of the vocabulary logits."""

import torch
from torch import nn

# Logits in flight at a time. A GPU wants large products; on a CPU a slice should stay in its cache
_LOGITS = {"cuda": 2**26, "cpu": 2**20}


@torch.no_grad()
def head_loss(
    hidden: torch.Tensor, head: nn.Linear, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss at each place, and the gradient of their weighted sum with respect to `hidden`.

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
