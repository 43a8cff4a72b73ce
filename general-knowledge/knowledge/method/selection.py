"""Which self-edits the M-step imitates: the best of k per passage (paper, section 2.2; golden G2).

A reward of None means that the self-edit could not be graded. It is neither good nor bad, so it is
never selected; the release counted it as 0 and could so select it among other zeros.
"""

import random
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Literal

from seal.seeds import derive_seed

Selection = Literal["best", "random", "shuffled"]


def ranks_of(
    rewards: Mapping[str, float | None], selection: Selection, seed: int
) -> Mapping[str, float | None]:
    """What self-edits are compared by, by id: their rewards, None where there is none.

    Controls: `random` numbers by id, or the rewards `shuffled` among those that have one.
    """
    if selection == "best":
        return rewards
    graded = {id: reward for id, reward in rewards.items() if reward is not None}
    if selection == "random":
        drawn = [float(derive_seed(seed, f"{id}/selection")) for id in graded]
    else:
        drawn = list(graded.values())
        random.Random(derive_seed(seed, "selection")).shuffle(drawn)
    return dict.fromkeys(rewards) | dict(zip(graded, drawn, strict=True))


def best_indices(
    completions: Sequence[str], rewards: Sequence[float | None], k_best: int = 1
) -> list[int]:
    """Indices of the `k_best` graded self-edits of highest reward, best first, ties in order.

    Rewards are compared as raw floats: equal after rounding is not a tie. Blank texts are dropped
    last and not replaced, as in the release, so that fewer than `k_best` may remain. Raises
    ValueError for unequal lengths, a reward that is not a number, or `k_best` below 1.
    """
    if len(completions) != len(rewards):
        raise ValueError(f"{len(completions)} completions with {len(rewards)} rewards")
    if k_best < 1:
        raise ValueError(f"k_best is {k_best}; at least one must be kept")
    graded = [(index, reward) for index, reward in enumerate(rewards) if reward is not None]
    if any(isnan(reward) for _, reward in graded):
        raise ValueError("a reward is NaN; an ungraded self-edit has the reward None")
    ranked = sorted(graded, key=lambda item: item[1], reverse=True)  # stable: ties keep their order
    return [index for index, _ in ranked[:k_best] if completions[index].strip()]


def select_best(
    completions: Sequence[str], rewards: Sequence[float | None], k_best: int = 1
) -> list[str]:
    """The trimmed texts of `best_indices`."""
    return [completions[index].strip() for index in best_indices(completions, rewards, k_best)]
