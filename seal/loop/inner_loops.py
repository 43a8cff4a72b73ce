"""The inner loops of many trials: adapters are trained, examined and thrown away (section 3.1).

The main thread trains while others examine the adapters that are finished, as the domain says.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from seal.checksums import SUMS_FILE, check_sums, checksum_of_value, write_sums
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.lora import AdapterJob, AdapterResult, train_adapters
from seal.run import Run
from seal.usage import METRICS_FILE, read_metrics

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
    # A vLLM server batches by itself and gets several adapters at a time; an in-process model is
    # asked by one thread, in calls whose composition does not depend on timing
    served = policy.settings.sampler == "vllm"
    trials_per_call, threads = (1, slots) if served else (slots, 1)
    groups = pending_groups(run, trials, records, slots)

    def examine_and_remove(asked: Asked[AnyTrial]) -> None:
        examine(asked)
        for _, adapter in asked:
            if adapter is not None:
                shutil.rmtree(adapter)
        bar.update(len(asked))

    def train(todo: Sequence[tuple[AnyTrial, AdapterJob]], examiner: _Examiner) -> None:
        folders = [run.path("adapters") / trial.id.replace("/", "--") for trial, _ in todo]
        for folder in folders:  # a killed process may have left some
            shutil.rmtree(folder, ignore_errors=True)
        finished: list[tuple[AnyTrial, Path | None]] = []

        def on_done(index: int, result: AdapterResult) -> None:
            trial, _ = todo[index]
            run.metric("adapter", id=trial.id, **result.numbers)
            finished.append((trial, folders[index]))
            if len(finished) == trials_per_call:
                examiner.examine(tuple(finished))
                finished.clear()

        start = time.perf_counter()
        jobs = [job for _, job in todo]
        train_adapters(policy.model, jobs, folders, target_modules, slots, on_done)
        run.metric("training", adapters=len(jobs), seconds=time.perf_counter() - start)
        examiner.examine(tuple(finished))

    progress = run.progress(sum(map(len, groups)), label)
    with progress as bar, _Examiner(examine_and_remove, threads) as examiner:
        for group in groups:
            made = [(trial, make_job(trial)) for trial in group]
            examiner.examine([(trial, None) for trial, job in made if job is None])
            todo = [(trial, job) for trial, job in made if job is not None]
            if todo:
                # Most steps first, so that the slots run dry at about the same time
                train(sorted(todo, key=lambda pair: -pair[1].steps), examiner)
    shutil.rmtree(run.path("adapters"), ignore_errors=True)  # of killed processes, if anything


@dataclass(frozen=True)
class KeptAdapter:
    """A line of adapters.jsonl: what an adapter that a run keeps was trained on, as a checksum."""

    id: str
    trained_on: str


def train_kept(
    run: Run, policy: Policy, job: AdapterJob, name: str, target_modules: Sequence[str]
) -> Path:
    """Train an adapter into RUN/NAME, unless it is there; returns the folder.

    Raises UserError for one that is damaged, or was trained on something else.
    """
    adapter, again = run.path(name), f"delete {run.path(name)} to train it again"
    taught = checksum_of_value(
        [
            *([list(map(int, part)) for part in sequence] for sequence in job.sequences),
            *(job.learning_rate, job.epochs, job.rank, job.alpha, job.seed),
        ]
    )
    if (adapter / SUMS_FILE).exists():
        known = {kept.id: kept.trained_on for kept in run.records("adapters", KeptAdapter)}
        if known.get(name) != taught:
            raise UserError(f"{adapter} was trained on other texts or in another way; {again}")
        check_sums(adapter, again)
        return adapter
    shutil.rmtree(adapter, ignore_errors=True)  # of a killed process
    run.replace("adapters", [asdict(KeptAdapter(name, taught))])
    train_adapters(policy.model, [job], [adapter], target_modules, slots=1)
    write_sums(adapter, sorted(path.name for path in adapter.iterdir()))
    return adapter


def seconds_per_adapter(run: Run) -> dict[str, float]:
    """Wall seconds of training per adapter in each part of the run, from metrics.jsonl."""
    seconds, adapters = Counter(), Counter()
    for event in read_metrics(run.folder) if run.path(METRICS_FILE).exists() else []:
        match event:
            case {
                "event": "training",
                "part": str(part),
                "seconds": float(took),
                "adapters": int(n),
            }:
                seconds[part] += took
                adapters[part] += n
    return {part: seconds[part] / adapters[part] for part in seconds if adapters[part]}


class _Examiner(ThreadPoolExecutor):
    """Calls a function in other threads; what it raises, the next call raises, or leaving does."""

    def __init__(self, function: Callable[[Asked], None], threads: int) -> None:
        super().__init__(threads, thread_name_prefix="examiner")
        self._function = function
        self._most_waiting = 2 * threads
        self._pending: set[Future[None]] = set()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        told_to_end = kind is not None and not issubclass(kind, Exception)  # Ctrl-C, SIGTERM
        self.shutdown(wait=not told_to_end, cancel_futures=kind is not None)
        if kind is None:
            self._collect(self._pending)

    def examine(self, asked: Asked) -> None:
        """Queue trials, if any; waits while too many adapters pile up on the disk."""
        if not asked:
            return
        if len(self._pending) > self._most_waiting:
            wait(self._pending, return_when=FIRST_COMPLETED)
        self._collect({future for future in self._pending if future.done()})
        self._pending.add(self.submit(self._function, asked))

    def _collect(self, futures: set[Future[None]]) -> None:
        self._pending = self._pending - futures
        for future in futures:
            future.result()
