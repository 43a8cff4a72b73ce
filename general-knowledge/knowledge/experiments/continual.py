"""Self-edits one after the other: what does a model keep of its earlier ones? (Paper, section 5.)

For each passage of a sequence the edited policy writes a self-edit and learns it; then it is asked
about all passages so far. Nothing is merged, which would take a copy of the weights per sequence:
the adapters of a sequence are kept as one adapter of growing rank, with which the next step
samples, trains and answers (`seal.lora.files`). So all sequences go through their steps side by
side on one frozen model.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from knowledge.data.passages import Passage
from knowledge.experiments.retention import (
    Matrix,
    Retention,
    asked_cells,
    pool_runs,
    retention,
    rounded_rows,
    sequence_statistics,
)
from knowledge.judging.judges import Judge
from knowledge.method.closed_book import Examiner, Outcome, Trial, grade_missing, read_outcomes
from knowledge.method.inner_loop import adapter_job, self_edit_texts
from knowledge.method.self_edits import write_self_edits
from knowledge.method.writers import PolicyWriter
from knowledge.settings import SequentialSettings
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.lora import AdapterJob, train_adapters
from seal.lora.files import read_adapter, write_concatenated
from seal.report.intervals import clustered_bootstrap, mean, record_of
from seal.report.tables import markdown_table, percent
from seal.run import Run
from seal.seeds import derive_seed

Adapters = Mapping[str, Path]
"""Id of a sequence, or of its passage, to the adapter of its edits so far, if any."""


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


def all_trials(sequences: Sequence[EditSequence]) -> list[Trial]:
    """What is asked of all sequences, before any edit and after each."""
    return [
        trial
        for sequence in sequences
        for edits in range(len(sequence.passages) + 1)
        for trial in sequence.trials(edits)
    ]


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
    """All steps of all sequences, `settings.slots` side by side; a killed run goes on in its step.

    Appends RUN/self_edits.jsonl, answers.jsonl and grades.jsonl.
    """
    with run.progress(len(sequences) * (len(sequences[0].passages) + 1), "steps") as bar:
        for start in range(0, len(sequences), settings.slots):
            group = sequences[start : start + settings.slots]
            _Group(run, group, policy, judge, settings, seed).work_off(bar.update)
    shutil.rmtree(run.path("adapters"), ignore_errors=True)
    grade_missing(run, all_trials(sequences), judge, settings)


@dataclass(frozen=True)
class _Group:
    """Sequences side by side: a step is computed for all or none (see `Run.pending_groups`)."""

    run: Run
    sequences: Sequence[EditSequence]
    policy: Policy
    judge: Judge
    settings: SequentialSettings
    seed: int

    @property
    def folder(self) -> Path:
        """Named after the group's ends: a run that is resumed with other --slots has others."""
        ends = f"{self.sequences[0].id}..{self.sequences[-1].id}"
        return self.run.path("adapters") / _folder_name(ends)

    def work_off(self, on_done: Callable[[int], object]) -> None:
        """Ask before any edit and after each, with the adapters that this takes."""
        examiner = Examiner(self.run, self.policy, self.judge, self.settings)
        for edits in range(len(self.sequences[0].passages) + 1):
            trials = [(trial, s.id) for s in self.sequences for trial in s.trials(edits)]
            if {trial.id for trial, _ in trials} - self.run.ids("answers"):
                adapters = self._adapters_after(edits)
                examiner.examine([(trial, adapters.get(of)) for trial, of in trials])
            on_done(len(self.sequences))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _adapters_after(self, edits: int) -> Adapters:
        """The adapters after so many edits; trained, from those before, unless they are there.

        The disk holds those of one step at a time. Their folder gets its name when they are whole.
        """
        if edits == 0:
            return {}
        folder = self.folder / f"after-{edits}"
        if not folder.exists():
            before = self._adapters_after(edits - 1)
            partial = self.folder / "partial"
            shutil.rmtree(partial, ignore_errors=True)
            self._train(edits, before, partial)
            partial.rename(folder)
            shutil.rmtree(self.folder / f"after-{edits - 1}", ignore_errors=True)
        places = {s.id: folder / _folder_name(s.id) for s in self.sequences}
        return {of: place for of, place in places.items() if place.exists()}

    def _texts(self, edits: int, before: Adapters) -> dict[str, tuple[str, ...]]:
        """What each sequence learns in step `edits`, by its id: its own self-edits, the passage."""
        passages = {s.id: s.passages[edits - 1] for s in self.sequences}
        adapters = {passages[of].id: adapter for of, adapter in before.items()}
        group_size = len(passages) * self.settings.k
        writer = PolicyWriter(self.policy, self.settings, adapters, group_size)
        asked = list(passages.values())
        self_edits, _ = write_self_edits(self.run, asked, writer, self.settings, self.seed)
        # Once each, though the passage comes with every self-edit
        texts: dict[str, dict[str, None]] = {passage.id: {} for passage in asked}
        about = {passage.id: passage for passage in asked}
        for own in self_edits:
            learned = self_edit_texts(about[own.passage_id], own.text, self.settings)
            texts[own.passage_id] |= dict.fromkeys(learned)
        return {of: tuple(texts[passage.id]) for of, passage in passages.items()}

    def _train(self, edits: int, before: Adapters, folder: Path) -> None:
        """Write into `folder` what the adapters `before` and the new ones are together."""
        texts = self._texts(edits, before)
        learning = [sequence for sequence in self.sequences if texts[sequence.id]]
        jobs = [self._job(s, edits, texts[s.id], before.get(s.id)) for s in learning]
        links = {s.id: folder / "links" / _folder_name(s.id) for s in learning}
        train_adapters(
            self.policy.model,
            jobs,
            list(links.values()),
            self.settings.target_modules,
            self.settings.slots,
            on_done=lambda i, took: self.run.metric(
                "adapter", id=f"{learning[i].id}/{edits}", **took.numbers
            ),
        )
        for name in (sequence.id for sequence in self.sequences):
            # With nothing to learn, no passage and a blank self-edit, a sequence stays as it is
            if parts := [each[name] for each in (before, links) if name in each]:
                write_concatenated(folder / _folder_name(name), parts, self.policy.name)
        shutil.rmtree(folder / "links", ignore_errors=True)

    def _job(
        self, sequence: EditSequence, edits: int, texts: tuple[str, ...], before: Path | None
    ) -> AdapterJob:
        """The inner loop of a step, on the policy as the steps before it have made it."""
        name = f"{sequence.id}/{edits}"
        trial = Trial(name, sequence.passages[edits - 1], texts, derive_seed(self.seed, name))
        job = adapter_job(trial, self.policy.tokenizer, self.settings)
        return replace(job, earlier=read_adapter(before) if before else None)


