"""The comparison from the command line, on the release and on any part of it."""

import random
import re
import shutil
from pathlib import Path

import pytest

from knowledge.tables.paper import load_paper_tables
from seal.command_line.program import run_program
from seal.records import read_json
from tests.knowledge.release_folder import dataset, examinations, passages, sequences, write
from tests.programs.programs import load_program
from tests.support.data import REPOSITORY, shared_data

ENTRIES = passages(5)


def run(name: str, *words: object) -> None:
    program = load_program("general-knowledge", name)
    run_program(program.main, program.Config, [str(word) for word in words])


@pytest.fixture
def small(tmp_path) -> Path:
    return write(
        tmp_path / "small",
        {
            "eval/base_val.json": dataset(ENTRIES),
            "eval/base.json": examinations(ENTRIES),
            "run0/summary_1.json": sequences(),
        },
    )


def release_values(path: Path) -> dict[tuple[str, str, str], float]:
    found = [record for record in read_json(path) if record["source"] == "release"]
    return {(r["table"], r["row"], r["judge"]): r["value"] for r in found}


def test_three_forms_of_all_tables(small, tmp_path, capsys):
    run("make_tables", "--release", small, "--output", tmp_path / "out")
    text = (tmp_path / "out" / "tables.md").read_text()
    assert text.strip() == capsys.readouterr().out.strip()
    for table in {record["table"] for record in read_json(tmp_path / "out" / "tables.json")}:
        assert f"## {table}: " in text
        assert (tmp_path / "out" / "csv" / f"{table}.csv").exists()
    assert (tmp_path / "out" / "csv" / "continual-matrix.csv").exists()
    assert "pooled standard deviation" in text
    assert "misprint" in text
    assert ("single-passage", "base", "gpt-4.1") in release_values(tmp_path / "out" / "tables.json")


def test_files_by_name_and_another_judge(small, tmp_path):
    named = [
        "--json",
        tmp_path / "f.json",
        "--csv",
        tmp_path / "c",
        "--markdown",
        tmp_path / "m.md",
    ]
    run("make_tables", "--release", small, "--judge", "offline", *named)
    judges = {judge for _, _, judge in release_values(tmp_path / "f.json")}
    assert judges == {"gpt-4.1", "offline", "offline, calibrated"}
    assert "cross" not in (tmp_path / "m.md").read_text()
    assert "fitted to these very verdicts" in (tmp_path / "m.md").read_text()
    assert (tmp_path / "c" / "sizes.csv").exists()


def test_without_a_release_the_paper_is_shown(tmp_path):
    run("make_tables", "--output", tmp_path)
    sources = {record["source"] for record in read_json(tmp_path / "tables.json")}
    assert sources == {"paper-v1", "paper-v2"}


def test_a_mistake_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run("make_tables", "--release", tmp_path / "none", "--output", tmp_path)
    assert ended.value.code == 2
    assert "is not a folder" in capsys.readouterr().err


def test_import_reports_what_is_missing_and_unreadable(small, tmp_path, capsys):
    write(small, {"cut.json": '{"overall": {'})
    run(
        "import_release",
        "--release",
        small,
        "--output",
        tmp_path / "o",
        "--prompts",
        tmp_path / "p",
    )
    shown = capsys.readouterr().out
    assert "missing for single-passage/seal: results/query_server/eval/iter2.json" in shown
    assert "not read: cut.json: " in shown
    assert "overall figures: 1 of 1 files agree" in shown
    assert "prompt implications: written" in shown
    report = read_json(tmp_path / "o" / "report.json")
    assert sum(report["written"].values()) == 10 + 15 + 15
    assert report["unreadable"].keys() == {"cut.json"}
    assert read_json(tmp_path / "o" / "continual.json")["n_sequences"] == 8
    assert (tmp_path / "p" / "implications.txt").exists()


def test_plots(small, tmp_path, capsys):
    run("make_figures", "--release", small, "--output", tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "rest-em.png",
        "passages.png",
        "continual.png",
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))
    assert capsys.readouterr().out.count("png") == 3


def test_plots_of_the_paper_alone(tmp_path, capsys):
    run("make_figures", "--output", tmp_path)
    assert "no runs for continual.png" in capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("*")} == {"rest-em.png", "passages.png"}


# The release


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The numbers of all that there is of the release."""
    out = tmp_path_factory.mktemp("whole")
    run("make_tables", "--release", shared_data("seal-release"), "--output", out)
    return out / "tables.json"


def test_rows_of_the_release_are_the_papers_to_a_tenth(whole):
    misprints = {
        (table.id, row.id) for table in load_paper_tables() for row in table.rows if row.note
    }
    by_place: dict[tuple[str, str], dict[str, float]] = {}
    for record in read_json(whole):
        sources = by_place.setdefault((record["table"], record["row"]), {})
        sources[record["source"]] = record["value"]
    compared = [
        (sources["release"], sources[version])
        for place, sources in by_place.items()
        for version in {"paper-v1", "paper-v2"} & sources.keys()
        if "release" in sources and place not in misprints
    ]
    assert compared
    for released, printed in compared:
        assert released == pytest.approx(printed, abs=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_any_part_of_the_release_will_do(whole, tmp_path, seed):
    """A row that a part can fill has the value that the whole gives it; the others are missing."""
    source = shared_data("seal-release")
    files = sorted(path for path in source.rglob("*") if path.is_file())
    chance = random.Random(seed)
    for path in files:
        if chance.random() < (0.15, 0.5, 0.5, 0.85)[seed]:
            target = tmp_path / "part" / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    (tmp_path / "part").mkdir(exist_ok=True)
    run("make_tables", "--release", tmp_path / "part", "--output", tmp_path / "out")
    run("import_release", "--release", tmp_path / "part", "--output", tmp_path / "records")
    expected = release_values(whole)
    for place, value in release_values(tmp_path / "out" / "tables.json").items():
        # runs of continual edits are averaged over those that are there
        if place[0] != "continual":
            assert value == pytest.approx(expected[place], abs=1e-3)
    assert not read_json(tmp_path / "records" / "report.json")["unreadable"]
    for check in read_json(tmp_path / "records" / "report.json")["selection"]:
        assert check["rewards_file"] is None or check["n_equal"] == check["n_rows"]


def rows_of(text: str) -> list[list[str]]:
    """The cells of every Markdown table in a text."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_documented_tables_are_what_is_printed(tmp_path):
    documented = (REPOSITORY / "docs" / "tables.md").read_text()
    title = re.search(r"^### (single-passage: .*)$", documented, re.MULTILINE)
    table = documented[title.start() :].partition("\n### ")[0]
    run("make_tables", "--release", shared_data("seal-release"), "--judge", "offline",
        "--output", tmp_path)  # fmt: skip
    printed = (tmp_path / "tables.md").read_text().partition(f"## {title[1]}")[2]
    known = [row for row in rows_of(table) if len(row) > 3 and row[3] != "-"]
    assert len(known) > 2
    # Another part of the release may fill more rows
    assert [row for row in known if row not in rows_of(printed.partition("\n## ")[0])] == []
