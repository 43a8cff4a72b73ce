"""What a small model is pre-trained on, so that SEAL can be seen to learn: invented grid tasks.

Most sequences begin with the name of their rule, which is never shown later. So the model learns to
carry out rules rather than to find them; it must learn a task's rule at test time. It also learns
the form of self-edits, with random choices.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from arc.method.configurations import to_json
from arc.method.inner_loop import encode_item
from arc.method.prompts import self_edit_prompt
from arc.puzzles.grids import COLORS
from arc.puzzles.tasks import Item
from arc.settings import TREE, PromptSettings
from arc.small_world.format_model import random_configuration
from arc.small_world.rules import Grids, Rule, draw_grids, draw_rule, invented_task, solved
from arc.small_world.tokenizer import (
    ARROW,
    CANVAS,
    END,
    END_OF_TURN,
    EPOCHS,
    LEARNING_RATES,
    ROLE_TOKENS,
    cell_token,
    small_tokenizer,
)
from seal.lora.jobs import IGNORED_LABEL, TokenSequence
from seal.samplers.in_process import TransformersSampler
from seal.seeds import derive_seed
from seal.training.from_scratch import Curriculum, Skill, WeightedBatch, encode_rows, share_right
from seal.training.sft import SftRow

SMALL_PROMPTS = PromptSettings(prompts=TREE / "small_model" / "prompts")
"""How small models are addressed; programs get the folder with --prompts."""

_SPREAD = 0.02
_SELF_EDIT_WEIGHT = 0.3
_MEASURED = 100


@dataclass(frozen=True)
class Lessons(Curriculum):
    """Puzzles, and in the second half of the steps self-edits, for 0.9 million weights."""

    card: ClassVar[Path] = Path(__file__).with_name("model_card.md")
    size: ClassVar[dict[str, Any]] = {
        "intermediate_size": 384,
        "max_position_embeddings": 1024,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
    }
    tokens: int = 2600
    """Tokens of grids in a step, at most."""
    named: float = 0.65
    """Share of sequences that begin with the name of their rule."""
    other_sizes: float = 0.2
    """Share of steps on grids of other sizes than 3 x 3, up to the whole canvas."""
    self_edits: int = 2
    tokenizer: PreTrainedTokenizerFast = field(default_factory=small_tokenizer, kw_only=True)

    def new_model(self, **size: Any) -> PreTrainedModel:
        """As any; the embeddings of cells begin as the sum of their row, column and colour."""
        model = super().new_model(**size)
        generator = torch.Generator().manual_seed(self.seed)
        embeddings = model.get_input_embeddings().weight.data
        shape = (CANVAS, CANVAS, COLORS)
        shared = [_SPREAD * torch.randn(n, embeddings.shape[1], generator=generator) for n in shape]
        for place in np.ndindex(shape):
            (token,) = self._ids([cell_token(*place)])
            embeddings[token] += sum(each[k] for each, k in zip(shared, place, strict=True))
        return model

    def optimizers(self, model: PreTrainedModel) -> list[torch.optim.Optimizer]:
        """Muon for the matrices between embedding and head, AdamW for all other weights."""
        matrices, others = [], []
        for name, weights in model.named_parameters():
            matrix = weights.ndim == 2 and "embed" not in name
            (matrices if matrix else others).append(weights)
        muon = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.0, "adjust_lr_fn": "original"}
        adamw = {"lr": 3e-3, "betas": (0.9, 0.98), "weight_decay": 0.0}
        return [torch.optim.Muon(matrices, **muon), torch.optim.AdamW(others, **adamw)]

    def batches(self, step: int) -> Iterator[WeightedBatch]:
        seed = derive_seed(self.seed, "step", step)
        rng = np.random.default_rng(seed)
        yield 1.0, self._puzzles(rng)
        if 2 * step >= self.steps:
            yield _SELF_EDIT_WEIGHT, self._self_edits(rng, random.Random(seed))

    def _puzzles(self, rng: np.random.Generator) -> list[TokenSequence]:
        """Puzzles of one size and number of demonstrations, until the step's tokens are used up."""
        height = width = 3
        if rng.random() < self.other_sizes:
            height, width = map(int, rng.integers(2, CANVAS + 1, size=2))
        n = int(rng.integers(1, 4))
        n_tokens = (n + 1) * (2 * height * width + 2)
        return [
            self.puzzle(
                rule := draw_rule(rng),
                draw_grids(rule, n + 1, height, width, rng),
                named=rng.random() < self.named,
            )
            for _ in range(max(2, self.tokens // n_tokens))
        ]

    def measure(self, model: PreTrainedModel) -> Skill:
        """Share of new 3 x 3 puzzles solved, with and without the rule's name."""
        sampler = TransformersSampler(model, self.tokenizer)
        rng = np.random.default_rng(derive_seed(self.seed, "skill"))
        assistant = self.tokenizer.convert_tokens_to_ids(ROLE_TOKENS[-1])
        shares = {}
        for kind in ("named", "unnamed"):
            asked = []
            for _ in range(_MEASURED):
                rule = draw_rule(rng)
                ids, _ = self.puzzle(rule, draw_grids(rule, 4, 3, 3, rng), named=kind == "named")
                border = ids.index(assistant) + 1
                answer = self.tokenizer.decode(ids[border:-1], clean_up_tokenization_spaces=False)
                asked.append((ids[:border], answer))
            shares[kind] = share_right(sampler, asked, max_new_tokens=CANVAS * CANVAS + 2)
        return shares

    @staticmethod
    def describe(skill: Skill) -> str:
        shares = f"rule named {skill['named']:.2f}, unnamed {skill['unnamed']:.2f}"
        return f"new puzzles solved: {shares}"

    def card_values(self, skill: Skill) -> dict[str, Any]:
        shares = {
            "solved, given the name of the rule": skill["named"],
            "solved, from the demonstrations alone": skill["unnamed"],
        }
        return {"puzzles": _MEASURED, "shares": shares}

    def puzzle(self, rule: Rule, inputs: Grids, *, named: bool) -> TokenSequence:
        """Demonstrations and the answer as test-time training writes them, labels on all outputs.

        `inputs` [grids, height, width] end with the test input. A named rule's name stands before
        the demonstrations.
        """
        *demonstrations, test = solved(rule, inputs)
        item = Item(tuple(demonstrations), test)
        ids = encode_item(item, self.tokenizer, SMALL_PROMPTS).input_ids
        arrow, end, *chat = self._ids([ARROW, END, END_OF_TURN, *ROLE_TOKENS])
        # Outputs stand between an arrow and an end; the last one has the end of the turn as well
        begun = np.cumsum(ids == arrow) > np.cumsum(ids == end)
        learned = np.append(False, begun[:-1]) & ~np.isin(ids, chat)
        learned[-1] = True
        labels = np.where(learned, ids, IGNORED_LABEL)
        system, *rest = ids.tolist()
        name = self._ids(rule.name) if named else []
        unlearned = [IGNORED_LABEL] * (1 + len(name))
        return [system, *name, *rest], [*unlearned, *labels[1:].tolist()]

    def _ids(self, tokens: Iterable[str]) -> list[int]:
        return self.tokenizer.convert_tokens_to_ids([*tokens])

    def _self_edits(self, rng: np.random.Generator, choice: random.Random) -> list[TokenSequence]:
        rows = [
            SftRow(
                self_edit_prompt(invented_task("", rng), SMALL_PROMPTS, self.tokenizer),
                to_json(random_configuration(choice, LEARNING_RATES, EPOCHS)),
            )
            for _ in range(self.self_edits)
        ]
        return encode_rows(self.tokenizer, rows)
