"""Retention under sequential self-edits (paper, section 5 and the plot of forgetting; golden G5).

A sequence has K passages; after each edit all passages so far are asked again. Its accuracies form
a matrix [R, K] with R = K + 1: row 0 is before any edit, row r after r edits, and column k is the
k-th passage. A cell that was not asked (row r >= 1, column >= r) is 0, as in the release's files.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]


def asked_cells(length: int) -> list[tuple[int, int]]:
    """The cells [edits, passage] of a sequence's matrix that are asked, row by row."""
    return [(edits, k) for edits in range(length + 1) for k in range(edits or length)]


@dataclass(frozen=True)
class PooledRuns:
    """Several runs of several sequences each, as one; every matrix is [R, K].

    `average_of_stds` is what the release prints as its standard deviation. It leaves out how far
    the runs lie apart; `pooled_std` is the sample deviation over all `n_sequences`.
    """

    mean: Matrix
    average_of_stds: Matrix
    pooled_std: Matrix
    n_sequences: int


@dataclass(frozen=True)
class Retention:
    """Accuracy averaged over the passages of a sequence: the three numbers of the experiment."""

    before_any_edit: float
    after_own_edit: float
    after_all_edits: float


def sequence_statistics(accuracies: ArrayLike) -> tuple[Matrix, Matrix]:
    """Mean and sample deviation (of one: 0) over a run's sequences: [n, R, K] to two of [R, K]."""
    values = np.asarray(accuracies, dtype=np.float64)
    mean = values.mean(axis=0)
    return mean, values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros_like(mean)


def pool_runs(means: ArrayLike, stds: ArrayLike, n_per_run: int) -> PooledRuns:
    """Combine runs of `n_per_run` sequences from their means and deviations, each [runs, R, K].

    Raises ValueError if the shapes differ.
    """
    run_means = np.asarray(means, dtype=np.float64)
    run_stds = np.asarray(stds, dtype=np.float64)
    if run_means.shape != run_stds.shape or run_means.ndim != 3:
        raise ValueError(f"means {run_means.shape} and stds {run_stds.shape} must be [runs, R, K]")
    n_sequences = len(run_means) * n_per_run
    mean = run_means.mean(axis=0)
    # The squared deviations are those within the runs plus those of the runs' means
    within = (n_per_run - 1) * (run_stds**2).sum(axis=0)
    between = n_per_run * ((run_means - mean) ** 2).sum(axis=0)
    pooled_std = np.sqrt((within + between) / max(1, n_sequences - 1))
    return PooledRuns(mean, run_stds.mean(axis=0), pooled_std, n_sequences)


def retention(mean: ArrayLike) -> Retention:
    """The experiment's numbers from a matrix [K + 1, K]. Raises ValueError for another shape."""
    matrix = np.asarray(mean, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) != matrix.shape[1] + 1:
        raise ValueError(f"a matrix of shape {matrix.shape} is not [K + 1, K]")
    return Retention(
        before_any_edit=float(matrix[0].mean()),
        after_own_edit=float(np.diagonal(matrix[1:]).mean()),
        after_all_edits=float(matrix[-1].mean()),
    )


def rounded_rows(matrix: Matrix) -> list[list[float]]:
    """A matrix as the release's files print it, by numpy's rounding: Python's differs at halves."""
    return np.round(matrix, 4).tolist()
