"""What sequential self-edits found: matrices of retention, from answers' grades (golden G5)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from knowledge.experiments.continual import EditSequence
from knowledge.experiments.retention import (
    Matrix,
    pool_runs,
    retention,
    rounded_rows,
    sequence_statistics,
)
from knowledge.method.closed_book import Outcome, read_outcomes
from seal.errors import UserError
from seal.report.intervals import clustered_bootstrap, mean
from seal.report.tables import markdown_table
from seal.run import Run


def summarize_sequences(run: Run, sequences: Sequence[EditSequence], seed: int) -> dict[str, Any]:
    """The figures of results.json; fractions, with 95% intervals over sequences.

    Raises UserError for a cell of which nothing was graded: a matrix has no gaps.
    """
    outcomes = read_cells(run, sequences)
    matrices = {s.id: accuracy_matrix(s, outcomes) for s in sequences}
    calibrated = {s.id: accuracy_matrix(s, outcomes, calibrated=True) for s in sequences}
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
        "retention": retention_figures(matrices, seed),
        "calibrated_retention": retention_figures(calibrated, seed),
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


def read_cells(run: Run, sequences: Sequence[EditSequence]) -> dict[str, Outcome]:
    """What was answered in every cell of every sequence's matrix, by its trial's id."""
    trials = [
        trial
        for sequence in sequences
        for edits in range(len(sequence.passages) + 1)
        for trial in sequence.trials(edits)
    ]
    return {outcome.trial.id: outcome for outcome in read_outcomes(run, trials)}


def accuracy_matrix(
    sequence: EditSequence, outcomes: Mapping[str, Outcome], *, calibrated: bool = False
) -> Matrix:
    """A sequence's accuracies [K + 1, K], 0 where nothing was asked (see `retention`).

    `calibrated` averages the judge's probabilities instead of its verdicts. Raises UserError for a
    cell of which nothing was graded.
    """
    length = len(sequence.passages)
    matrix = np.zeros((length + 1, length))
    for edits in range(length + 1):
        for column, trial in enumerate(sequence.trials(edits)):
            grades = [g for g in outcomes[trial.id].grades if g.verdict is not None]
            if not grades:
                raise UserError(
                    f"{trial.id}: none of its answers could be graded; delete its line from"
                    " grades.jsonl and run the same command again"
                )
            values = [g.probability if calibrated else g.verdict for g in grades]
            matrix[edits, column] = mean([float(value) for value in values])
    return matrix


def retention_figures(matrices: Mapping[str, Matrix], seed: int) -> dict[str, dict[str, float]]:
    """The experiment's three figures (`Retention`), each with its interval over sequences."""
    figures = {of: asdict(retention(matrix)) for of, matrix in matrices.items()}
    names = next(iter(figures.values()))
    return {
        name: asdict(
            clustered_bootstrap({of: [found[name]] for of, found in figures.items()}, seed)
        )
        for name in names
    }


def format_matrix(rows: Sequence[Sequence[float]]) -> str:
    """A matrix of accuracies [K + 1, K] as a table in percent; what was not asked is left blank."""
    header = ["edits", *(f"passage {column + 1}" for column in range(len(rows[0])))]
    cells = [
        [
            str(edits),
            *(
                f"{100 * v:.1f}" if not edits or column < edits else ""
                for column, v in enumerate(row)
            ),
        ]
        for edits, row in enumerate(rows)
    ]
    return markdown_table(header, cells)
