"""What a run took: seconds and memory, noted in metrics.jsonl by each process that finished it."""

import json
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seal.records import Record, read_text, typed

EVENT = "usage"
METRICS_FILE = "metrics.jsonl"
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss


@dataclass(frozen=True)
class Usage:
    """Wall seconds, and peaks in MB: of one process's memory, and of one GPU's (None: none used).

    A GPU's peak is what PyTorch held for tensors in this process; a vLLM server's is not in it.
    """

    seconds: float
    peak_memory_mb: float
    peak_gpu_memory_mb: float | None = None


def measure_usage(seconds: float) -> Usage:
    """The peaks of this process so far, or of a child it has waited for, beside `seconds`."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(who).ru_maxrss for who in whose)
    return Usage(round(seconds, 3), round(peak * _RSS_UNIT / 1e6, 1), _gpu_peak_mb())


def _gpu_peak_mb() -> float | None:
    # A program that computes nothing has no torch, and must not pay seconds to import it
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    devices = range(torch.cuda.device_count())
    return round(max(map(torch.cuda.max_memory_allocated, devices)) / 1e6, 1)


def read_metrics(run_dir: Path) -> list[Record]:
    """The lines of metrics.jsonl; those that are damaged are left out, as they decide nothing.

    Raises UserError if there is no such file.
    """
    records = []
    for line in read_text(run_dir / METRICS_FILE, errors="replace").split("\n"):
        with suppress(ValueError, RecursionError):
            if isinstance(record := json.loads(line), dict):
                records.append(record)
    return records


def read_usage(run_dir: Path) -> Usage | None:
    """What a finished run took, all its starts together but killed ones; None if never noted.

    Raises UserError for a folder without metrics, or for a note that lacks a number.
    """
    where = f"{run_dir / METRICS_FILE}: a line of usage"
    names = Usage.__dataclass_fields__
    noted = [record for record in read_metrics(run_dir) if record.get("event") == EVENT]
    own = [{name: each[name] for name in names if name in each} for each in noted]
    return total_usage([typed(each, Usage, where, "remove that line") for each in own])


def total_usage(parts: Sequence[Usage]) -> Usage | None:
    """Seconds summed, peaks the largest; None of nothing."""
    if not parts:
        return None
    gpu = [part.peak_gpu_memory_mb for part in parts if part.peak_gpu_memory_mb is not None]
    return Usage(
        seconds=sum(part.seconds for part in parts),
        peak_memory_mb=max(part.peak_memory_mb for part in parts),
        peak_gpu_memory_mb=max(gpu, default=None),
    )
