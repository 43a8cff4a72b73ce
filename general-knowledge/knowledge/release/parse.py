"""Reading a file of the authors' release; what it is shows in its content.

Layouts, of both versions of the release:
- a data set: a list of {title, context, questions, completions, prompt}, or SQuAD's passages alone;
- examinations, one inner loop per self-edit: {overall, articles: [{title, context, completions}]};
- continued pretraining: v1 {overall, per_article, server_reply}, v2 {metrics, per_question, args};
- sequences of edits: {mean_over_sequences, std_over_sequences, n_sequences};
- finetuning rows: JSON Lines of {prompt, completion}.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from knowledge.data.passages import group_rows, load_passages
from knowledge.release.records import (
    PREFIXES,
    Answered,
    Article,
    Dataset,
    Examinations,
    Pretraining,
    RatedSelfEdit,
    Released,
    Sequences,
    SftFile,
    Side,
)
from seal.errors import UserError


class Defect(ValueError):
    """A value that is not what it is in the release's other files."""


def parse_released(path: Path, folder: Path, content: Any) -> Released | None:
    """The record that `content`, read from `folder`/`path`, amounts to; None for anything else.

    Raises Defect, KeyError or UserError where a file is not as the others of its layout.
    """
    match content:
        case [{"title": _, "context": _, "questions": _}, *_] | {"data": [{"paragraphs": _}, *_]}:
            return _dataset(path, folder, content)
        case [{"prompt": _, "completion": _}, *_]:
            rows = [_object(row) for row in content]
            return SftFile(path, tuple((_text(r["prompt"]), _text(r["completion"])) for r in rows))
        case {"overall": _, "articles": list()}:
            return _examinations(path, content)
        case {"overall": _, "per_article": _} | {"overall": _, "server_reply": _}:
            # per_article is keyed by the title, so of several passages with one title it has the
            # last alone; only the server's reply has every question
            reply = _object(content.get("server_reply") or {})
            return _pretraining(path, "v1", content, _object(content["overall"]), reply)
        case {"metrics": _, "per_question": _}:
            asked = _object(content["per_question"])
            return _pretraining(path, "v2", content, _object(content["metrics"]), asked)
        case {"mean_over_sequences": mean, "std_over_sequences": std, "n_sequences": n}:
            return _sequences(path, mean, std, n)
    return None


def why(error: Exception) -> str:
    """A defect of a file in words, as `parse_released` raised it."""
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
        dataset=_text(content.get("dataset") or ""),
        model=_text(content.get("model") or ""),
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
    return Article(
        passage_id,
        entry["title"],
        entry["context"],
        _text(entry.get("prompt") or ""),
        tuple(
            _rated(passage_id, entry["title"], number, _object(completion))
            for number, completion in enumerate(_list(entry["completions"]))
        ),
    )


def _rated(
    passage_id: str, title: str, number: int, completion: Mapping[str, Any]
) -> RatedSelfEdit:
    repetitions: dict[Side, dict[int, tuple[Answered, ...]]] = {"before": {}, "after": {}}
    for question in map(_object, _list(completion.get("questions") or [])):
        repeat = _count(question.get("rep", 0))
        for side, prefix in PREFIXES.items():
            answered = Answered(
                passage_id,
                title,
                _text(question["question"]),
                _text(question["answer"]),
                _text(question[f"{prefix}_answer"]),
                _verdict(question[f"{prefix}_correct"]),
                trial=f"{passage_id}/{number}/{repeat}",
            )
            of_side = repetitions[side]
            of_side[repeat] = (*of_side.get(repeat, ()), answered)
    stats = _statistics(completion.get("stats") or {})
    return RatedSelfEdit(_text(completion["text"]), stats, repetitions)


def _pretraining(
    path: Path,
    version: Literal["v1", "v2"],
    content: Mapping[str, Any],
    stated: Mapping[str, Any],
    asked: Mapping[str, Any],
) -> Pretraining:
    verdicts: dict[Side, list[bool]] = {}
    answers: dict[Side, list[str]] = {}
    for side, prefix in PREFIXES.items():
        of_side = _list(asked.get(f"{prefix}_correct") or [])
        texts = _list(asked.get(f"{prefix}_texts") or [])
        if of_side:
            verdicts[side] = list(map(_verdict, of_side))
        if texts:
            answers[side] = list(map(_text, texts))
        if texts and len(texts) != len(of_side):
            raise Defect(f"{len(texts)} answers with {len(of_side)} verdicts")
    settings = {**_object(content.get("args") or {}), **content}
    return Pretraining(
        path,
        version,
        dataset=_text(settings.get("dataset") or ""),
        model=_text(settings.get("model") or ""),
        n_passages=_count(settings.get("n_articles") or 0),
        k=_count(settings.get("k_completions") or 0),
        seed=None if settings.get("seed") is None else _count(settings["seed"]),
        stated={side: _number(stated.get(f"{p}_accuracy")) for side, p in PREFIXES.items()},
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


def _statistics(value: Any) -> dict[str, float | None]:
    return {name: _number(number) for name, number in _object(value).items()}


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Defect(f"{_shown(value)} is no object")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Defect(f"{_shown(value)} is no list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Defect(f"{_shown(value)} is no text")
    return value


def _verdict(value: Any) -> bool:
    if value not in (True, False):
        raise Defect(f"{_shown(value)} is no verdict")
    return bool(value)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise Defect(f"{_shown(value)} is no number")
    return float(value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise Defect(f"{_shown(value)} is no count")
    return value


def _shown(value: Any) -> str:
    return repr(value)[:40]


DEFECTS = (Defect, KeyError, UserError, OSError)
"""What `parse_released` and the readers of JSON raise for a file that is of no use."""
