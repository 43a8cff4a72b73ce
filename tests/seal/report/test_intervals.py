"""Means and clustered intervals, on closed forms and on the release's own verdicts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.records import read_json
from seal.report.intervals import (
    Estimate,
    clustered_bootstrap,
    mean,
    paired_difference,
    sample_std,
    standard_error,
)
from tests.support.data import shared_data

EVALUATION = "seal-release/general-knowledge/results/query_server/eval"


def released_verdicts(name: str) -> dict[str, list[bool]]:
    """Verdicts with the adapter, by passage."""
    articles = read_json(shared_data(f"{EVALUATION}/{name}"))["articles"]
    return {
        f"{article['title']}\n{article['context']}": [
            question["adapter_correct"]
            for completion in article["completions"]
            for question in completion["questions"]
        ]
        for article in articles
    }


def test_closed_forms():
    assert mean([1, 2, 6]) == 3
    assert mean([True, False]) == 0.5
    assert sample_std([1.0, 3.0]) == 2**0.5
    assert standard_error([1.0, 3.0]) == pytest.approx(1.0)
    assert sample_std([0.7]) == standard_error([0.7]) == 0.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.randoms())
def test_order_does_not_matter_and_numpy_agrees(values, random):
    assert mean(values) == pytest.approx(np.mean(values), abs=1e-6)
    assert sample_std(values) == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-6)
    mixed = random.sample(values, len(values))
    assert mean(mixed) == mean(values)
    assert sample_std(mixed) == sample_std(values)


@pytest.mark.parametrize("function", [mean, sample_std, standard_error])
def test_no_values(function):
    with pytest.raises(ValueError):
        function([])


def test_clusters_weigh_alike():
    assert clustered_bootstrap({"a": [1.0], "b": [0.0, 0.0, 0.0]}).mean == 0.5


def test_no_clusters_or_an_empty_one():
    for clusters in ({}, {"a": []}, {"a": [1.0], "b": []}):
        with pytest.raises(ValueError):
            clustered_bootstrap(clusters)


def test_bootstrap_is_deterministic_and_blind_to_order():
    clusters = {f"p{i}": [i % 3, i % 2] for i in range(20)}
    backwards = dict(reversed(clusters.items()))
    assert clustered_bootstrap(clusters, 1) == clustered_bootstrap(backwards, 1)
    assert clustered_bootstrap(clusters, 1) != clustered_bootstrap(clusters, 2)


def test_bootstrap_interval_agrees_with_the_normal_one_for_many_clusters():
    values = np.random.default_rng(0).normal(size=400)
    estimate = clustered_bootstrap({str(i): [value] for i, value in enumerate(values)})
    half_width = 1.96 * estimate.standard_error
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.standard_error == pytest.approx(values.std(ddof=1) / 20)
    assert estimate.lower == pytest.approx(estimate.mean - half_width, abs=0.01)
    assert estimate.upper == pytest.approx(estimate.mean + half_width, abs=0.01)
    assert estimate.n == 400


def test_repeating_measurements_within_clusters_does_not_narrow_the_interval():
    once = {str(i): [float(i % 2)] for i in range(30)}
    often = {cluster: values * 50 for cluster, values in once.items()}
    assert clustered_bootstrap(once) == clustered_bootstrap(often)


def test_how_many_draws_are_held_at_a_time_does_not_matter(monkeypatch):
    clusters = {str(i): [float(i)] for i in range(30)}
    at_once = clustered_bootstrap(clusters, resamples=1_000)
    monkeypatch.setattr("seal.report.intervals._CHUNK", 30 * 7)
    assert clustered_bootstrap(clusters, resamples=1_000) == at_once


def test_one_cluster_gives_a_point():
    assert clustered_bootstrap({"a": [0.25, 0.75]}) == Estimate(0.5, 0.0, 0.5, 0.5, 1)


def test_paired_difference_cancels_what_clusters_share():
    a = {str(i): [i + 1.0] for i in range(10)}
    b = {str(i): [float(i)] for i in range(10)}
    assert paired_difference(a, b) == Estimate(1.0, 0.0, 1.0, 1.0, 10)
    assert paired_difference(b, a).mean == -1.0


def test_paired_difference_allows_unequal_repeats():
    assert paired_difference({"a": [1, 0, 1, 0]}, {"a": [0.25]}).mean == 0.25


def test_paired_difference_refuses_unmatched_clusters():
    with pytest.raises(ValueError, match=r"2 clusters .*'b', 'c'"):
        paired_difference({"a": [1], "b": [1]}, {"a": [1], "c": [1]})


@pytest.mark.parametrize(
    ("other", "difference", "half_width"),
    [("gpt4_1.json", 0.7, 4.2), ("base.json", 7.3, 4.6)],
    ids=["SEAL minus GPT-4.1 data", "SEAL minus before RL"],
)
def test_uncertainty_of_the_papers_comparisons(other, difference, half_width):
    estimate = paired_difference(released_verdicts("iter2.json"), released_verdicts(other))
    assert estimate.n == 200
    assert 100 * estimate.mean == pytest.approx(difference, abs=0.05)
    assert 100 * 1.96 * estimate.standard_error == pytest.approx(half_width, abs=0.05)
    assert 100 * (estimate.upper - estimate.lower) / 2 == pytest.approx(half_width, abs=0.1)


def test_the_papers_accuracies_are_means_over_passages():
    for name, accuracy in [("iter2.json", 47.0), ("gpt4_1.json", 46.3), ("base.json", 39.7)]:
        found = clustered_bootstrap(released_verdicts(name), resamples=1)
        assert 100 * found.mean == pytest.approx(accuracy, abs=0.05)
