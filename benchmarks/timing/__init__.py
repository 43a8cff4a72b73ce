"""What the benchmark programs share: jobs, models with random weights, the reference, clocks.

Benchmarks stand outside both trees, so importing this puts the trees' packages on the path. Ruff
takes `timing` for a foreign package and so sorts its import before those of `arc` and `knowledge`.
"""

import os
import sys
from pathlib import Path

DEFAULT_DATA = Path(os.environ.get("SEAL_DATA", "../shared/data"))

_REPOSITORY = Path(__file__).resolve().parents[2]
sys.path += [str(_REPOSITORY / tree) for tree in ("general-knowledge", "few-shot")]
