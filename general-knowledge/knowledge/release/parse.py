"""Reading a file of the authors' release; what it is shows in its content.

Layouts, of both versions of the release:
- a data set: a list of {title, context, questions, completions, prompt}, or SQuAD's passages alone;
- examinations, one inner loop per self-edit: {overall, articles: [{title, context, completions}]};
- continued pretraining: v1 {overall, per_article, server_reply}, v2 {metrics, per_question, args};
- sequences of edits: {mean_over_sequences, std_over_sequences, n_sequences};
- finetuning rows: JSON Lines of {prompt, completion}.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeVar

from knowledge.data.passages import group_rows, load_passages
from knowledge.method.scores import JudgedAnswer
from knowledge.release.records import (
    PREFIXES,
    Article,
    Dataset,
    Examinations,
    Pretraining,
    RatedSelfEdit,
    Released,
    Sequences,
    SftFile,
    Stage,
)
from seal.errors import UserError

T = TypeVar("T")


class Defect(ValueError):
    """A value that is not what it is in the release's other files."""


DEFECTS = (Defect, KeyError, UserError, OSError)
"""What `parse_released` and the readers of JSON raise for a file that is of no use."""


def parse_released(path: Path, folder: Path, content: Any) -> Released | None:
    """The record of what `content`, read from `folder`/`path`, says; None for anything else.

    Raises Defect, KeyError or UserError for a file that differs from others of its layout.
    """
    match content:
        case [{"title": _, "context": _, "questions": _}, *_] | {"data": [{"paragraphs": _}, *_]}:
            return _dataset(path, folder, content)
        case [{"prompt": _, "completion": _}, *_]:
            rows = [_object(row) for row in content]
            return SftFile(path, tuple((_text(r["prompt"]), _text(r["completion"])) for r in rows))
        case {"overall": _, "articles": list()}:
            return _examinations(path, content)
        case {"overall": overall, "per_article": _} | {"overall": overall, "server_reply": _}:
            # per_article is keyed by the title: of several passages with one title it has the last
            # alone. Only the server's reply has every question
            return _pretraining(path, "v1", content, overall, content.get("server_reply") or {})
        case {"metrics": metrics, "per_question": asked}:
            return _pretraining(path, "v2", content, metrics, asked)
        case {"mean_over_sequences": mean, "std_over_sequences": std, "n_sequences": n}:
            return _sequences(path, mean, std, n)
    return None


def why(error: Exception) -> str:
    """One of `DEFECTS` in words."""
    return f'"{error.args[0]}" is missing' if isinstance(error, KeyError) else str(error)


def _dataset(path: Path, folder: Path, content: Any) -> Dataset:
    passages = tuple(load_passages(folder / path))
    entries = content if isinstance(content, list) else [{} for _ in passages]
    return Dataset(
        path,
        passages,
        tuple(tuple(map(_text, _list(e.get("completions") or []))) for e in entries),
        tuple(_text(entry.get("prompt") or "") for entry in entries),
    )


def _examinations(path: Path, content: Mapping[str, Any]) -> Examinations:
    articles = [_object(article) for article in content["articles"]]
    ids = _passage_ids(articles, path) if articles else []
    return Examinations(
        path,
        dataset=_named(content, "dataset"),
        model=_named(content, "model"),
        k=_count(content.get("k_completions") or 1),
        repeats=_count(content.get("eval_times") or 1),
        overall=_statistics(content["overall"]),
        articles=tuple(_article(name, entry) for name, entry in zip(ids, articles, strict=True)),
    )


def _passage_ids(articles: Sequence[Mapping[str, Any]], path: Path) -> list[str]:
    """The ids that `load_passages` gives; they depend on title and context alone."""
    asked = {"question": "?", "answers": {"text": ["?"]}}
    rows = [{"title": a["title"], "context": a["context"], **asked} for a in articles]
    ids = {(p.title, p.context): p.id for p in group_rows(rows, str(path))}
    return [ids[row["title"].replace("_", " "), row["context"]] for row in rows]


