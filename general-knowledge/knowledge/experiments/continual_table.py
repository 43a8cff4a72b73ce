"""What sequential self-edits found: matrices of retention, from answers' grades (golden G5)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from knowledge.experiments.continual import EditSequence, all_trials
from knowledge.experiments.retention import (
    Matrix,
    asked_cells,
    pool_runs,
    retention,
    rounded_rows,
    sequence_statistics,
)
from knowledge.method.closed_book import Outcome, read_outcomes
from seal.errors import UserError
from seal.report.intervals import clustered_bootstrap, mean, record_of
from seal.report.tables import markdown_table, percent
from seal.run import Run


def summarize_sequences(run: Run, sequences: Sequence[EditSequence], seed: int) -> dict[str, Any]:
    """The numbers of results.json; fractions, with 95% intervals over sequences.

    Raises UserError for a cell of which nothing was graded: a matrix has no gaps.
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
    pooled = pool_runs([m for m, _ in of_runs], [std for _, std in of_runs], per_run)
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
    """A sequence's accuracies [K + 1, K], 0 where nothing was asked (see `retention`).

    `outcomes` are by their trial's id. `calibrated` averages the judge's probabilities instead of
    its verdicts. Raises UserError for a cell of which nothing was graded.
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
    return {
        name: record_of(
            clustered_bootstrap({of: [numbers[name]] for of, numbers in found.items()}, seed)
        )
        for name in next(iter(found.values()))
    }


def format_matrix(rows: Sequence[Sequence[float]]) -> str:
    """A matrix of accuracies [K + 1, K] as a table in percent; what was not asked is left blank."""
    cells = [[str(edits), *("" for _ in row)] for edits, row in enumerate(rows)]
    for edits, column in asked_cells(len(rows[0])):
        cells[edits][column + 1] = percent(rows[edits][column])
    return markdown_table(["edits", *(f"passage {n}" for n in range(1, len(rows)))], cells)
