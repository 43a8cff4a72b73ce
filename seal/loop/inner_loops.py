"""The inner loops of many trials: adapters are trained, examined and thrown away (section 3.1).

The main thread trains while others examine the adapters that are finished, as the domain says.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from seal.loop.policy import Policy
from seal.lora import AdapterJob, AdapterResult, train_adapters
from seal.run import Run

GROUP_PER_SLOT = 4
"""Adapters of a group per slot: the work that a kill can cost, against slots that run dry."""


class Trial(Protocol):
    """One inner loop and its examination. The id is unique in its run and names a folder there."""

    @property
    def id(self) -> str: ...


AnyTrial = TypeVar("AnyTrial", bound=Trial)
Asked = Sequence[tuple[AnyTrial, Path | None]]
"""Trials with the folders of their adapters; None for the bare policy."""


def pending_groups(
    run: Run, trials: Sequence[AnyTrial], records: str, slots: int
) -> list[list[AnyTrial]]:
    """The groups of `trials` of which RUN/RECORDS.jsonl lacks some (see `Run.pending_groups`)."""
    size = GROUP_PER_SLOT * slots
    return list(run.pending_groups(records, trials, size, key=lambda trial: trial.id))


def run_inner_loops(
    run: Run,
    policy: Policy,
    trials: Sequence[AnyTrial],
    make_job: Callable[[AnyTrial], AdapterJob | None],
    examine: Callable[[Asked[AnyTrial]], None],
    *,
    records: str,
    slots: int,
    target_modules: str | Sequence[str],
    label: str,
) -> None:
    """Train an adapter for every trial that RUN/RECORDS.jsonl lacks, and have it examined.

    `make_job(trial)` is called when the trial's group is next, as jobs may be large; without a job
    the bare policy is examined. `examine` must append one record per trial to RUN/RECORDS.jsonl.
    It runs in other threads, with a vLLM server in several at a time; then its adapters are
    removed. What it raises is raised here, at the latest when all else is done.
    """
    groups = pending_groups(run, trials, records, slots)
    with (
        run.progress(sum(map(len, groups)), label) as bar,
        _Examiner(policy, slots, examine, on_done=bar.update) as examiner,
    ):
        for group in groups:
            made = [(trial, make_job(trial)) for trial in group]
            examiner.submit([(trial, None) for trial, job in made if job is None])
            todo = [(trial, job) for trial, job in made if job is not None]
            if todo:
                _train_group(run, policy, todo, slots, target_modules, examiner)
    shutil.rmtree(run.path("adapters"), ignore_errors=True)  # of killed processes, if anything


def _train_group(
    run: Run,
    policy: Policy,
    group: Sequence[tuple[AnyTrial, AdapterJob]],
    slots: int,
    target_modules: str | Sequence[str],
    examiner: "_Examiner",
) -> None:
    # Most steps first, so that the slots run dry at about the same time
    group = sorted(group, key=lambda pair: -pair[1].steps)
    folders = [run.path("adapters") / trial.id.replace("/", "--") for trial, _ in group]
    for folder in folders:  # a killed process may have left some
        shutil.rmtree(folder, ignore_errors=True)
    finished: list[tuple[AnyTrial, Path | None]] = []

    def on_done(index: int, result: AdapterResult) -> None:
        trial, _ = group[index]
        note_adapter(run, trial.id, result)
        finished.append((trial, folders[index]))
        if len(finished) == examiner.trials_per_call:
            examiner.submit(tuple(finished))
            finished.clear()

    start = time.perf_counter()
    jobs = [job for _, job in group]
    train_adapters(policy.model, jobs, folders, target_modules, slots, on_done=on_done)
    run.metric("training", adapters=len(jobs), seconds=time.perf_counter() - start)
    examiner.submit(tuple(finished))


def note_adapter(run: Run, adapter_id: str, result: AdapterResult) -> None:
    """Write into metrics.jsonl what an inner loop took and how it learned."""
    took = {name: getattr(result, name) for name in ("seconds", "tokens", "steps")}
    losses = {"first_loss": result.losses[0], "last_loss": result.losses[-1]}
    run.metric("adapter", id=adapter_id, **took, **losses)


def seconds_per_adapter(run: Run) -> dict[str, float]:
    """Wall seconds of training per adapter in each part of the run, from metrics.jsonl."""
    totals: dict[str, tuple[float, int]] = {}
    for event in run.records("metrics"):
        if event["event"] == "training":
            seconds, adapters = totals.get(event["part"], (0.0, 0))
            totals[event["part"]] = (seconds + event["seconds"], adapters + event["adapters"])
    return {part: seconds / adapters for part, (seconds, adapters) in totals.items()}


class _Examiner(AbstractContextManager):
    """Calls `examine` in the background, then removes the adapters and reports how many are done.

    An error of `examine` is raised by the next `submit`, or on leaving.
    """

    def __init__(
        self,
        policy: Policy,
        slots: int,
        examine: Callable[[Asked], None],
        on_done: Callable[[int], object],
    ) -> None:
        self._ask = examine
        self._on_done = on_done
        # A vLLM server batches by itself and gets several adapters at a time; an in-process model
        # is asked by one thread, in calls whose composition does not depend on timing
        served = policy.settings.sampler == "vllm"
        self.trials_per_call = 1 if served else slots
        self._workers = slots if served else 1
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="examiner")
        self._pending: set[Future[None]] = set()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            self._collect(self._pending)

    def submit(self, asked: Asked) -> None:
        """Queue trials, if any; waits while too many adapters pile up on the disk."""
        if not asked:
            return
        if len(self._pending) > 2 * self._workers:
            wait(self._pending, return_when=FIRST_COMPLETED)
        self._collect({future for future in self._pending if future.done()})
        self._pending.add(self._pool.submit(self._examine, asked))

    def _collect(self, futures: set[Future[None]]) -> None:
        self._pending = self._pending - futures
        for future in futures:
            future.result()

    def _examine(self, asked: Asked) -> None:
        self._ask(asked)
        for _, adapter in asked:
            if adapter is not None:
                shutil.rmtree(adapter)
        self._on_done(len(asked))
