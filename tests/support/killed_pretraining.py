"""A pre-training that is killed from inside, for tests of how it resumes."""

import pytest

from seal.training import from_scratch as pretraining


class Killed(Exception):
    """What a kill looks like from inside."""


def kill_before(monkeypatch: pytest.MonkeyPatch, fatal: int) -> list[int]:
    """Raise Killed in place of step `fatal`, the first time; the list takes every step's number."""
    step_of = pretraining._train_step
    steps: list[int] = []

    def train_step(model, optimizers, curriculum, step, tokenizer):
        steps.append(step)
        if steps == [*range(fatal + 1)]:
            raise Killed
        return step_of(model, optimizers, curriculum, step, tokenizer)

    monkeypatch.setattr(pretraining, "_train_step", train_step)
    return steps
