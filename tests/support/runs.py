"""The lines of a run folder's files as they are, without their types."""

from seal.records import Record, read_jsonl
from seal.run import Run


def lines_of(run: Run, name: str) -> list[Record]:
    """The records of NAME.jsonl; [] without the file."""
    path = run.path(f"{name}.jsonl")
    return read_jsonl(path) if path.exists() else []