def _folder_name(sequence_id: str) -> str:
    return sequence_id.replace("/", "-")


# What they found


def summarize_sequences(run: Run, sequences: Sequence[EditSequence], seed: int) -> dict[str, Any]:
    """The numbers of results.json: fractions, 95% intervals over sequences.

    Raises UserError as `accuracy_matrix` does.
    """
    outcomes = {o.trial.id: o for o in read_outcomes(run, all_trials(sequences))}
    matrices, calibrated = (
        {s.id: accuracy_matrix(s, outcomes, calibrated=by_probability) for s in sequences}
        for by_probability in (False, True)
    )
    of_runs = [
        sequence_statistics([matrices[s.id] for s in sequences if s.run == number])
        for number in sorted({sequence.run for sequence in sequences})
    ]
    per_run = len(sequences) // len(of_runs)
    pooled = pool_runs(*zip(*of_runs, strict=True), per_run)
    answers = [answer for outcome in outcomes.values() for answer in outcome.answers]
    return {
        "n_sequences": len(sequences),
        "n_passages": len(sequences[0].passages),
        "retention": retention_numbers(matrices, seed),
        "calibrated_retention": retention_numbers(calibrated, seed),
        "mean": rounded_rows(pooled.mean),
        "pooled_std": rounded_rows(pooled.pooled_std),
        "average_of_stds": rounded_rows(pooled.average_of_stds),
        "runs": [
            {
                "mean_over_sequences": rounded_rows(of_run),
                "std_over_sequences": rounded_rows(std),
                "n_sequences": per_run,
            }
            for of_run, std in of_runs
        ],
        "n_answers": len(answers),
        "blank_answer_rate": mean([not answer.strip() for answer in answers]),
        "n_ungraded": sum(outcome.n_ungraded for outcome in outcomes.values()),
    }


def accuracy_matrix(
    sequence: EditSequence, outcomes: Mapping[str, Outcome], *, calibrated: bool = False
) -> Matrix:
    """A sequence's accuracies [K + 1, K], or mean probabilities; 0 where nothing was asked.

    `outcomes` are by their trial's id. Raises UserError for a cell of which nothing was graded.
    """
    length = len(sequence.passages)
    matrix = np.zeros((length + 1, length))
    for edits, column in asked_cells(length):
        trial_id = sequence.trial_id(edits, sequence.passages[column])
        grades = [g for g in outcomes[trial_id].grades if g.verdict is not None]
        if not grades:
            raise UserError(
                f"{trial_id}: none of its answers could be graded; delete its line from"
                " grades.jsonl and run the same command again"
            )
        matrix[edits, column] = mean([g.probability if calibrated else g.verdict for g in grades])
    return matrix


def retention_numbers(
    matrices: Mapping[str, Matrix], seed: int
) -> dict[str, dict[str, float] | None]:
    """The experiment's three numbers (`Retention`), each with its interval over sequences."""
    found = {of: asdict(retention(matrix)) for of, matrix in matrices.items()}
    clusters = {f.name: {of: [found[of][f.name]] for of in found} for f in fields(Retention)}
    return {name: record_of(clustered_bootstrap(own, seed)) for name, own in clusters.items()}


def format_matrix(rows: Sequence[Sequence[float]]) -> str:
    """A matrix of accuracies [K + 1, K] as a table in percent; what was not asked is left blank."""
    cells = [[str(edits), *("" for _ in row)] for edits, row in enumerate(rows)]
    for edits, column in asked_cells(len(rows[0])):
        cells[edits][column + 1] = percent(rows[edits][column])
    return markdown_table(["edits", *(f"passage {n}" for n in range(1, len(rows)))], cells)
