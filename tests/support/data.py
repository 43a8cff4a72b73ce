"""Where the tests find data of others: SEAL_DATA, or `shared/data` beside the repository."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def shared_folder(variable: str, default: str) -> Path:
    """The folder that the environment variable names, else `shared/<default>` by the repository."""
    return Path(os.environ.get(variable) or REPOSITORY.parent / "shared" / default)


def shared_data(relative: str) -> Path:
    """The path of a data file or folder; the calling test is skipped where it is absent."""
    path = shared_folder("SEAL_DATA", "data") / relative
    if not path.exists():
        pytest.skip(f"{path} is absent (set SEAL_DATA to the folder of data)")
    return path
