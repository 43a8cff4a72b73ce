"""Programs that tests run in their own process fork the finetunings that they start."""

import pytest

from tests.support.processes import run_finetune_forked


@pytest.fixture(autouse=True)
def forked_finetunes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real finetuning, without its imports; tests/seal/training starts it as users do."""
    monkeypatch.setattr("seal.training.sft._run", run_finetune_forked)
