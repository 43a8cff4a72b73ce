"""Every random choice of a run derives from (run seed, item, repeat), never from the time."""

import hashlib


def derive_seed(run_seed: int, item_id: str, repeat: int = 0) -> int:
    """A seed in [0, 2**31) that depends on its three arguments alone.

    The bits come from SHA-256, so neighbouring repeats are unrelated and the value is the same on
    every machine and Python version (`hash` is neither).
    """
    digest = hashlib.sha256(f"{run_seed}\x1f{item_id}\x1f{repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
