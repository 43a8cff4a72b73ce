"""SEAL's inner loop: train an adapter on a self-edit, examine it closed-book (paper, section 3.1).

Training goes on in the main thread while adapters that are finished are asked and graded in others.
"""

import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from knowledge.examination import Examiner, Outcome, Trial, grade_missing, read_outcomes
from knowledge.grading import Judge
from knowledge.passages import Passage
from knowledge.sequences import training_sequences, training_texts
from knowledge.settings import InnerLoopSettings
from seal.lora import AdapterJob, AdapterResult, PaddingLoss, train_adapters
from seal.policy import Policy
from seal.run import Run

GROUP_PER_SLOT = 4
"""Adapters of a group per slot: the work that a kill can cost, against slots that run dry."""


def self_edit_texts(passage: Passage, text: str, settings: InnerLoopSettings) -> tuple[str, ...]:
    """The training texts that a self-edit stands for (golden rule G1)."""
    return tuple(
        training_texts(
            passage.title,
            passage.context,
            text,
            split_newlines=settings.split_newlines,
            add_context=settings.add_context,
        )
    )


def adapter_job(
    trial: Trial, tokenizer: PreTrainedTokenizerBase, settings: InnerLoopSettings
) -> AdapterJob:
    """The LoRA finetune of one trial, with the tokens of its texts."""
    padding = None
    if settings.padding_loss != "none":
        padding = PaddingLoss(
            settings.padding_loss, length=settings.max_length, token_id=tokenizer.pad_token_id
        )
    return AdapterJob(
        sequences=training_sequences(
            trial.texts, tokenizer, settings.max_length, end_of_text=padding is None
        ),
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        gradient_accumulation=settings.gradient_accumulation,
        schedule="linear",
        warmup_steps=0,
        max_grad_norm=1.0,
        rank=settings.lora_rank,
        alpha=settings.lora_alpha,
        seed=trial.seed,
        padding=padding,
    )


def run_trials(
    run: Run,
    trials: Sequence[Trial],
    policy: Policy,
    judge: Judge,
    settings: InnerLoopSettings,
    label: str = "inner loops",
) -> list[Outcome]:
    """Train, ask and grade all trials; what the run holds already is not done again.

    Appends RUN/answers.jsonl and RUN/grades.jsonl, one line per trial. Returns the outcomes in the
    order of `trials`.
    """
    # A group is trained whole, with its own queue: see `Run.pending_groups`
    size = GROUP_PER_SLOT * settings.slots
    groups = list(run.pending_groups("answers", trials, size, key=lambda trial: trial.id))
    jobs = {
        trial.id: adapter_job(trial, policy.tokenizer, settings)
        for group in groups
        for trial in group
        if trial.texts
    }
    if jobs:
        run.say(f"{label}: {describe_jobs(jobs.values())}")
    with (
        run.progress(sum(map(len, groups)), label) as bar,
        Examiner(run, policy, judge, settings, on_done=bar.update) as examiner,
    ):
        for group in groups:
            _train_group(run, group, jobs, policy, settings, examiner)
    shutil.rmtree(run.path("adapters"), ignore_errors=True)  # empty by now
    grade_missing(run, trials, judge, settings)
    return read_outcomes(run, trials)


def _train_group(
    run: Run,
    group: Sequence[Trial],
    jobs: Mapping[str, AdapterJob],
    policy: Policy,
    settings: InnerLoopSettings,
    examiner: Examiner,
) -> None:
    bare = [trial for trial in group if not trial.texts]
    if bare:
        examiner.submit([(trial, None) for trial in bare])
    # Most steps first, so that the slots run dry at about the same time
    trained = [trial for trial in group if trial.texts]
    trained.sort(key=lambda trial: -len(jobs[trial.id].batches()))
    if not trained:
        return
    folders = [adapter_folder(run, trial) for trial in trained]
    for folder in folders:  # a killed process may have left some
        shutil.rmtree(folder, ignore_errors=True)
    finished: list[tuple[Trial, Path | None]] = []

    def on_done(index: int, result: AdapterResult) -> None:
        run.metric(
            "adapter",
            id=trained[index].id,
            seconds=result.seconds,
            tokens=result.tokens,
            steps=result.steps,
            first_loss=result.losses[0],
            last_loss=result.losses[-1],
        )
        finished.append((trained[index], folders[index]))
        if len(finished) == examiner.trials_per_call:
            examiner.submit(tuple(finished))
            finished.clear()

    start = time.perf_counter()
    train_adapters(
        policy.model,
        [jobs[trial.id] for trial in trained],
        folders,
        settings.target_modules,
        settings.slots,
        on_done=on_done,
    )
    run.metric("training", adapters=len(trained), seconds=time.perf_counter() - start)
    if finished:
        examiner.submit(tuple(finished))


def adapter_folder(run: Run, trial: Trial) -> Path:
    """Where a trial's adapter lies between training and its answers."""
    return run.path("adapters") / trial.id.replace("/", "--")


def describe_jobs(jobs: Collection[AdapterJob]) -> str:
    """What training will cost: adapters, optimizer steps and tokens of text."""
    steps = [len(job.batches()) for job in jobs]
    tokens = sum(job.epochs * len(ids) for job in jobs for ids, _ in job.sequences)
    return f"{len(steps):,} adapters, {sum(steps):,} steps, {tokens:,} training tokens"
