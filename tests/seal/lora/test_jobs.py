"""Jobs refuse what cannot be trained, and their steps and learning rates are transformers' own."""

import numpy as np
import pytest
import torch
from transformers import get_scheduler

from seal.lora import AdapterJob, PaddingLoss
from tests.support.small_jobs import random_job


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0),
        ("epochs", -0.5),
        ("epochs", float("nan")),
        ("epochs", float("inf")),
        ("batch_size", 0),
        ("gradient_accumulation", 0),
        ("rank", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("alpha", -1.0),
        ("schedule", "polynomial"),
        ("warmup_steps", -1),
        ("max_grad_norm", -0.5),
        ("max_grad_norm", float("nan")),
        ("sequences", []),
        ("sequences", [([1, 2], [1])]),
        ("sequences", [([1], [1])]),
        ("sequences", [([1, 2, 3], [1, -100, -100])]),
        ("sequences", [(np.array([1, 2, 3]), np.array([1, -100, -100]))]),
        ("sequences", [([], [])]),
        ("padding", PaddingLoss("max", token_id=0, length=16)),
    ],
)
def test_settings_that_cannot_be_carried_out_are_refused(setting, value):
    with pytest.raises(ValueError, match=r"\w"):
        random_job(0, **{setting: value})


@pytest.mark.parametrize("settings", [{"mode": "all"}, {"length": 1}, {"samples": 0}])
def test_padding_refuses_nonsense(settings):
    with pytest.raises(ValueError, match="padding"):
        PaddingLoss(**{"mode": "max", "token_id": 0} | settings)


@pytest.fixture
def shuffles(monkeypatch):
    """Known orders of five sequences in the first two epochs."""
    orders = [[3, 1, 0, 2, 4], [4, 3, 2, 1, 0]]
    monkeypatch.setattr(AdapterJob, "_shuffled", lambda job, epoch: orders[epoch])


@pytest.mark.usefixtures("shuffles")
def test_a_step_joins_accumulated_batches_and_an_epoch_ends_with_the_rest():
    job = random_job(0, lengths=(2,) * 5, epochs=2, batch_size=1, gradient_accumulation=2)
    assert job.batches() == [[3, 1], [0, 2], [4], [4, 3], [2, 1], [0]]
    job = random_job(0, lengths=(2,) * 5, epochs=2, batch_size=2, gradient_accumulation=2)
    assert job.batches() == [[3, 1, 0, 2], [4], [4, 3, 2, 1], [0]]


@pytest.mark.usefixtures("shuffles")
@pytest.mark.parametrize(
    ("epochs", "batches"),
    [
        (0.01, [[3, 1]]),
        (1 / 3, [[3, 1]]),
        (0.34, [[3, 1], [0, 2]]),  # part of a step is a step
        (0.5, [[3, 1], [0, 2]]),
        (1.0, [[3, 1], [0, 2], [4]]),
        (1.5, [[3, 1], [0, 2], [4], [4, 3], [2, 1]]),
    ],
)
def test_a_fraction_of_an_epoch_is_its_first_steps(epochs, batches):
    job = random_job(0, lengths=(2, 3, 4, 5, 6), epochs=epochs, batch_size=2)
    assert job.batches() == batches
    assert job.steps == len(batches)
    assert job.tokens == sum(2 + index for batch in batches for index in batch)


def test_a_fraction_is_cut_from_the_epochs_shuffle():
    whole = random_job(5, lengths=(2,) * 20, epochs=2)
    assert random_job(5, lengths=(2,) * 20, epochs=1.25).batches() == whole.batches()[:25]


def test_each_epoch_is_shuffled_from_the_seed():
    batches = random_job(5, lengths=(2,) * 20, epochs=2).batches()
    first, second = batches[:20], batches[20:]
    assert sorted(first) == sorted(second) == [[index] for index in range(20)]
    assert first != second
    assert batches == random_job(5, lengths=(2,) * 20, epochs=2).batches()
    # Trainer adds the epoch to its seed
    assert random_job(6, lengths=(2,) * 20, epochs=2).batches()[:20] == second


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0, 1, 4, 10, 15])
def test_learning_rates_are_those_of_transformers(schedule, warmup):
    steps = 10
    job = random_job(0, schedule=schedule, warmup_steps=warmup, learning_rate=3e-4)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=3e-4)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    scheduler = get_scheduler(name, optimizer, warmup, steps)
    for step in range(steps):
        assert job.learning_rate_at(step, steps) == scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()
