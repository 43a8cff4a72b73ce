"""Means with their uncertainty, clustered: questions of one passage are not independent.

The paper's tables average over passages (macro), not over questions, and print no uncertainty.
Here a cluster is a passage, or a task of the few-shot domain, and intervals resample clusters.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt

import numpy as np

Clusters = Mapping[str, Sequence[float]]
"""Cluster id to the values measured in it, at least one each; booleans count as 0 and 1."""

RESAMPLES = 10_000
_CHUNK = 1 << 20  # clusters drawn at a time while resampling
_TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` clusters and the interval that it lies in with 95% confidence."""

    mean: float
    standard_error: float
    lower: float
    upper: float
    n: int


def record_of(found: Estimate | None) -> dict[str, float] | None:
    """An estimate as results.json holds it."""
    return asdict(found) if found else None


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean, exact up to one final rounding, whatever the order of the values.

    Raises ValueError for no values.
    """
    return statistics.mean([float(value) for value in values])


def sample_std(values: Sequence[float]) -> float:
    """Standard deviation with n - 1, exact likewise; 0 for a single value, ValueError for none."""
    return 0.0 if len(values) == 1 else statistics.stdev([float(value) for value in values])


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean of independent values; 0 for a single one (it shows no spread)."""
    return sample_std(values) / sqrt(len(values))


def clustered_bootstrap(clusters: Clusters, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """The mean of the clusters' own means (the paper's accuracy), with a percentile bootstrap.

    It draws whole clusters, whose order does not matter; of one cluster the interval is a point.
    The standard error is the analytic one of their means. Raises ValueError for no clusters, or an
    empty one.
    """
    if not clusters:
        raise ValueError("no clusters to summarize")
    means = [mean(clusters[cluster]) for cluster in sorted(clusters)]
    generator, array = np.random.default_rng(seed), np.array(means)
    # In chunks, so that memory stays bounded for thousands of clusters
    rows = max(1, _CHUNK // array.size)
    chunks = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    draws = (generator.integers(array.size, size=(size, array.size)) for size in chunks)
    resampled = np.concatenate([array[drawn].mean(axis=1) for drawn in draws])
    lower, upper = np.quantile(resampled, _TAILS).tolist()
    return Estimate(mean(means), standard_error(means), lower, upper, len(means))


def paired_difference(a: Clusters, b: Clusters, seed: int = 0) -> Estimate:
    """The mean of `a` minus that of `b`, paired: what makes a cluster hard cancels out.

    Raises ValueError unless both hold the same clusters.
    """
    if a.keys() != b.keys():
        unmatched = sorted(a.keys() ^ b.keys())
        raise ValueError(f"{len(unmatched)} clusters are in one of the two only: {unmatched[:3]}")
    differences = {cluster: [mean(a[cluster]) - mean(b[cluster])] for cluster in a}
    return clustered_bootstrap(differences, seed)
