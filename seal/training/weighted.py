"""HF Trainer with a weight for each example: what lets a finetune push likelihoods down too."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy, pad
from transformers import Trainer

IGNORED_LABEL = -100


class WeightedTrainer(Trainer):
    """Minimises, over the examples i of an optimizer step and their target tokens t,

        sum_i weight_i * sum_t -log p(t)  /  sum_i |weight_i| * (number of targets of i)

    Accumulated batches and all processes count as one step. With weights of 1 this is Trainer's own
    loss; a weight of 2 is the example seen twice in the step, 0 leaves it out, and a negative one
    makes it less likely. Multiplying all weights of a step by one positive number changes nothing.

    A batch holds "weight" [rows] beside "input_ids", "attention_mask" and "labels" [rows, length].
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Our loss is divided by what the whole step holds; Trainer must not divide it again
        self.model_accepts_loss_kwargs = True

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor]:
        """The batches of the next optimizer step, and the denominator of its loss."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        total = torch.zeros((), device=device)
        for batch in batches:
            targets = (batch["labels"][:, 1:] != IGNORED_LABEL).sum(dim=1)
            total += (batch["weight"].abs() * targets).sum().to(device)
        total = self.accelerator.gather(total).sum()
        return batches, total.where(total > 0, 1.0)  # weights of 0 alone: a loss of 0

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """The share of a batch in the loss of its step, whose denominator is the last argument."""
        weights, labels = inputs.pop("weight"), inputs.pop("labels")
        outputs = model(**inputs)
        targets = pad(labels[:, 1:], (0, 1), value=IGNORED_LABEL)
        losses = cross_entropy(
            outputs.logits.flatten(0, 1).float(),
            targets.flatten(),
            ignore_index=IGNORED_LABEL,
            reduction="none",
        ).view_as(targets)
        loss = (losses.sum(dim=1) * weights).sum() / num_items_in_batch
        loss = loss * self.accelerator.num_processes  # which average their gradients
        return (loss, outputs) if return_outputs else loss
