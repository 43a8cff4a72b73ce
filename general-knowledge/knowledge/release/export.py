"""The release as this project's records and prompt files, which its programs take as input."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from knowledge.data.prompts import SELF_EDIT_KINDS, answer_file
from knowledge.method.round_statistics import accuracy
from knowledge.method.scores import Scores
from knowledge.release.records import PREFIXES, Dataset, Examinations, Pretraining, Sequences
from knowledge.release.results import RELEASED_JUDGE, pool_sequences, scores_of
from knowledge.release.row_of_file import is_ranking, prompt_kind
from knowledge.release.scan import Release
from knowledge.release.verify import selected_rows
from knowledge.settings import PROMPTS
from seal.errors import UserError
from seal.prompt_files import load_prompt
from seal.records import Record, write_text

ANSWER_STYLES = ("plain", "chain-of-thought")


def exported(release: Release) -> Iterator[tuple[Path, list[Record]]]:
    """Every file to write: its path below the output folder, from its source's, and its lines."""
    for dataset in release.of(Dataset):
        if any(entry.self_edits for entry in dataset.entries):
            yield _path("self_edits", dataset.path), self_edit_records(dataset)
    pools = release.passage_lists()
    for file in [*release.of(Examinations), *release.of(Pretraining)]:
        if isinstance(file, Examinations) and is_ranking(file):
            yield _path("rewards", file.path), reward_records(file)
            yield _path("sft", file.path), [row.model_dump() for row in selected_rows(file)]
        for stage in PREFIXES:
            if records := answer_records(scores_of(file, stage, pools)):
                yield _path("answers", file.path, f".{stage}"), records


def _path(kind: str, source: Path, suffix: str = "") -> Path:
    return Path(kind) / source.parent / f"{source.stem}{suffix}.jsonl"


def self_edit_records(dataset: Dataset) -> list[Record]:
    """Lines of self_edits.jsonl; the release did not record how a text ended, nor its tokens."""
    kind = prompt_kind(dataset.path)
    return [
        {
            "id": f"{passage.id}/{kind}/{number}",
            "passage_id": passage.id,
            "kind": kind,
            "text": text,
            "finish_reason": "unknown",
            "n_tokens": 0,
        }
        for passage, entry in zip(dataset.passages, dataset.entries, strict=True)
        for number, text in enumerate(entry.self_edits)
    ]


def reward_records(file: Examinations) -> list[Record]:
    """Lines of rewards.jsonl, with the accuracies of the inner loops where the file has them."""
    kind = prompt_kind(file.path, file.dataset)
    return [
        {
            "id": f"{article.passage_id}/{kind}/{number}",
            "passage_id": article.passage_id,
            "reward": self_edit.reward,
            "accuracies": list(map(accuracy, self_edit.verdicts("after"))),
        }
        for article in file.articles
        for number, self_edit in enumerate(article.self_edits)
    ]


def answer_records(scores: Scores) -> list[Record]:
    """Graded answers, as grade_answers.py reads and writes them."""
    copied = ("passage_id", "title", "question", "gold", "answer")
    return [
        {
            "id": f"{answer.trial}/{number}",
            **{name: getattr(answer, name) for name in copied},
            "verdict": answer.correct,
            "probability": None if answer.correct is None else float(answer.correct),
            "judge": RELEASED_JUDGE,
        }
        for number, answer in enumerate(scores.answers)
    ]


def continual_record(release: Release) -> Record | None:
    """The pooled matrices of continual self-edits; None without runs."""
    pooled = pool_sequences(release.of(Sequences))
    return pooled and {name: np.asarray(value).tolist() for name, value in vars(pooled).items()}


# Prompt files. The wording is the authors' (MIT licence) and not part of this project: it is
# recovered from filled-in prompts in the user's clone, and written into the user's copy


def unfilled(prompt: str, title: str, passage: str) -> str | None:
    """A prompt with {title} and {passage} back in it; None if the passage is not in it."""
    text = passage if passage in prompt else passage.strip()
    if not text or text not in prompt:
        return None
    wording = prompt.replace(text, "\0", 1)
    # A title stands alone on a line, or comes first: an instruction may hold the same word
    by_line = re.sub(rf"^{re.escape(title)}$", "{title}", wording, flags=re.MULTILINE)
    titled = wording.replace(title, "{title}", 1) if by_line == wording else by_line
    return titled.replace("\0", "{passage}")


def prompt_wordings(release: Release) -> dict[str, str]:
    """The most frequent wording for each kind of prompt, in the order of --prompt_kind."""
    found: dict[str, Counter[str]] = {}
    for kind, prompt, title, passage in _filled(release):
        wording = unfilled(prompt, title, passage)
        if wording is not None:
            found.setdefault(kind, Counter())[wording] += 1
    return {kind: found[kind].most_common(1)[0][0] for kind in SELF_EDIT_KINDS if kind in found}


def _filled(release: Release) -> Iterator[tuple[str, str, str, str]]:
    """Kind, prompt, title and passage of every prompt in the release."""
    for dataset in release.of(Dataset):
        kind = prompt_kind(dataset.path)
        for passage, entry in zip(dataset.passages, dataset.entries, strict=True):
            yield kind, entry.prompt, passage.title, passage.context
    for file in release.of(Examinations):
        kind = prompt_kind(file.path, file.dataset)
        for article in file.articles:
            yield kind, article.prompt, article.title, article.context


def export_prompts(release: Release, folder: Path) -> dict[str, str]:
    """Write FOLDER/KIND.txt for each kind found, and our answer prompts, which programs also need.

    Returns the kinds that were written, each with what keeps it from being used ("" if nothing).
    """
    written = {}
    for kind, wording in prompt_wordings(release).items():
        path = folder / f"{kind}.txt"
        write_text(path, wording)
        written[kind] = ""
        try:
            load_prompt(path, frozenset({"title", "passage"}))
        except UserError as error:
            written[kind] = str(error)
    for style in ANSWER_STYLES if written else ():
        shutil.copyfile(PROMPTS / answer_file(style), folder / answer_file(style))
    return written
