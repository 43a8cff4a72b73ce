"""What a file of the authors' release says, as records (`knowledge.release.scan` reads them)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, model_validator

from knowledge.data.passages import Passage, Question

Stage = Literal["before", "after"]
"""Answers before the update, or after it: the release's baseline and adapter."""

PREFIXES: dict[Stage, str] = {"before": "baseline", "after": "adapter"}
"""What names of fields begin with."""

Verdict = Annotated[bool, Field(strict=False)]
Statistics = dict[str, float | None]
NullIsZero = Annotated[float, BeforeValidator(lambda value: 0.0 if value is None else value)]


class _Record(BaseModel):
    """A field has its type exactly, and null counts as missing."""

    model_config = ConfigDict(
        strict=True, frozen=True, allow_inf_nan=False, populate_by_name=True, extra="ignore"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        is_object = isinstance(value, Mapping)
        return {k: v for k, v in value.items() if v is not None} if is_object else value


class Entry(_Record):
    """What a data set has beside a passage: self-edits about it, if any, and their prompt."""

    self_edits: list[str] = Field([], alias="completions")
    prompt: str = ""


@dataclass(frozen=True)
class Dataset:
    """Passages, each with its entry."""

    path: Path
    passages: Sequence[Passage]
    entries: Sequence[Entry]


class LoopQuestion(_Record):
    """A question of an inner loop, with its answers and their verdicts."""

    rep: NonNegativeInt = 0
    """Which of the inner loops on one self-edit."""
    question: str
    answer: str
    """The gold answer."""
    baseline_answer: str
    baseline_correct: Verdict
    adapter_answer: str
    adapter_correct: Verdict


class RatedSelfEdit(_Record):
    """A self-edit, its reward, and the questions of its inner loops if the file has them."""

    text: str
    stats: Statistics = {}
    questions: list[LoopQuestion] = []

    @property
    def reward(self) -> float | None:
        """Mean accuracy with the adapter, or the proxy score where that was the reward."""
        return self.stats.get("proxy_mean", self.stats.get("adapter_mean"))

    @property
    def inner_loops(self) -> list[list[LoopQuestion]]:
        """The questions of each inner loop."""
        numbers = dict.fromkeys(question.rep for question in self.questions)
        return [[q for q in self.questions if q.rep == number] for number in numbers]

    def verdicts(self, stage: Stage) -> list[list[bool]]:
        """The verdicts of each inner loop."""
        name = f"{PREFIXES[stage]}_correct"
        return [[getattr(question, name) for question in loop] for loop in self.inner_loops]


class Article(_Record):
    """One passage of an examination file."""

    passage_id: str = ""
    title: str
    context: str
    prompt: str = ""
    self_edits: list[RatedSelfEdit] = Field(alias="completions")


class Examinations(_Record):
    """Inner loops on self-edits of many passages."""

    path: Path
    dataset: str = ""
    model: str = ""
    k: NonNegativeInt = Field(1, alias="k_completions")
    repeats: NonNegativeInt = Field(1, alias="eval_times")
    overall: Statistics
    articles: list[Article]

    @property
    def passages(self) -> list[Passage]:
        """The passages with the questions that the first inner loop of each was asked."""
        passages = []
        for article in self.articles:
            first = [loop for s in article.self_edits[:1] for loop in s.inner_loops[:1]]
            asked = tuple(Question(q.question, q.answer) for loop in first for q in loop)
            passages.append(Passage(article.passage_id, article.title, article.context, asked))
        return passages


class Pretraining(_Record):
    """One model finetuned on all passages at once, and asked some of their questions.

    Verdicts and texts are question by question, [] for a stage that was not asked or not kept.
    """

    path: Path
    version: Literal["v1", "v2"]
    dataset: str = ""
    model: str = ""
    n_passages: NonNegativeInt = Field(0, alias="n_articles")
    """0 if the file does not say."""
    k: NonNegativeInt = Field(0, alias="k_completions")
    seed: NonNegativeInt | None = None
    baseline_accuracy: float | None = None
    baseline_correct: list[Verdict] = []
    baseline_texts: list[str] = []
    adapter_accuracy: float | None = None
    adapter_correct: list[Verdict] = []
    adapter_texts: list[str] = []

    def of_stage(self, stage: Stage) -> tuple[float | None, list[bool], list[str]]:
        """The accuracy that is stated, the verdicts and the answers."""
        names = (f"{PREFIXES[stage]}_{name}" for name in ("accuracy", "correct", "texts"))
        return tuple(getattr(self, name) for name in names)

    @model_validator(mode="after")
    def _check_lengths(self) -> "Pretraining":
        for _, verdicts, texts in map(self.of_stage, PREFIXES):
            if texts and len(texts) != len(verdicts):
                raise ValueError(f"{len(texts)} answers with {len(verdicts)} verdicts")
        return self


class Sequences(_Record):
    """Accuracies [R, K] of sequences of K edits (see `knowledge.experiments.retention`)."""

    path: Path
    mean: list[list[NullIsZero]] = Field(alias="mean_over_sequences")
    std: list[list[NullIsZero]] = Field(alias="std_over_sequences")
    n_sequences: NonNegativeInt

    @model_validator(mode="after")
    def _check_shapes(self) -> "Sequences":
        size = len(self.mean) - 1
        shapes = {tuple(map(len, matrix)) for matrix in (self.mean, self.std)}
        if size < 1 or shapes != {(size,) * (size + 1)}:
            raise ValueError("mean and std must be matrices of one row more than columns")
        return self


class ReleasedRow(_Record):
    """A row that a policy was finetuned on."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class SftFile:
    """The rows of one finetuning."""

    path: Path
    rows: Sequence[ReleasedRow]


Released = Dataset | Examinations | Pretraining | Sequences | SftFile