def _article(passage_id: str, entry: Mapping[str, Any]) -> Article:
    about = (passage_id, entry["title"], entry["context"], _named(entry, "prompt"))
    self_edits = enumerate(map(_object, _list(entry["completions"])))
    return Article(*about, tuple(_rated(*about[:2], *self_edit) for self_edit in self_edits))


def _rated(
    passage_id: str, title: str, number: int, completion: Mapping[str, Any]
) -> RatedSelfEdit:
    questions = [_object(question) for question in _list(completion.get("questions") or [])]
    answers = {
        stage: [
            JudgedAnswer(
                passage_id,
                title,
                _text(question["question"]),
                _text(question["answer"]),
                _text(question[f"{prefix}_answer"]),
                _verdict(question[f"{prefix}_correct"]),
                trial=f"{passage_id}/{number}/{_count(question.get('rep', 0))}",
            )
            for question in questions
        ]
        for stage, prefix in PREFIXES.items()
    }
    return RatedSelfEdit(
        _text(completion["text"]), _statistics(completion.get("stats") or {}), answers
    )


def _pretraining(
    path: Path, version: Literal["v1", "v2"], content: Mapping[str, Any], stated: Any, asked: Any
) -> Pretraining:
    verdicts: dict[Stage, list[bool]] = {}
    answers: dict[Stage, list[str]] = {}
    stated, asked = _object(stated), _object(asked)
    for stage, prefix in PREFIXES.items():
        graded = list(map(_verdict, _list(asked.get(f"{prefix}_correct") or [])))
        texts = list(map(_text, _list(asked.get(f"{prefix}_texts") or [])))
        verdicts |= {stage: graded} if graded else {}
        answers |= {stage: texts} if texts else {}
        if texts and len(texts) != len(graded):
            raise Defect(f"{len(texts)} answers with {len(graded)} verdicts")
    settings = {**_object(content.get("args") or {}), **content}
    return Pretraining(
        path,
        version,
        dataset=_named(settings, "dataset"),
        model=_named(settings, "model"),
        n_passages=_count(settings.get("n_articles") or 0),
        k=_count(settings.get("k_completions") or 0),
        seed=None if settings.get("seed") is None else _count(settings["seed"]),
        stated={stage: _number(stated.get(f"{p}_accuracy")) for stage, p in PREFIXES.items()},
        verdicts=verdicts,
        answers=answers,
    )


def _sequences(path: Path, mean: Any, std: Any, n_sequences: Any) -> Sequences:
    matrices = [[[_number(x) or 0.0 for x in _list(r)] for r in _list(m)] for m in (mean, std)]
    shapes = {tuple(map(len, matrix)) for matrix in matrices}
    size = len(matrices[0]) - 1
    if shapes != {(size,) * (size + 1)} or size < 1:
        raise Defect("mean and std over sequences must be matrices of one row more than columns")
    return Sequences(path, *matrices, n_sequences=_count(n_sequences))


def _expected(kind: type[T], name: str) -> Callable[[Any], T]:
    """A check that raises Defect for a value of another kind."""

    def checked(value: Any) -> T:
        if not isinstance(value, kind):
            raise _defect(value, name)
        return value

    return checked


def _defect(value: Any, name: str) -> Defect:
    return Defect(f"{repr(value)[:40]} is not {name}")


_object = _expected(Mapping, "an object")
_list = _expected(list, "a list")
_text = _expected(str, "a text")


def _named(record: Mapping[str, Any], name: str) -> str:
    return _text(record.get(name) or "")


def _statistics(value: Any) -> dict[str, float | None]:
    return {name: _number(number) for name, number in _object(value).items()}


def _verdict(value: Any) -> bool:
    if value not in (True, False):
        raise _defect(value, "a verdict")
    return bool(value)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _defect(value, "a number")
    return float(value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise _defect(value, "a count")
    return value
