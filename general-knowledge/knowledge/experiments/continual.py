"""Self-edits one after the other: what does a model keep of its earlier ones? (Paper, section 5.)

For each passage of a sequence the policy as it has become writes a self-edit and learns it; then it
is asked about all passages so far. Merging after every step would take a copy of the weights, and a
server of its own, for every sequence. Here nothing is merged: a sequence's adapters are kept as one
adapter of growing rank, under which the next step samples, trains and answers (`seal.lora.chain`).
So all sequences share one frozen model, and go through their steps side by side.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from knowledge.data.passages import Passage
from knowledge.judging.judges import Judge
from knowledge.method.closed_book import Examiner, Trial, grade_missing
from knowledge.method.inner_loop import adapter_job, self_edit_texts
from knowledge.method.self_edits import write_self_edits
from knowledge.method.writers import PolicyWriter
from knowledge.settings import SequentialSettings
from seal.loop.policy import Policy
from seal.lora import AdapterJob, AdapterResult, train_adapters
from seal.lora.chain import write_concatenated
from seal.lora.files import read_adapter
from seal.run import Run
from seal.seeds import derive_seed

Adapters = Mapping[str, Path]
"""Id of a sequence, or of its passage, to the adapter that its edits so far make up, if any."""


@dataclass(frozen=True)
class EditSequence:
    """Passages in the order in which the policy is edited with them; `id` is run-N/NUMBER."""

    id: str
    run: int
    passages: tuple[Passage, ...]

    def trials(self, edits: int) -> list[Trial]:
        """What is asked after so many edits: the passages so far; before any edit, all."""
        asked = self.passages[:edits] if edits else self.passages
        return [Trial(self.trial_id(edits, passage), passage) for passage in asked]

    def trial_id(self, edits: int, passage: Passage) -> str:
        """The id of a cell's answers and grades: a row of the sequence's matrix, and a column."""
        return f"{self.id}/{edits}/{passage.id}"


def cut_into_sequences(
    passages: Sequence[Passage], runs: int, sequences: int, length: int
) -> list[EditSequence]:
    """`runs` x `sequences` sequences of `length` passages; no passage is in two of them."""
    return [
        EditSequence(
            id=f"run-{number // sequences}/{number % sequences}",
            run=number // sequences,
            passages=tuple(passages[number * length : (number + 1) * length]),
        )
        for number in range(runs * sequences)
    ]


def run_sequences(
    run: Run,
    sequences: Sequence[EditSequence],
    policy: Policy,
    judge: Judge,
    settings: SequentialSettings,
    seed: int,
) -> None:
    """All steps of all sequences, `settings.slots` sequences side by side.

    Appends RUN/self_edits.jsonl, answers.jsonl and grades.jsonl. Nothing that the run holds is done
    again: a killed one goes on with the step it was killed in.
    """
    size = settings.slots
    groups = [sequences[start : start + size] for start in range(0, len(sequences), size)]
    rows = len(sequences[0].passages) + 1
    with run.progress(len(sequences) * rows, "steps") as bar:
        for group in groups:
            _Group(run, group, policy, judge, settings, seed).work_off(bar.update)
    shutil.rmtree(run.path("adapters"), ignore_errors=True)
    trials = [t for s in sequences for edits in range(rows) for t in s.trials(edits)]
    grade_missing(run, trials, judge, settings)


class _Group:
    """Sequences that go through their steps side by side.

    A step is computed for all of them even if some have its results: see `Run.pending_groups`.
    """

    def __init__(
        self,
        run: Run,
        sequences: Sequence[EditSequence],
        policy: Policy,
        judge: Judge,
        settings: SequentialSettings,
        seed: int,
    ) -> None:
        self._run = run
        self._sequences = sequences
        self._policy = policy
        self._settings = settings
        self._seed = seed
        self._examiner = Examiner(run, policy, judge, settings)
        # Named after its ends: a run that is resumed with other --slots has other groups
        self._folder = run.path("adapters") / _folder_name(f"{sequences[0].id}..{sequences[-1].id}")

    def work_off(self, on_done: Callable[[int], object]) -> None:
        """Ask before any edit and after each, with the adapters that this takes."""
        for edits in range(len(self._sequences[0].passages) + 1):
            trials = [(trial, s.id) for s in self._sequences for trial in s.trials(edits)]
            if {trial.id for trial, _ in trials} - self._run.ids("answers"):
                adapters = self._adapters_after(edits)
                self._examiner.examine([(trial, adapters.get(of)) for trial, of in trials])
            on_done(len(self._sequences))
        shutil.rmtree(self._folder, ignore_errors=True)

    def _adapters_after(self, edits: int) -> Adapters:
        """The adapters after so many edits; trained, from those before, unless they are there.

        Those of one step are on the disk at a time. Whether they are whole, their folder's name
        says, which they get last.
        """
        if edits == 0:
            return {}
        folder = self._folder / f"after-{edits}"
        if not folder.exists():
            before = self._adapters_after(edits - 1)
            texts = self._texts(edits, before)
            partial = self._folder / "partial"
            shutil.rmtree(partial, ignore_errors=True)
            self._train(edits, texts, before, partial)
            partial.rename(folder)
            shutil.rmtree(self._folder / f"after-{edits - 1}", ignore_errors=True)
        places = {s.id: folder / _folder_name(s.id) for s in self._sequences}
        return {of: place for of, place in places.items() if place.exists()}

    def _texts(self, edits: int, before: Adapters) -> dict[str, tuple[str, ...]]:
        """What each sequence learns in step `edits`, by its id: its own self-edits, the passage."""
        passages = {s.id: s.passages[edits - 1] for s in self._sequences}
        adapters = {passages[of].id: adapter for of, adapter in before.items()}
        group_size = len(passages) * self._settings.k
        writer = PolicyWriter(self._policy, self._settings, adapters, group_size)
        self_edits, _ = write_self_edits(
            self._run, list(passages.values()), writer, self._settings, self._seed
        )
        texts: dict[str, dict[str, None]] = {passage.id: {} for passage in passages.values()}
        by_id = {passage.id: passage for passage in passages.values()}
        for self_edit in self_edits:
            passage = by_id[self_edit.passage_id]
            # Once each, though the passage comes with every self-edit
            texts[passage.id] |= dict.fromkeys(
                self_edit_texts(passage, self_edit.text, self._settings)
            )
        return {of: tuple(texts[passage.id]) for of, passage in passages.items()}

    def _train(
        self, edits: int, texts: Mapping[str, tuple[str, ...]], before: Adapters, folder: Path
    ) -> None:
        """Write into `folder` what the adapters `before` and the new ones are together."""
        learning = [sequence for sequence in self._sequences if texts[sequence.id]]
        jobs = [self._job(s, edits, texts[s.id], before.get(s.id)) for s in learning]
        links = {s.id: folder / "links" / _folder_name(s.id) for s in learning}

        def on_done(index: int, result: AdapterResult) -> None:
            self._run.metric(
                "adapter",
                id=f"{learning[index].id}/{edits}",
                seconds=result.seconds,
                tokens=result.tokens,
                steps=result.steps,
                first_loss=result.losses[0],
                last_loss=result.losses[-1],
            )

        train_adapters(
            self._policy.model,
            jobs,
            list(links.values()),
            self._settings.target_modules,
            self._settings.slots,
            on_done=on_done,
        )
        for sequence in self._sequences:
            # One that has nothing to learn, no passage and a blank self-edit, stays as it is
            parts = [each[sequence.id] for each in (before, links) if sequence.id in each]
            if parts:
                name = self._policy.name
                write_concatenated(folder / _folder_name(sequence.id), parts, base_model=name)
        shutil.rmtree(folder / "links", ignore_errors=True)

    def _job(
        self, sequence: EditSequence, edits: int, texts: tuple[str, ...], before: Path | None
    ) -> AdapterJob:
        """The inner loop of a step, on the policy as the steps before it have made it."""
        seed = derive_seed(self._seed, f"{sequence.id}/{edits}")
        trial = Trial(f"{sequence.id}/{edits}", sequence.passages[edits - 1], texts, seed)
        job = adapter_job(trial, self._policy.tokenizer, self._settings)
        return replace(job, earlier=read_adapter(before) if before else None)


def _folder_name(sequence_id: str) -> str:
    return sequence_id.replace("/", "-")
