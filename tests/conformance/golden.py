"""Records that pin down what the official release computes, read from SEAL_GOLDEN."""

import gzip
import json
from typing import Any

import pytest

from tests.support.data import shared_folder


def golden(name: str) -> list[dict[str, Any]]:
    """The records of `<name>.jsonl` or `<name>.jsonl.gz`; skips the test where there is neither.

    Lines are cut at line feeds only: the records hold other Unicode line boundaries as they are.
    """
    folder = shared_folder("SEAL_GOLDEN", "golden")
    for path, opened in (
        (folder / f"{name}.jsonl", open),
        (folder / f"{name}.jsonl.gz", gzip.open),
    ):
        if path.exists():
            with opened(path, "rb") as file:
                return [json.loads(line) for line in file]
    pytest.skip(f"{folder} has no {name}.jsonl(.gz) (set SEAL_GOLDEN to the folder of golden data)")


def canonical_json(value: Any) -> str:
    """The form whose SHA-256 the records hold: sorted keys, no spaces, non-ASCII as it is."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
