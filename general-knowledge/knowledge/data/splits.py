"""Which passages are for evaluation, rounds of RL and validation (paper, section 4.1).

A list of passages is shuffled once, by `random.Random(42)`, and cut. Evidence from the release:
- its evaluation files hold the first 200 of the shuffled validation passages, in that order;
- its round with the rewrite prompt holds training passages 0-49 and its second round of the default
  prompt passages 50-99 of SQuAD's 18,891 shuffled training passages: only with seed 42 do the
  articles of those 100 passages lie together where SQuAD has them together;
- its first round of the default prompt is the first half of another draw of 100 passages, in the
  order of that file (`squad_train_100.json`); to repeat it, give that file and no shuffle seed.
"""

import random
from collections.abc import Sequence

from knowledge.data.passages import Passage, load_passages
from knowledge.settings import SHUFFLE_SEED, RoundSettings
from seal.errors import UserError


def shuffled(passages: Sequence[Passage], seed: int | None = SHUFFLE_SEED) -> list[Passage]:
    """The passages in the order from which splits are cut; None keeps the order of the file."""
    order = list(passages)
    if seed is not None:
        random.Random(seed).shuffle(order)
    return order


def evaluation_passages(
    passages: Sequence[Passage], n: int = 200, seed: int | None = SHUFFLE_SEED
) -> list[Passage]:
    """The first `n` shuffled passages (paper: 200 of SQuAD's validation); UserError if fewer."""
    return _cut(shuffled(passages, seed), 0, n)


def rl_passages(
    passages: Sequence[Passage],
    round_index: int,
    n: int = 50,
    n_validation: int = 0,
    seed: int | None = SHUFFLE_SEED,
) -> list[Passage]:
    """The `n` training passages of one round, from 0, that no other round has.

    The last `n_validation` are left to `validation_passages`. Raises UserError if too few remain.
    """
    available = shuffled(passages, seed)[: max(0, len(passages) - n_validation)]
    return _cut(available, n * round_index, n)


def validation_passages(
    passages: Sequence[Passage], n: int, seed: int | None = SHUFFLE_SEED
) -> list[Passage]:
    """The last `n` shuffled training passages, from the end, for choosing checkpoints.

    The release used the evaluation passages for that. Raises UserError if there are fewer.
    """
    return _cut(shuffled(passages, seed)[::-1], 0, n)


def load_round(settings: RoundSettings) -> list[Passage]:
    """The passages of --round: those of a round of RL, from 1, or 0 for the evaluation.

    Raises UserError if the file is malformed or has too few.
    """
    passages = load_passages(settings.passages)
    n, seed = settings.n_passages, settings.shuffle_seed
    if settings.round == 0:
        return evaluation_passages(passages, n, seed)
    return rl_passages(passages, settings.round - 1, n, seed=seed)


def _cut(passages: Sequence[Passage], start: int, n: int) -> list[Passage]:
    if n < 1 or start < 0 or start + n > len(passages):
        wanted = f"passages {start} to {start + n - 1} are wanted, of {len(passages)} available"
        fix = "a larger file, fewer passages, an earlier round or a smaller validation split"
        raise UserError(f"{wanted}; give {fix}")
    return list(passages[start : start + n])
