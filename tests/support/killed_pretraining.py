"""A pre-training that is killed from inside, for tests of how it resumes."""

import pytest

from seal.training import from_scratch as pretraining


class Killed(Exception):
    """What a kill looks like from inside."""


def kill_before(monkeypatch: pytest.MonkeyPatch, fatal: int) -> list[int]:
    """Raise Killed in place of step `fatal`, the first time; the list takes every step's number."""
    backward_of = pretraining._backward
    steps: list[int] = []

    def backward(model, curriculum, step):
        steps.append(step)
        if steps == [*range(fatal + 1)]:
            raise Killed
        return backward_of(model, curriculum, step)

    monkeypatch.setattr(pretraining, "_backward", backward)
    return steps
