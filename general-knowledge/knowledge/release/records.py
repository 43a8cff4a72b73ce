"""What a file of the authors' release says, as records (`knowledge.release.parse` reads them)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from knowledge.data.passages import Passage, Question
from knowledge.method.scores import JudgedAnswer

Stage = Literal["before", "after"]
"""Answers before the update, or after it: the release's baseline and adapter."""

PREFIXES: dict[Stage, str] = {"before": "baseline", "after": "adapter"}
"""What names of fields begin with."""


@dataclass(frozen=True)
class Dataset:
    """Passages, and the self-edits that a policy wrote about each, if any."""

    path: Path
    passages: tuple[Passage, ...]
    self_edits: tuple[tuple[str, ...], ...]
    prompts: tuple[str, ...]
    """One per passage, "" where none is given."""


@dataclass(frozen=True)
class RatedSelfEdit:
    """A self-edit, its reward, and the answers of its inner loops if the file has them."""

    text: str
    stats: Mapping[str, float | None]
    """The release's statistics of this self-edit."""
    answers: Mapping[Stage, Sequence[JudgedAnswer]]
    """In all its inner loops; none in files without records."""

    @property
    def reward(self) -> float | None:
        """Mean accuracy with the adapter, or the proxy score where that was the reward."""
        return self.stats.get("proxy_mean", self.stats.get("adapter_mean"))

    def inner_loops(self, stage: Stage) -> list[list[JudgedAnswer]]:
        """The answers of each inner loop."""
        loops: dict[str, list[JudgedAnswer]] = {}
        for answer in self.answers[stage]:
            loops.setdefault(answer.trial, []).append(answer)
        return list(loops.values())

    def verdicts(self, stage: Stage) -> list[list[bool]]:
        """The verdicts of each inner loop."""
        return [[bool(answer.correct) for answer in loop] for loop in self.inner_loops(stage)]


@dataclass(frozen=True)
class Article:
    """One passage of an examination file."""

    passage_id: str
    title: str
    context: str
    prompt: str
    self_edits: tuple[RatedSelfEdit, ...]


@dataclass(frozen=True)
class Examinations:
    """Inner loops on self-edits of many passages."""

    path: Path
    dataset: str
    model: str
    k: int
    repeats: int
    overall: Mapping[str, float | None]
    articles: tuple[Article, ...]

    @property
    def passages(self) -> list[Passage]:
        """The passages with the questions that the first inner loop of each was asked."""
        passages = []
        for article in self.articles:
            first = [loop for s in article.self_edits[:1] for loop in s.inner_loops("after")[:1]]
            asked = [Question(answer.question, answer.gold) for loop in first for answer in loop]
            about = (article.passage_id, article.title, article.context)
            passages.append(Passage(*about, tuple(asked)))
        return passages


@dataclass(frozen=True)
class Pretraining:
    """One model finetuned on all passages at once, and asked `n_questions` of their questions."""

    path: Path
    version: Literal["v1", "v2"]
    dataset: str
    model: str
    n_passages: int
    """0 if the file does not say."""
    k: int
    seed: int | None
    stated: Mapping[Stage, float | None]
    verdicts: Mapping[Stage, Sequence[bool]]
    """Question by question; without a stage that was not asked or not kept."""
    answers: Mapping[Stage, Sequence[str]]


@dataclass(frozen=True)
class Sequences:
    """Accuracies [R, K] of sequences of K edits (see `knowledge.experiments.retention`)."""

    path: Path
    mean: list[list[float]]
    std: list[list[float]]
    n_sequences: int


@dataclass(frozen=True)
class SftFile:
    """Rows that a policy was finetuned on."""

    path: Path
    rows: tuple[tuple[str, str], ...]
    """Prompt and completion."""


Released = Dataset | Examinations | Pretraining | Sequences | SftFile
