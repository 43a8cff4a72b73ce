"""Retention matrices: pooling against the raw sequences, and the three numbers."""

import numpy as np
import pytest

from knowledge.experiments.retention import pool_runs, retention, rounded_rows, sequence_statistics


def test_pooling_equals_the_statistics_of_all_sequences_together():
    sequences = np.random.default_rng(0).random((3, 5, 4, 3))  # runs, sequences, R, K
    runs = [sequence_statistics(run) for run in sequences]
    pooled = pool_runs([mean for mean, _ in runs], [std for _, std in runs], n_per_run=5)
    together = sequences.reshape(15, 4, 3)
    np.testing.assert_allclose(pooled.mean, together.mean(axis=0), atol=1e-15)
    np.testing.assert_allclose(pooled.pooled_std, together.std(axis=0, ddof=1), atol=1e-15)
    np.testing.assert_allclose(pooled.average_of_stds, np.mean([std for _, std in runs], axis=0))
    assert pooled.n_sequences == 15


def test_the_average_of_deviations_hides_how_far_runs_lie_apart():
    pooled = pool_runs([[[0.0]], [[1.0]]], [[[0.0]], [[0.0]]], n_per_run=4)
    assert pooled.average_of_stds == 0
    assert pooled.pooled_std == pytest.approx((8 * 0.25 / 7) ** 0.5)


def test_a_single_sequence_has_no_deviation():
    mean, std = sequence_statistics([[[0.25, 0.5]]])
    assert mean.tolist() == [[0.25, 0.5]]
    assert std.tolist() == [[0.0, 0.0]]
    assert pool_runs([mean], [std], n_per_run=1).pooled_std.tolist() == [[0.0, 0.0]]


def test_retention_reads_first_row_diagonal_and_last_row():
    matrix = [[0.1, 0.3], [0.8, 0.0], [0.2, 0.6]]
    found = retention(matrix)
    assert found.before_any_edit == pytest.approx(0.2)
    assert found.after_own_edit == pytest.approx(0.7)
    assert found.after_all_edits == pytest.approx(0.4)


@pytest.mark.parametrize("shape", [(2, 2), (3, 1), (4, 4, 3)])
def test_retention_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="shape"):
        retention(np.zeros(shape))


def test_pooling_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match="runs, R, K"):
        pool_runs(np.zeros((2, 3, 2)), np.zeros((2, 3, 3)), n_per_run=2)
    with pytest.raises(ValueError, match="runs, R, K"):
        pool_runs(np.zeros((3, 2)), np.zeros((3, 2)), n_per_run=2)


def test_rounded_rows_are_plain_numbers():
    rows = rounded_rows(np.array([[0.12345, 1.0]]))
    assert rows == [[0.1234, 1.0]]
    assert type(rows[0][0]) is float
