"""Reading a file of the authors' release; what it is shows in its content.

Layouts, of both versions of the release:
- a data set: a list of {title, context, questions, completions, prompt}, or SQuAD's passages alone;
- examinations, one inner loop per self-edit: {overall, articles: [{title, context, completions}]};
- continued pretraining: v1 {overall, per_article, server_reply}, v2 {metrics, per_question, args};
- sequences of edits: {mean_over_sequences, std_over_sequences, n_sequences};
- finetuning rows: JSON Lines of {prompt, completion}.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from knowledge.data.passages import group_rows, load_passages
from knowledge.release.records import (
    Dataset,
    Entry,
    Examinations,
    Pretraining,
    Released,
    ReleasedRow,
    Sequences,
    SftFile,
)
from seal.errors import UserError

DEFECTS = (ValidationError, UserError, OSError)
"""What `parse_released` and the readers of JSON raise for a file that cannot be used."""


def parse_released(path: Path, folder: Path, content: Any) -> Released | None:
    """The record of what `content`, read from `folder`/`path`, says; None for anything else.

    Raises ValidationError or UserError for a file that differs from others of its layout.
    """
    match content:
        case [{"title": _, "context": _, "questions": _}, *_] | {"data": [{"paragraphs": _}, *_]}:
            passages = load_passages(folder / path)
            entries = content if isinstance(content, list) else [{} for _ in passages]
            return Dataset(path, passages, list(map(Entry.model_validate, entries)))
        case [{"prompt": _, "completion": _}, *_]:
            return SftFile(path, list(map(ReleasedRow.model_validate, content)))
        case {"overall": _, "articles": list()}:
            return _examinations(Examinations.model_validate(content | {"path": path}))
        case {"overall": overall, "per_article": _} | {"overall": overall, "server_reply": _}:
            # per_article is keyed by the title: of several passages with one title it has the last
            # alone. Only the server's reply has every question
            return _pretraining(path, "v1", content, overall, content.get("server_reply") or {})
        case {"metrics": metrics, "per_question": asked}:
            return _pretraining(path, "v2", content, metrics, asked)
        case {"mean_over_sequences": _, "std_over_sequences": _, "n_sequences": _}:
            return Sequences.model_validate(content | {"path": path})
    return None


def why(error: Exception) -> str:
    """One of `DEFECTS` in words."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")


def _examinations(file: Examinations) -> Examinations:
    """With the ids that `load_passages` gives to passages; they depend on title and context."""
    if not file.articles:
        return file
    asked = {"question": "?", "answers": {"text": ["?"]}}
    rows = [{"title": a.title, "context": a.context, **asked} for a in file.articles]
    ids = {(p.title, p.context): p.id for p in group_rows(rows, str(file.path))}
    articles = [
        a.model_copy(update={"passage_id": ids[a.title.replace("_", " "), a.context]})
        for a in file.articles
    ]
    return file.model_copy(update={"articles": articles})


def _pretraining(
    path: Path, version: Literal["v1", "v2"], content: Mapping[str, Any], stated: Any, asked: Any
) -> Pretraining:
    fields: dict[str, Any] = {}
    for part in (content.get("args") or {}, asked, stated, content):
        if not isinstance(part, Mapping):
            raise UserError(f"{repr(part)[:40]} is not an object")
        fields |= part
    return Pretraining.model_validate(fields | {"path": path, "version": version})
