"""summarize_seeds.py on small result files of both domains."""

from dataclasses import asdict
from pathlib import Path

import pytest

from seal.records import append_jsonl, read_json, write_json
from seal.report.intervals import clustered_bootstrap
from tests.programs.programs import call_program, refusal

PROGRAM = "scripts/summarize_seeds.py"


def write_seed(folder: Path, field: str, rows: dict[str, list[float]], seconds: float) -> Path:
    """A seed's run with the given values by row, one per cluster; FIELD is what they are called."""
    records, above = [], None
    for label, values in rows.items():
        clusters = {str(place): [value] for place, value in enumerate(values)}
        paired = above and {p: [clusters[p][0] - above[p][0]] for p in clusters}
        records.append(
            {
                "label": label,
                field: asdict(clustered_bootstrap(clusters)),
                "difference_to_row_above": paired and asdict(clustered_bootstrap(paired)),
            }
        )
        above = clusters
    write_json(folder / "table/results.json", {"rows": records})
    for program, share in (("rest-em", 0.75), ("table", 0.25)):
        usage = {"event": "usage", "seconds": share * seconds, "peak_memory_mb": 400 + seconds}
        append_jsonl(folder / program / "metrics.jsonl", usage | {"peak_gpu_memory_mb": None})
    return folder


@pytest.fixture
def knowledge(tmp_path) -> list[Path]:
    rows = {
        "a": {"no-update": [0.0, 0.0], "self-edits": [0.5, 0.5], "round-1": [0.75, 0.75]},
        "b": {"no-update": [0.0, 0.5], "self-edits": [0.5, 1.0], "round-1": [1.0, 1.0]},
    }
    rows["b"]["random-1"] = [0.75, 0.75]
    return [
        write_seed(tmp_path / name, "accuracy", of_seed, seconds)
        for (name, of_seed), seconds in zip(rows.items(), (60, 120), strict=True)
    ]


@pytest.fixture
def few_shot(tmp_path) -> Path:
    rows = {"in-context": [0, 0, 0, 0], "self-edits": [0, 0, 1, 0], "round-1": [1, 0, 1, 1]}
    return write_seed(tmp_path / "arc", "success_rate", rows, 30)


def test_several_seeds_of_one_domain(knowledge, tmp_path, capsys):
    output = tmp_path / "out"
    call_program(PROGRAM, [str(knowledge[1])], output=output, knowledge=knowledge[0])
    (domain,) = read_json(output / "summary.json").items()
    assert domain[0] == "general-knowledge"
    assert (domain[1]["seconds"], domain[1]["peak_memory_mb"]) == (90, 520)
    arms = domain[1]["arms"]
    assert list(arms) == ["no-update", "self-edits", "round-1", "random-1"]
    assert arms["self-edits"] == {
        "mean": 0.625,
        "standard_error": pytest.approx(0.125),
        "n": 2,
        "over": "seeds",
    }
    assert arms["random-1"] == {"mean": 0.75, "standard_error": 0.0, "n": 2, "over": "passages"}
    text = (output / "summary.md").read_text()
    assert "general-knowledge: accuracy in percent" in text and "few-shot" not in text
    assert " 39.7 |" in text and "only the shape" in text
    assert "A seed took 1.5 minutes, and 520 MB" in text
    assert text.strip() in capsys.readouterr().out
    assert {path.name for path in output.iterdir()} == {
        "summary.json",
        "summary.md",
        "rounds-general-knowledge.png",
    }


def test_one_seed_of_each_domain(knowledge, few_shot, tmp_path):
    output = tmp_path / "out"
    call_program(PROGRAM, output=output, knowledge=knowledge[0], few_shot=few_shot)
    summary = read_json(output / "summary.json")
    assert list(summary) == ["general-knowledge", "few-shot"]
    found = summary["few-shot"]["arms"]["round-1"]
    assert (found["mean"], found["n"], found["over"]) == (0.75, 4, "tasks")
    assert found["standard_error"] == pytest.approx(0.25)
    text = (output / "summary.md").read_text()
    assert "few-shot: success in percent" in text and " 72.5 |" in text
    for tree in summary:
        assert (output / f"rounds-{tree}.png").read_bytes().startswith(b"\x89PNG")


def test_seeds_of_one_name_are_told_apart(few_shot, tmp_path):
    other = tmp_path / "other" / few_shot.name
    write_seed(other, "success_rate", {"self-edits": [0, 1]}, 10)
    call_program(PROGRAM, [str(other)], output=tmp_path / "out", few_shot=few_shot)
    text = (tmp_path / "out/summary.md").read_text()
    assert f"| {few_shot} | {other} |" in text


def test_tables_without_rounds_have_no_figure(tmp_path):
    folder = write_seed(tmp_path / "a", "accuracy", {"no-update": [0.0, 1.0]}, 10)
    call_program(PROGRAM, output=tmp_path / "out", knowledge=folder)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"summary.json", "summary.md"}


def test_a_time_that_was_not_noted_is_not_made_up(tmp_path):
    folder = write_seed(tmp_path / "a", "accuracy", {"no-update": [0.0, 1.0]}, 10)
    (folder / "table/metrics.jsonl").write_text("")
    call_program(PROGRAM, output=tmp_path / "out", knowledge=folder)
    domain = read_json(tmp_path / "out/summary.json")["general-knowledge"]
    assert domain["seconds"] is None and domain["peak_memory_mb"] is None
    assert "minutes" not in (tmp_path / "out/summary.md").read_text()


def test_what_cannot_be_summarized_is_refused(knowledge, few_shot, tmp_path, capsys):
    output = tmp_path / "out"
    assert "--knowledge or --few_shot" in refusal(capsys, PROGRAM, output=output)
    missing = refusal(capsys, PROGRAM, output=output, knowledge=tmp_path / "none")
    assert "none: no such folder" in missing
    swapped = refusal(capsys, PROGRAM, output=output, knowledge=few_shot)
    assert "not a table with rows of accuracy" in swapped
    (knowledge[0] / "rest-em/metrics.jsonl").unlink()
    unfinished = refusal(capsys, PROGRAM, output=output, knowledge=knowledge[0])
    assert "rest-em/metrics.jsonl: no such file" in unfinished
    assert not output.exists()


def test_a_seed_counts_once(few_shot, tmp_path, capsys):
    with pytest.raises(SystemExit):
        call_program(PROGRAM, [str(few_shot)], output=tmp_path / "out", few_shot=few_shot)
    assert f"{few_shot} is given twice" in capsys.readouterr().err
