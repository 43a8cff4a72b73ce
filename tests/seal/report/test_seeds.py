"""Several seeds together: what is averaged over what, and what is paired with what."""

from dataclasses import asdict
from math import sqrt

import pytest

from seal.errors import UserError
from seal.records import append_jsonl, write_json
from seal.report.intervals import Estimate
from seal.report.seeds import (
    ArmSummary,
    Average,
    Row,
    SeedRun,
    format_seeds,
    mean_usage,
    read_seed,
    round_curves,
    summarize_seeds,
)
from seal.usage import Usage


def estimate(mean: float, standard_error: float = 0.01, n: int = 80) -> Estimate:
    return Estimate(mean, standard_error, mean - 0.02, mean + 0.02, n)


def seed(name: str, usage: Usage | None = None, **means: float) -> SeedRun:
    """A seed whose own differences have an error of 0.03, which pairing over seeds must not use."""
    rows, above = {}, None
    for label, mean in means.items():
        label = label.replace("_", "-")
        difference = estimate(mean - rows[above].value.mean, 0.03) if above else None
        rows[label] = Row(estimate(mean), difference, above)
        above = label
    return SeedRun(name, rows, usage)


def by_label(seeds) -> dict[str, ArmSummary]:
    return {arm.label: arm for arm in summarize_seeds(seeds, "passages")}


# Reading


def write_table(folder, rows, **usages):
    write_json(folder / "table/results.json", {"n_passages": 80, "rows": rows})
    for program in ("table", "rest-em"):
        line = {"event": "training", "seconds": 1.0}
        append_jsonl(folder / program / "metrics.jsonl", line)
        if program in usages:
            append_jsonl(folder / program / "metrics.jsonl", {"event": "usage", **usages[program]})


def record(label, accuracy, difference=None):
    return {"label": label, "accuracy": accuracy, "difference_to_row_above": difference}


def test_a_seed_is_read(tmp_path):
    rows = [
        record("no-update", asdict(estimate(0.25))),
        record("self-edits", asdict(estimate(0.5)), asdict(estimate(0.25, 0.02))),
        record("round-1", None),
        record("round-2", asdict(estimate(0.75))),
    ]
    took = {"seconds": 60.0, "peak_memory_mb": 500.0, "peak_gpu_memory_mb": None}
    more = {"seconds": 30.0, "peak_memory_mb": 700.0, "peak_gpu_memory_mb": None}
    usages = {"table": took, "rest-em": more}
    write_table(tmp_path / "seed-7", rows, **usages)
    found = read_seed(tmp_path / "seed-7", "accuracy")
    assert found == SeedRun(
        "seed-7",
        {
            "no-update": Row(estimate(0.25), None, None),
            "self-edits": Row(estimate(0.5), estimate(0.25, 0.02), "no-update"),
            # Nothing of round 1 could be graded, so nothing stands above round 2
            "round-2": Row(estimate(0.75), None, "round-1"),
        },
        Usage(90.0, 700.0),
    )


def test_what_only_one_program_noted_is_not_what_a_seed_took(tmp_path):
    took = {"seconds": 60.0, "peak_memory_mb": 500.0, "peak_gpu_memory_mb": None}
    write_table(tmp_path, [record("a", asdict(estimate(0.5)))], table=took)
    assert read_seed(tmp_path, "accuracy").usage is None


def test_what_is_not_a_seeds_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none: no such folder; name one that holds table/"):
        read_seed(tmp_path / "none", "accuracy")
    with pytest.raises(UserError, match=r"table/results\.json: no such file"):
        read_seed(tmp_path, "accuracy")
    write_json(tmp_path / "table/results.json", {"rows": [record("a", asdict(estimate(0.5)))]})
    with pytest.raises(UserError, match=r"rest-em/metrics\.jsonl: no such file"):
        read_seed(tmp_path, "accuracy")
    with pytest.raises(UserError, match=r"not a table with rows of success_rate"):
        read_seed(tmp_path, "success_rate")


