"""Continued pretraining: one finetune on many passages and their self-edits (paper, section 4.1).

The paper's two versions differ. v1 trains an adapter and repeats the passage with each self-edit:
the release's result files count 2,000 sequences for 200 passages with 5 self-edits. v2 trains every
weight and adds the passage once: 1,200 sequences. The defaults here are v2's.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from knowledge.data.passages import Passage, Question
from knowledge.judging.judges import Judge
from knowledge.method.closed_book import Examiner, Outcome, Trial, grade_missing, read_outcomes
from knowledge.method.self_edits import SelfEdit
from knowledge.method.single_passage_table import DIFFERENCE, Layout
from knowledge.method.training_texts import training_texts
from knowledge.settings import SHUFFLE_SEED, TREE, AnswerSettings, PretrainingSettings
from seal.loop.policy import open_policy
from seal.report.tables import estimate
from seal.run import Run
from seal.settings import ModelSettings
from seal.training.sft import SftJob, SftRow

FSDP_CONFIG = TREE / "fsdp.yaml"
"""How several GPUs share the weights that full finetuning trains."""

LAYOUT = Layout(
    {
        "accuracy_over_questions": ("questions", False),  # the paper's number
        DIFFERENCE: ("questions", False),
        "accuracy_over_passages": ("passages", False),
        "calibrated_over_questions": ("questions", True),
    },
    {
        "questions": estimate("accuracy_over_questions"),
        "to row above": estimate(DIFFERENCE, signed=True),
        "passages": estimate("accuracy_over_passages"),
        "calibrated": estimate("calibrated_over_questions"),
    },
)

_PASSAGES_AT_A_TIME = 40
"""Asked in one call of the sampler: what a kill can cost, against a busy server."""


def pretraining_rows(
    passages: Sequence[Passage], self_edits: Sequence[SelfEdit], settings: PretrainingSettings
) -> list[SftRow]:
    """What is learned: each passage's self-edits, and the passage (golden rule G1)."""
    written: dict[str, list[str]] = {}
    for self_edit in self_edits:
        written.setdefault(self_edit.passage_id, []).append(self_edit.text)
    rows = []
    for passage in passages:
        own = written.get(passage.id, [])
        with_each = settings.passage_copies == "with-each" and bool(own)
        # A blank self-edit with its context stands for the passage alone
        alone = [] if with_each else [("", True)]
        for text, add_context in [*((text, with_each) for text in own), *alone]:
            learned = training_texts(
                passage.title,
                passage.context,
                text,
                split_newlines=settings.split_newlines,
                add_context=add_context,
            )
            rows += [SftRow("", piece) for piece in learned]
    return rows


def pretraining_job(
    model_settings: ModelSettings, settings: PretrainingSettings, seed: int
) -> SftJob:
    """The finetune of `--model` as the flags ask for it."""
    return SftJob(
        model=model_settings.model,
        dtype=model_settings.dtype,
        trust_remote_code=model_settings.trust_remote_code,
        learning_rate=settings.learning_rate,
        schedule="linear",
        epochs=settings.epochs,
        rank=settings.lora_rank if settings.method == "lora" else None,
        alpha=settings.lora_alpha,
        target_modules=settings.target_modules,
        batch_size=settings.batch_size * settings.gradient_accumulation,
        seed=seed,
        at_once=settings.batch_size,
        warmup_ratio=settings.warmup_ratio,
        max_length=settings.max_length,
    )


def with_questions(passages: Sequence[Passage], n: int) -> list[Passage]:
    """The passages that have graded questions: `n` of all (golden G6), or all for n = 0.

    As in the release, they are the first `n` of all passages' questions, shuffled with seed 42.
    """
    places = [(i, j) for i, passage in enumerate(passages) for j in range(len(passage.questions))]
    if n:
        random.Random(SHUFFLE_SEED).shuffle(places)
    taken: dict[int, list[Question]] = {}
    for i, j in sorted(places[: n or None]):
        taken.setdefault(i, []).append(passages[i].questions[j])
    return [replace(passages[i], questions=tuple(asked)) for i, asked in taken.items()]


def examine(
    run: Run,
    passages: Sequence[Passage],
    model: str,
    model_settings: ModelSettings,
    judge: Judge,
    settings: AnswerSettings,
) -> list[Outcome]:
    """Ask `model` the passages' questions closed-book and grade what it says.

    Appends RUN/answers.jsonl and RUN/grades.jsonl. Where all answers are there, no model is loaded.
    """
    trials = [Trial(passage.id, passage) for passage in passages]
    groups = list(run.pending_groups("answers", trials, _PASSAGES_AT_A_TIME, lambda t: t.id))
    if groups:
        with open_policy(model, model_settings, run.path("vllm.log")) as policy:
            examiner = Examiner(run, policy, judge, settings)
            with run.progress(sum(map(len, groups)), run.folder.name) as bar:
                for group in groups:
                    examiner.examine([(trial, None) for trial in group])
                    bar.update(len(group))
    grade_missing(run, trials, judge, settings)
    return read_outcomes(run, trials)
