"""The release's files as this project's records, so that its programs can take them as input."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from knowledge.method.round_statistics import accuracy
from knowledge.method.scores import Scores
from knowledge.release.records import PREFIXES, Dataset, Examinations, Pretraining, Sequences
from knowledge.release.results import RELEASED_JUDGE, pool_sequences, scores_of
from knowledge.release.row_of_file import is_ranking, prompt_kind
from knowledge.release.scan import Release
from knowledge.release.verify import selected_rows
from seal.records import Record


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
    return [
        {
            "id": f"{answer.trial}/{number}",
            "passage_id": answer.passage_id,
            "title": answer.title,
            "question": answer.question,
            "gold": answer.gold,
            "answer": answer.answer,
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
