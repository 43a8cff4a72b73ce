"""SEAL's inner loop: train an adapter on a self-edit, ask it closed-book, grade its answers.

Source: paper, section 3 (inner loop) and 4.1 (settings). Training goes on in the main thread while
adapters that are finished are asked and graded in others.
"""

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowledge.grading import Grade, GradingItem, Judge, ensure_graded
from knowledge.passages import Passage
from knowledge.prompts import answer_prompt
from knowledge.sequences import training_sequences, training_texts
from knowledge.settings import AnswerSettings, InnerLoopSettings
from knowledge.verdicts import parse_final_answer
from seal.lora import AdapterJob, AdapterResult, PaddingLoss, train_adapters
from seal.policy import Policy
from seal.records import Record
from seal.run import Run
from seal.sampling import SampleRequest, SamplingParameters


@dataclass(frozen=True)
class Trial:
    """One examination: a passage's questions, asked of an adapter trained on `texts`.

    Without texts there is no adapter: the bare policy answers.
    """

    id: str
    passage: Passage
    texts: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What an examination found: one answer and one grade per question, in the passage's order."""

    trial: Trial
    answers: tuple[str, ...]
    grades: tuple[Grade, ...]

    @property
    def verdicts(self) -> list[bool]:
        """The verdicts of the questions that could be graded."""
        return [grade.verdict for grade in self.grades if grade.verdict is not None]

    @property
    def n_ungraded(self) -> int:
        """How many of the questions could not be graded."""
        return len(self.grades) - len(self.verdicts)


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


def adapter_job(trial: Trial, tokenizer: Any, settings: InnerLoopSettings) -> AdapterJob:
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
    # Adapters that finish together should have been started together: see `Run.pending_groups`
    groups = list(
        run.pending_groups("answers", trials, 4 * settings.slots, key=lambda trial: trial.id)
    )
    with (
        run.progress(sum(map(len, groups)), label) as bar,
        Examiner(run, policy, judge, settings, on_done=bar.update) as examiner,
    ):
        for group in groups:
            _examine_group(run, group, policy, settings, examiner)
    shutil.rmtree(run.path("adapters"), ignore_errors=True)  # empty by now
    grade_missing(run, trials, judge, settings)
    return read_outcomes(run, trials)


def _examine_group(
    run: Run,
    group: Sequence[Trial],
    policy: Policy,
    settings: InnerLoopSettings,
    examiner: "Examiner",
) -> None:
    bare = [trial for trial in group if not trial.texts]
    if bare:
        examiner.submit([(trial, None) for trial in bare])
    # Longest first, so that the slots run dry at about the same time
    jobs = {trial: adapter_job(trial, policy.tokenizer, settings) for trial in group if trial.texts}
    trained = sorted(jobs, key=lambda trial: -count_tokens(jobs[trial]))
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
        [jobs[trial] for trial in trained],
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


def count_tokens(job: AdapterJob) -> int:
    """Training tokens of a job over all epochs."""
    return job.epochs * sum(len(input_ids) for input_ids, _ in job.sequences)


class Examiner:
    """Asks and grades trials in the background and appends answers.jsonl and grades.jsonl.

    An error of the sampler or the judge reaches the caller at the next `submit` or on leaving.
    """

    def __init__(
        self,
        run: Run,
        policy: Policy,
        judge: Judge,
        settings: InnerLoopSettings,
        on_done: Callable[[int], object],
    ) -> None:
        self._run = run
        self._policy = policy
        self._judge = judge
        self._settings = settings
        self._on_done = on_done
        # A vLLM server batches by itself, so it gets several adapters at a time; an in-process
        # model is asked by one thread, in calls whose composition does not depend on timing
        served = policy.settings.sampler == "vllm"
        self.trials_per_call = 1 if served else settings.slots
        self._workers = settings.slots if served else 1
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="examiner")
        self._pending: set[Future[None]] = set()
        self._graded: list[Grade] = []
        self._counting = threading.Lock()

    def __enter__(self) -> "Examiner":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            self._collect(self._pending)

    def submit(self, asked: Sequence[tuple[Trial, Path | None]]) -> None:
        """Queue trials with their adapters; waits while too many adapters pile up on the disk."""
        if len(self._pending) > 2 * self._workers:
            wait(self._pending, return_when=FIRST_COMPLETED)
        self._collect({future for future in self._pending if future.done()})
        self._pending.add(self._pool.submit(self._examine, asked))

    def _collect(self, futures: set[Future[None]]) -> None:
        self._pending = self._pending - futures
        for future in futures:
            future.result()

    def _examine(self, asked: Sequence[tuple[Trial, Path | None]]) -> None:
        records = ask(self._policy, asked, self._settings)
        self._run.append("answers", *records)
        for _, adapter in asked:
            if adapter is not None:
                shutil.rmtree(adapter)
        graded = grade_records(self._judge, records)
        # Those with a gap are graded again by `grade_missing`, now or when the run is resumed
        self._run.append("grades", *(record for record in graded if None not in record["verdicts"]))
        with self._counting:
            self._graded += [grade for record in graded for grade in grades_of(record)]
            ensure_graded(self._graded, self._settings.max_ungraded)
        self._on_done(len(asked))


