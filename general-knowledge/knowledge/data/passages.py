"""Passages with their questions, from SQuAD's JSON, the release's grouped JSON or the Hub.

Paper, section 4.1: SQuAD v1.1, its questions grouped by passage, one gold answer for each.
"""

import dataclasses
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seal.errors import UserError
from seal.records import field, read_json

_HUB_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(:(?P<split>\w+))?")
_SLUG_LENGTH = 40


@dataclass(frozen=True)
class Question:
    """A question about a passage and its gold answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Passage:
    """One paragraph of an article; `id` depends on title and context alone."""

    id: str
    title: str
    context: str
    questions: tuple[Question, ...]
    place: str = dataclasses.field(default="", compare=False, repr=False)
    """Where it was read, in words that a message begins with: a file, and its place there."""


def load_passages(source: str | Path) -> list[Passage]:
    """The passages of a file or of a Hugging Face data set, in their order there.

    `source` is one of
    - a JSON file with SQuAD's own layout, {"data": [{"title", "paragraphs": [...]}]};
    - a JSON file with the release's, [{"title", "context", "questions": [{"question", "answer"}]}];
    - NAME:SPLIT of a data set with SQuAD's columns, such as rajpurkar/squad:train. The split has no
      default, since evaluating on the training split would go unnoticed.

    The first gold answer counts. Titles from SQuAD have spaces for underscores, as in the release.
    SQuAD's paragraphs with equal title and text become one passage; those without questions are
    left out (the release has 18,891 training passages; the file has 18,896 paragraphs). Raises
    UserError, with the place and the fix, for anything missing, blank or malformed.
    """
    hub_name = _HUB_NAME.fullmatch(str(source))
    path = Path(source)
    if hub_name and not path.exists() and path.suffix != ".json":
        return group_rows(_load_rows(hub_name["name"], hub_name["split"]), str(source))
    match read_json(path):
        case {"data": list(articles)}:
            passages = _merge_equal(_squad_passages(articles, str(path)))
        case list(entries):
            passages = [_grouped(*place) for place in _places(str(path), "passage", entries)]
        case _:
            problem = 'neither SQuAD\'s {"data": [...]} nor a list of passages'
            raise UserError(f"{path}: {problem}; give one of the two layouts")
    return _with_ids(passages, str(path))


def group_rows(rows: Iterable[Mapping[str, Any]], source: str) -> list[Passage]:
    """Passages from rows with one question each: title, context, question, answers {"text": [...]}.

    `source` names the rows in messages. Raises UserError for a row that is incomplete.
    """
    passages = (
        _unnamed(_text(row, "title", where).replace("_", " "), row, [_answered(row, where)], where)
        for where, row in _places(source, "row", rows)
    )
    return _with_ids(_merge_equal(passages), source)


def _load_rows(name: str, split: str | None) -> Iterable[Mapping[str, Any]]:
    if split is None:
        raise UserError(f"{name} is not a file; to read it from the Hub add a split: {name}:train")
    import datasets  # slow to import, and needed for the Hub alone

    try:
        return datasets.load_dataset(name, split=split)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        problem = str(error).partition("\n")[0]
        raise UserError(
            f"{name}:{split} does not load from the Hub ({problem}); check name, split and network,"
            " or give a JSON file"
        ) from error


def _squad_passages(articles: list[Any], path: str) -> Iterator[Passage]:
    """A passage for every answerable question (SQuAD v2 marks the others)."""
    for where, article in _places(path, "article", articles):
        title = _text(article, "title", where)
        where = f"{where} ({title})"
        paragraphs = field(article, "paragraphs", list, where)
        for place, paragraph in _places(where, "paragraph", paragraphs):
            asked = field(paragraph, "qas", list, place)
            for spot, question in _places(place, "question", asked):
                if not (isinstance(question, dict) and question.get("is_impossible")):
                    own = [_answered(question, spot)]
                    yield _unnamed(title.replace("_", " "), paragraph, own, place)


def _grouped(where: str, entry: Any) -> Passage:
    title = _text(entry, "title", where)
    where = f"{where} ({title})"
    questions = [
        Question(_text(item, "question", place), _text(item, "answer", place))
        for place, item in _places(where, "question", field(entry, "questions", list, where))
    ]
    if not questions:
        raise UserError(f"{where}: no questions; add one or remove the passage")
    return _unnamed(title, entry, questions, where)


def _answered(record: Any, where: str) -> Question:
    """A question with SQuAD's list of gold answers, of which the first is taken."""
    question = _text(record, "question", where)
    answers = field(record, "answers", object, where)
    # The files have [{"text": ...}], the Hub's rows {"text": [...]}
    texts = answers.get("text") if isinstance(answers, dict) else answers
    if not isinstance(texts, list) or not texts:
        raise UserError(f"{where}: no answers; give one or remove the question")
    first = texts[0] if isinstance(texts[0], dict) else {"text": texts[0]}
    return Question(question, _text(first, "text", f"{where} answer 1"))


def _unnamed(title: str, record: Any, questions: list[Question], where: str) -> Passage:
    return Passage("", title, _text(record, "context", where), tuple(questions), where)


def _merge_equal(passages: Iterable[Passage]) -> list[Passage]:
    """One passage for each title and context, where it first appeared, with all its questions."""
    equal: dict[tuple[str, str], list[Passage]] = {}
    for passage in passages:
        equal.setdefault((passage.title, passage.context), []).append(passage)
    return [
        replace(
            first, questions=tuple(asked for each in (first, *others) for asked in each.questions)
        )
        for first, *others in equal.values()
    ]


def _with_ids(passages: list[Passage], source: str) -> list[Passage]:
    """Readable and stable ids; the second of two equal passages ends in -2."""
    if not passages:
        raise UserError(f"{source}: no passages; add some")
    seen: Counter[str] = Counter()
    named = []
    for passage in passages:
        ascii_title = unicodedata.normalize("NFKD", passage.title).encode("ascii", "ignore")
        slug = re.sub(r"[^a-z0-9]+", "-", ascii_title.decode().lower())[:_SLUG_LENGTH].strip("-")
        content = f"{passage.title}\x1f{passage.context}".encode()
        name = f"{slug or 'passage'}-{hashlib.sha256(content).hexdigest()[:8]}"
        seen[name] += 1
        suffix = f"-{seen[name]}" if seen[name] > 1 else ""
        named.append(replace(passage, id=name + suffix))
    return named


def _places(where: str, kind: str, items: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Each item with its place in words, counted from 1: the text that messages begin with."""
    return ((f"{where} {kind} {number}", item) for number, item in enumerate(items, start=1))


def _text(record: Any, name: str, where: str) -> str:
    return field(record, name, str, where, filled=True)
