"""Settings of all tests, and which of them are slow."""

import pytest
from hypothesis import settings

from tests.support.data import REPOSITORY

# A test does not fail because the machine is slow
settings.register_profile("without-deadline", deadline=None)
settings.load_profile("without-deadline")

# Whole programs, kills, finetunings in processes of their own, long computations; `make check`
# leaves them out
SLOW = [
    "conformance",
    "programs",
    "vllm",
    "seal/training/test_sft.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and start them first: two processes then end at about the same time."""
    slow = [REPOSITORY / "tests" / place for place in SLOW]
    for item in items:
        if any(item.path.is_relative_to(place) for place in slow):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
