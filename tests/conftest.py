"""Settings of all tests, and which of them are slow."""

import pytest
from hypothesis import settings

# A test does not fail because the machine is slow
settings.register_profile("without-deadline", deadline=None)
settings.load_profile("without-deadline")

# The slow tests, by the beginning of their ids: whole programs, kills, finetunings in processes of
# their own, long computations. `make check` leaves them out
SLOW = (
    "tests/programs/",
    "tests/vllm/",
    "tests/faults/test_changed_inputs.py",
    "tests/faults/test_refused_at_the_start.py",
    "tests/conformance/test_g6_offline_judge.py",
    "tests/knowledge/experiments/test_continual.py::test_killed_at_every_call",
    "tests/knowledge/small_world/test_pretraining.py::test_a_killed_run",
    "tests/seal/command_line/test_process.py",
    "tests/seal/training/test_sft.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and start their files first: all processes then end together."""
    slow_files = tuple(start.split("::")[0] for start in SLOW)
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: not item.nodeid.startswith(slow_files))