def ask(
    policy: Policy, asked: Sequence[tuple[Trial, Path | None]], settings: AnswerSettings
) -> list[Record]:
    """Ask each trial's questions closed-book, greedily, in one call of the sampler.

    Returns one record per trial: its answers, as graded ("answer") and as sampled ("text").
    """
    requests = [
        SampleRequest(
            answer_prompt(
                trial.passage.title,
                question.question,
                style=settings.answer_style,
                folder=settings.prompts,
                tokenizer=policy.tokenizer if settings.chat else None,
            ),
            adapter=adapter,
        )
        for trial, adapter in asked
        for question in trial.passage.questions
    ]
    parameters = SamplingParameters(max_new_tokens=settings.max_answer_tokens)
    completions = iter(policy.sampler.complete(requests, parameters))
    records = []
    for trial, _ in asked:
        answers = []
        for question in trial.passage.questions:
            completion = next(completions)
            text = completion.text.strip()
            plain = settings.answer_style == "plain"
            answers.append(
                {
                    "question": question.question,
                    "gold": question.answer,
                    "answer": text if plain else parse_final_answer(text),
                    "text": text,
                    "finish_reason": completion.finish_reason,
                }
            )
        passage = {"passage_id": trial.passage.id, "title": trial.passage.title}
        records.append({"id": trial.id, **passage, "answers": answers})
    return records


def grade_records(judge: Judge, records: Sequence[Record]) -> list[Record]:
    """Grade the answers of several trials in one call of the judge: a record of grades for each."""
    items = [
        GradingItem(answer["question"], answer["gold"], answer["answer"], record["title"])
        for record in records
        for answer in record["answers"]
    ]
    grades = iter(judge.grade(items))
    graded = []
    for record in records:
        own = [next(grades) for _ in record["answers"]]
        verdicts = {"verdicts": [grade.verdict for grade in own]}
        probabilities = {"probabilities": [grade.probability for grade in own]}
        graded.append({"id": record["id"], **verdicts, **probabilities})
    return graded


def grades_of(record: Record) -> list[Grade]:
    """The grades in a line of grades.jsonl, one per question."""
    return [Grade(*pair) for pair in zip(record["verdicts"], record["probabilities"], strict=True)]


def grade_missing(
    run: Run, trials: Sequence[Trial], judge: Judge, settings: AnswerSettings
) -> None:
    """Grade answers that have no grades yet: the run was killed between, or the judge failed.

    Raises UserError, with the answers kept, if more than `max_ungraded` of them stay ungraded; the
    share that is tolerated is then recorded as ungraded for good.
    """
    wanted = {trial.id for trial in trials} - run.ids("grades")
    missing = [record for record in run.records("answers") if record["id"] in wanted]
    if not missing:
        return
    graded = grade_records(judge, missing)
    run.append("grades", *(record for record in graded if None not in record["verdicts"]))
    of_all = [grade for record in [*run.records("grades"), *graded] for grade in grades_of(record)]
    ensure_graded(of_all, settings.max_ungraded)
    run.append("grades", *graded)


def read_outcomes(run: Run, trials: Sequence[Trial]) -> list[Outcome]:
    """What answers.jsonl and grades.jsonl say of `trials`, in their order."""
    answers = {record["id"]: record["answers"] for record in run.records("answers")}
    grades = {record["id"]: grades_of(record) for record in run.records("grades")}
    return [
        Outcome(
            trial,
            tuple(answer["answer"] for answer in answers[trial.id]),
            tuple(grades[trial.id]),
        )
        for trial in trials
    ]
