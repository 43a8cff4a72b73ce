"""What a run will cost, said before it starts."""

from collections.abc import Sequence

from arc.puzzles.augmenters import INVERTIBLE
from arc.puzzles.tasks import Task
from arc.settings import InnerLoopSettings
from seal.command_line.flag_values import count


def estimate_rewards(tasks: Sequence[Task], k: int, settings: InnerLoopSettings) -> str:
    """Adapters, optimizer steps and answers of one round, in words.

    All are upper bounds: equal self-edits share an adapter and equal views an answer, and steps
    are up to the self-edits. Raises UserError for a round of absurd size.
    """
    adapters = count("adapters in a round", {"--n_tasks": len(tasks), "--k": k})
    n_views = sum(
        len(task.demonstrations) * (1 + settings.n_permutations) + len(INVERTIBLE) for task in tasks
    )
    return (
        f"{len(tasks)} tasks, {adapters:,} self-edits, at most {adapters:,} adapters of"
        f" {settings.max_steps} steps and {n_views * (1 + k):,} answers"
    )
