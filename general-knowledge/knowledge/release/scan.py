"""Finding and reading the files of the authors' release, or of a part of it, in any layout.

What a file is shows in its content, in both versions of the release:
- a data set: a list of {title, context, questions, completions, prompt}, or SQuAD's passages alone;
- examinations, one inner loop per self-edit: {overall, articles: [{title, context, completions}]};
- continued pretraining: v1 {overall, per_article, server_reply}, v2 {metrics, per_question, args};
- sequences of edits: {mean_over_sequences, std_over_sequences, n_sequences};
- finetuning rows: JSON Lines of {prompt, completion}.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from knowledge.data.passages import Passage, group_rows, load_passages
from knowledge.release import records
from seal.errors import UserError
from seal.records import read_json, read_jsonl

Kind = TypeVar("Kind", bound=records.Released)

_READERS = {".json": read_json, ".jsonl": read_jsonl}


@dataclass(frozen=True)
class Release:
    """What was found; paths are relative to `folder`."""

    folder: Path
    files: tuple[records.Released, ...]
    problems: Mapping[Path, str]
    """Files that could not be read, with the reason; they are left out."""

    def of(self, kind: type[Kind]) -> list[Kind]:
        """The files of one kind, those of the newer version first, else by path."""
        return [file for file in self.files if isinstance(file, kind)]

    def passage_lists(self) -> list[Sequence[Passage]]:
        """The different lists of passages, in the order of their files."""
        lists: dict[tuple[str, ...], Sequence[Passage]] = {}
        for file in [*self.of(records.Dataset), *self.of(records.Examinations)]:
            passages = file.passages
            lists.setdefault(tuple(passage.id for passage in passages), passages)
        return list(lists.values())


def read_release(folder: Path) -> Release:
    """Read every file below `folder` that is of a known layout. Raises UserError for no folder."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name a clone of the authors' release or a part")
    files: list[records.Released] = []
    problems: dict[Path, str] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix not in _READERS or hidden or not path.is_file():
            continue
        try:
            released = parse_released(relative, folder, _READERS[path.suffix](path))
        except (ValidationError, UserError, OSError) as error:
            problems[relative] = _reason(error).replace(f"{folder}/", "")
        else:
            files += [released] if released else []
    return Release(folder, tuple(sorted(files, key=_newer_first)), problems)


def _newer_first(file: records.Released) -> tuple[bool, str]:
    return bool({"v1", "old"} & {part.lower() for part in file.path.parts}), str(file.path)


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")


def parse_released(path: Path, folder: Path, content: Any) -> records.Released | None:
    """The record of what `content`, read from `folder`/`path`, says; None for anything else.

    Raises ValidationError or UserError for a file that differs from others of its layout.
    """
    match content:
        case [{"title": _, "context": _, "questions": _}, *_] | {"data": [{"paragraphs": _}, *_]}:
            passages = load_passages(folder / path)
            entries = content if isinstance(content, list) else [{} for _ in passages]
            return records.Dataset(path, passages, list(map(records.Entry.model_validate, entries)))
        case [{"prompt": _, "completion": _}, *_]:
            return records.SftFile(path, list(map(records.ReleasedRow.model_validate, content)))
        case {"overall": _, "articles": list()}:
            return _examinations(records.Examinations.model_validate(content | {"path": path}))
        case {"overall": overall, "per_article": _} | {"overall": overall, "server_reply": _}:
            # per_article is keyed by the title: of several passages with one title it has the last
            # alone. Only the server's reply has every question
            asked = content.get("server_reply") or {}
            return _pretraining(asked, overall, content, path=path, version="v1")
        case {"metrics": metrics, "per_question": asked}:
            return _pretraining(asked, metrics, content, path=path, version="v2")
        case {"mean_over_sequences": _, "std_over_sequences": _, "n_sequences": _}:
            return records.Sequences.model_validate(content | {"path": path})
    return None


def _examinations(file: records.Examinations) -> records.Examinations:
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


def _pretraining(asked: Any, stated: Any, content: Any, **about: Any) -> records.Pretraining:
    fields: dict[str, Any] = {}
    for part in (content.get("args") or {}, asked, stated, content):
        if not isinstance(part, Mapping):
            raise UserError(f"{repr(part)[:40]} is not an object")
        fields |= part
    return records.Pretraining.model_validate(fields | about)