@pytest.mark.parametrize(
    "results",
    [
        {},
        [],
        {"rows": 3},
        {"rows": ["a"]},
        {"rows": [{"accuracy": 1}]},
        {"rows": [record("a", {"mean": 1})]},
        {"rows": [record("a", 0.5)]},
    ],
)
def test_results_of_another_kind_are_refused(results, tmp_path):
    write_json(tmp_path / "table/results.json", results)
    with pytest.raises(UserError, match=r"results\.json is not a table with rows of accuracy"):
        read_seed(tmp_path, "accuracy")


# Means and differences


def test_with_one_seed_the_errors_are_its_own():
    arms = by_label([seed("a", no_update=0.1, self_edits=0.4)])
    assert arms["self-edits"] == ArmSummary(
        "self-edits",
        Average(0.4, 0.01, 80, "passages"),
        "no-update",
        Average(pytest.approx(0.3), 0.03, 80, "passages"),
    )
    assert arms["no-update"].difference is None


def test_with_several_seeds_the_errors_are_over_seeds():
    seeds = [seed("a", self_edits=0.4, round_1=0.7), seed("b", self_edits=0.6, round_1=0.8)]
    arms = by_label(seeds)
    # Means 0.5 and 0.75; the gains of the seeds are 0.3 and 0.2
    assert arms["self-edits"].value == Average(0.5, pytest.approx(0.1), 2, "seeds")
    assert arms["round-1"].value == Average(0.75, pytest.approx(0.05), 2, "seeds")
    assert arms["round-1"].difference == Average(
        pytest.approx(0.25), pytest.approx(0.05), 2, "seeds"
    )


def test_seeds_without_a_row_are_left_out_of_it():
    seeds = [
        seed("a", self_edits=0.4, round_1=0.7, random_1=0.3),
        seed("b", self_edits=0.6, round_1=0.8, random_1=0.6),
        seed("c", self_edits=0.5, round_1=0.9),
    ]
    arms = by_label(seeds)
    assert arms["round-1"].value.n == 3
    assert arms["random-1"].value == Average(pytest.approx(0.45), pytest.approx(0.15), 2, "seeds")
    # -0.1 and 0.0, of the two seeds that have both: to what the control began as
    assert arms["random-1"].reference == "self-edits"
    assert arms["random-1"].difference == Average(
        pytest.approx(-0.05), pytest.approx(0.05), 2, "seeds"
    )
    lines = format_seeds([*arms.values()], seeds, {}).splitlines()
    (line,) = (line for line in lines if line.startswith("| random-1"))
    assert [cell.strip() for cell in line.split("|")[-5:-2]] == ["30.0", "60.0", "-"]


def test_a_row_of_one_seed_among_several_has_that_seeds_error():
    arms = by_label([seed("a", self_edits=0.4, all_1=0.5), seed("b", self_edits=0.6)])
    assert arms["all-1"].value == Average(0.5, 0.01, 80, "passages")
    assert arms["all-1"].difference == Average(pytest.approx(0.1), 0.03, 80, "passages")


def test_rows_that_stand_apart_in_their_table_have_no_error_of_their_difference():
    """In the only table with both, another row lies between them, of which others know nothing."""
    alone = seed("a", self_edits=0.4, repeated=0.3, oracle=0.5)
    arms = by_label([alone, seed("b", self_edits=0.6, other=0.2)])
    assert list(arms) == ["self-edits", "other", "repeated", "oracle"]
    assert arms["repeated"].difference is None  # no seed has both
    assert arms["other"].difference == Average(pytest.approx(-0.4), 0.03, 80, "passages")
    apart = [seed("a", x=0.1, y=0.3, z=0.2), seed("b", x=0.1, z=0.4)]
    del apart[0].rows["y"]
    arms = by_label([apart[0], seed("b", x=0.1)])
    assert arms["z"].difference == Average(pytest.approx(0.1), None, 1, "seeds")


