"""Which rows of which tables a released file fills; by its name, else by the data set it names."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from knowledge.release.records import Examinations, Pretraining, Stage

RowKey = tuple[str, str]
"""Ids of a table and of a row in it."""
Filled = list[tuple[RowKey, Stage]]
"""Rows, each with the stage of a file that fills it."""

_KINDS = {
    "long": "implications-long",
    "very-long": "implications-very-long",
    "cot": "implications-chain-of-thought",
    "chain-of-thought": "implications-chain-of-thought",
}
_PROMPT = re.compile(r"prompt[-_](?P<kind>[a-z]+(?:-[a-z]+)*)")
# The first that fits counts. The evaluation of answers after chain of thought is in no table; its
# pattern comes first because its data set would be taken for another writer's
_WRITERS = (
    ("chain-of-thought-answers", r"cot-eval"),
    ("generative-adapter", r"generative[-_]?adapter"),
    ("entigraph-pairs+triples", r"enti\w*-pairs?\+triples?"),
    ("entigraph-pairs", r"enti\w*-pairs?"),
    ("gpt-4.1", r"gpt[-_]?4[._]?1|openai"),
    ("passage", r"naive"),
    ("seal-1", r"iter1"),
    ("seal", r"iter2"),
    ("self-edits", r"base|iter0"),
)
_ROUNDS = {"self-edits": 0, "seal-1": 1, "seal": 2}


@dataclass(frozen=True)
class Identity:
    """Who wrote the self-edits of a result file, and how they were asked."""

    writer: str | None
    """A row of the single-passage or pretraining tables; None if the names do not tell."""
    kind: str
    """The prompt, as the flag --prompt_kind calls it."""


def identify(file: Examinations | Pretraining) -> Identity:
    """Read the names of a result file, its folder and data set."""
    name, dataset = _words(file.path.as_posix()), _words(file.dataset)
    writer = _writer(name) or _writer(dataset)
    # The release's file of the Generative Adapter trains on no self-edits either
    if isinstance(file, Pretraining) and not file.k and _writer(name) in (None, "self-edits"):
        writer = "passage"
    return Identity(writer, prompt_kind(name) or prompt_kind(dataset) or "implications")


def prompt_kind(path: str) -> str | None:
    """The prompt that a file's name says, as --prompt_kind calls it; None if it says none."""
    found = _PROMPT.search(_words(path))
    return _KINDS.get(found["kind"], found["kind"]) if found else None


def _words(path: str) -> str:
    return path.lower().removesuffix(".jsonl").removesuffix(".json")


def _writer(path: str) -> str | None:
    stem = PurePosixPath(path).name
    for writer, pattern in _WRITERS:
        if re.search(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", stem):
            return writer
    return None


def is_ranking(file: Examinations) -> bool:
    """Whether a file holds rewards of a round of RL rather than an evaluation."""
    name = PurePosixPath(_words(file.path.as_posix()))
    asked_often = file.k > 1 or file.repeats > 1
    return asked_often or name.name.startswith("rank") or "/train/" in _words(file.dataset)


def rows_filled_by(file: Examinations | Pretraining) -> Filled:
    """The rows that a file fills, each with the stage that fills it; [] for any other file."""
    identity, name = identify(file), _words(file.path.as_posix())
    writer, kind = identity.writer, identity.kind
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
    folders = [*PurePosixPath(name).parts, *PurePosixPath(_words(file.dataset)).parts]
    if "3b" in folders or re.search(r"\b3b\b", file.model.lower()):
        return _with_base("sizes", "3b/", writer) if kind == "implications" else []
    rows: Filled = []
    if kind == "implications" or writer == "generative-adapter":
        rows += _with_base("single-passage", "", writer) + _with_base("sizes", "", writer)
    if writer in _ROUNDS:
        rows.append((("prompts", f"{kind}/{_ROUNDS[writer]}"), "after"))
    if writer == "gpt-4.1":
        rows.append((("writers", kind), "after"))
    return rows


def _with_base(table: str, group: str, writer: str | None) -> Filled:
    """A writer's row, and the row without update if the file is that of the policy before RL."""
    rows: Filled = [((table, f"{group}base"), "before")] if writer == "self-edits" else []
    return [*rows, ((table, f"{group}{writer}"), "after")] if writer else []
