"""Continual self-edits: means and both deviations agree with every record of G5."""

import pytest

from knowledge.experiments.retention import pool_runs, retention, rounded_rows
from seal.records import read_json
from tests.conformance.golden import golden
from tests.support.data import shared_data

RELEASE = "seal-release/general-knowledge/results/continual_self_edits"


def test_every_record():
    for record in golden("g5_continual"):
        pooled = pool_runs(record["means"], record["stds"], record["n_per_run"])
        name = record["id"]
        assert rounded_rows(pooled.mean) == record["expected_mean"], name
        assert rounded_rows(pooled.average_of_stds) == record["expected_average_of_stds"], name
        assert rounded_rows(pooled.pooled_std) == record["expected_pooled_std"], name
        assert pooled.n_sequences == len(record["runs"]) * record["n_per_run"], name


def test_the_released_overall_file_prints_the_average_of_stds():
    runs = [read_json(path) for path in sorted(shared_data(RELEASE).glob("run*/summary_*.json"))]
    pooled = pool_runs(
        [run["mean_over_sequences"] for run in runs],
        [run["std_over_sequences"] for run in runs],
        n_per_run=runs[0]["n_sequences"],
    )
    released = read_json(shared_data(f"{RELEASE}/overall_results.json"))
    assert pooled.n_sequences == released["n_sequences"]
    assert rounded_rows(pooled.mean) == released["mean_over_sequences"]
    assert rounded_rows(pooled.average_of_stds) == released["std_over_sequences"]
    assert rounded_rows(pooled.pooled_std) != released["std_over_sequences"]


def test_the_papers_figures():
    released = read_json(shared_data(f"{RELEASE}/overall_results.json"))
    figures = retention(released["mean_over_sequences"])
    assert 100 * figures.before_any_edit == pytest.approx(30.7, abs=0.05)
    assert 100 * figures.after_own_edit == pytest.approx(41.5, abs=0.05)
    assert 100 * figures.after_all_edits == pytest.approx(24.7, abs=0.05)
