"""Which rows of which tables a released file fills; by its name, else by the data set it names."""

import re
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from knowledge.release.records import Examinations, Pretraining, Stage
from seal.records import read_json

RowKey = tuple[str, str]
"""Ids of a table and of a row in it."""
Filled = list[tuple[RowKey, Stage]]
"""Rows, each with the stage of a file that fills it."""

_PROMPT = re.compile(r"prompt[-_](?P<kind>[a-z]+(?:-[a-z]+)*)")


@cache
def _names() -> dict[str, dict[str, Any]]:
    return read_json(Path(__file__).with_name("file_names.json"))


def writer_of(file: Examinations | Pretraining) -> str | None:
    """Who wrote its self-edits: a row of a table; None if path and data set do not tell."""
    by_name = _writer(_words(file.path))
    # The release's file of the Generative Adapter trains on no self-edits either
    if isinstance(file, Pretraining) and not file.k and by_name in (None, "self-edits"):
        return "passage"
    return by_name or _writer(_words(file.dataset))


def prompt_kind(*paths: Path | str) -> str:
    """The prompt that the first of the names says, as --prompt_kind calls it; else the default."""
    found = next(filter(None, (_PROMPT.search(_words(path)) for path in paths)), None)
    return _names()["prompts"].get(found["kind"], found["kind"]) if found else "implications"


def _words(path: Path | str) -> str:
    text = path.as_posix() if isinstance(path, Path) else path
    return text.lower().removesuffix(".jsonl").removesuffix(".json")


def _writer(words: str) -> str | None:
    stem = PurePosixPath(words).name
    for writer, pattern in _names()["writers"].items():
        if re.search(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", stem):
            return writer
    return None


def is_ranking(file: Examinations) -> bool:
    """Whether a file holds rewards of a round of RL rather than an evaluation."""
    asked_often = file.k > 1 or file.repeats > 1
    ranks = PurePosixPath(_words(file.path)).name.startswith("rank")
    return asked_often or ranks or "/train/" in _words(file.dataset)


def rows_filled_by(file: Examinations | Pretraining) -> Filled:
    """The rows that a file fills, each with the stage that fills it; [] for any other file."""
    writer, name = writer_of(file), _words(file.path)
    if isinstance(file, Pretraining):
        # A file of another system need not say how many passages it learned; the paper has one
        # number of it, of the smaller setting
        named = re.search(r"_(\d{2,})$", file.path.stem)
        n_passages = int(named[1]) if named else file.n_passages or 200
        return _with_base(f"cpt-{n_passages}-{file.version}", "", writer)
    if is_ranking(file):
        scored = "mean_proxy_score" in file.overall
        number = re.search(r"iter(\d)", name)
        return [(("proxy", f"score/{number[1]}"), "after")] if scored and number else []
    if "proxy" in PurePosixPath(name).stem:
        return [(("proxy", writer), "after")] if writer else []
    kind = prompt_kind(file.path, file.dataset)
    folders = [*PurePosixPath(name).parts, *PurePosixPath(_words(file.dataset)).parts]
    if "3b" in folders or re.search(r"\b3b\b", file.model.lower()):
        return _with_base("sizes", "3b/", writer) if kind == "implications" else []
    rows: Filled = []
    if kind == "implications" or writer == "generative-adapter":
        rows += _with_base("single-passage", "", writer) + _with_base("sizes", "", writer)
    if writer in _names()["rounds"]:
        rows.append((("prompts", f"{kind}/{_names()['rounds'][writer]}"), "after"))
    if writer == "gpt-4.1":
        rows.append((("writers", kind), "after"))
    return rows


def _with_base(table: str, group: str, writer: str | None) -> Filled:
    """A writer's row, and the row without update if the file is that of the policy before RL."""
    rows: Filled = [((table, f"{group}base"), "before")] if writer == "self-edits" else []
    return [*rows, ((table, f"{group}{writer}"), "after")] if writer else []