def test_arms_are_compared_with_what_they_began_as():
    rounds = {"round_1": 0.5, "round_2": 0.6, "random_1": 0.4, "random_2": 0.3}
    arms = by_label([seed("a", no_update=0.1, self_edits=0.4, **rounds, repeated=0.8, oracle=0.9)])
    assert {label: arm.reference for label, arm in arms.items()} == {
        "no-update": None,
        "self-edits": "no-update",
        "round-1": "self-edits",
        "round-2": "round-1",
        "random-1": "self-edits",
        "random-2": "random-1",
        "repeated": "round-2",
        "oracle": "round-2",
    }


def test_rows_come_in_the_order_of_the_tables():
    seeds = [
        seed("a", no_update=0.1, self_edits=0.2, oracle=0.9),
        seed("b", no_update=0.1, self_edits=0.2, round_1=0.3, random_1=0.2, oracle=0.9),
        seed("c", no_update=0.1, passage_only=0.1, self_edits=0.2, round_1=0.3, all_1=0.2),
    ]
    expected = "no-update passage-only self-edits round-1 all-1 random-1 oracle"
    assert list(by_label(seeds)) == expected.split()


def test_seconds_are_averaged_and_peaks_are_not():
    seeds = [seed("a", Usage(100.0, 500.0), x=0.1), seed("b", Usage(50.0, 900.0), x=0.1)]
    assert mean_usage(seeds) == Usage(75.0, 900.0)
    assert mean_usage([*seeds, seed("c", x=0.1)]) is None


# The table


def test_the_table_of_several_seeds():
    seeds = [seed("seed-2", self_edits=0.4, round_1=0.7), seed("seed-3", self_edits=0.6)]
    seeds[1] = seed("seed-3", self_edits=0.6, round_1=0.8)
    lines = format_seeds(summarize_seeds(seeds, "passages"), seeds, {"round-1": 42.7}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == [
        *("", "mean ± s.e.", "n", "difference", "to", "difference / s.e."),
        *("seed-2", "seed-3", "paper"),
    ]
    assert cells[2] == [
        *("self-edits", "50.0 ± 10.0", "2 seeds", "-", "-", "-"),
        *("40.0", "60.0", "-"),
    ]
    assert cells[3] == [
        *("round-1", "75.0 ± 5.0", "2 seeds", "+25.0 ± 5.0", "self-edits", "5.0"),
        *("70.0", "80.0", "42.7"),
    ]


def test_the_table_of_one_seed_has_no_columns_by_seed():
    seeds = [seed("seed-2", self_edits=0.4, round_1=0.7)]
    lines = format_seeds(summarize_seeds(seeds, "tasks"), seeds, {}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["", "mean ± s.e.", "n", "difference", "to", "paper"]
    assert cells[3] == ["round-1", "70.0 ± 1.0", "80 tasks", "+30.0 ± 3.0", "self-edits", "-"]


@pytest.mark.parametrize(
    ("gains", "shown"), [((0.1, 0.3), "2.0"), ((0.3, 0.1), "2.0"), ((0.25, 0.25), "-")]
)
def test_a_ratio_needs_a_spread(gains, shown):
    seeds = [seed(str(gain), a=0.5, b=0.5 + gain) for gain in gains]
    table = format_seeds(summarize_seeds(seeds, "passages"), seeds, {})
    assert table.splitlines()[-1].split("|")[6].strip() == shown


def test_the_error_over_seeds_is_of_the_mean():
    seeds = [seed(str(value), a=value) for value in (0.1, 0.2, 0.6)]
    (arm,) = summarize_seeds(seeds, "passages")
    assert arm.value.standard_error == pytest.approx(sqrt((0.2**2 + 0.1**2 + 0.3**2) / 2 / 3))


# Curves


def test_curves_begin_before_rl():
    seeds = [
        seed("a", passage_only=0.1, self_edits=0.4, round_1=0.7, round_2=0.8, random_1=0.3),
        seed("b", passage_only=0.1, self_edits=0.5, round_1=0.6, oracle=0.9),
    ]
    assert round_curves(seeds) == {
        "round": [[0.4, 0.7, 0.8], [0.5, 0.6, None]],
        "random": [[0.4, 0.3]],
    }


def test_without_rounds_there_are_no_curves():
    assert round_curves([seed("a", no_update=0.1, self_edits=0.2)]) == {}
