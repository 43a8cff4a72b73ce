"""Paper, release and ours side by side: what is shown, what is missing, what differs."""

import csv
import io
import re
from dataclasses import asdict

import numpy as np
import pytest

from knowledge.experiments.retention import PooledRuns
from knowledge.judging.judges import Grade
from knowledge.method.scores import Scores
from knowledge.release.scan import read_release
from knowledge.tables.columns import Column, our_columns, regraded_columns, release_column
from knowledge.tables.compare import (
    EQUAL_WITHIN,
    cells_of,
    comparisons_of,
    format_deviations,
    format_mismatches,
    format_missing,
    format_table,
    introduction,
    matrix_rows,
    mismatches,
    missing_rows,
    misstatements,
    printed_cells,
    to_csv,
)
from knowledge.tables.paper import load_paper_tables
from seal.errors import UserError
from seal.records import write_json, write_jsonl
from tests.knowledge.release_folder import (
    dataset,
    examinations,
    passages,
    pretraining,
    sequences,
    write,
)
from tests.support.data import shared_data

TABLES = load_paper_tables()
BY_ID = {table.id: table for table in TABLES}
ENTRIES = passages(10)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    files = {
        "eval/base_val.json": dataset(ENTRIES),
        "eval/base.json": examinations(ENTRIES, right=0.4),
        "eval/iter2.json": examinations(ENTRIES, right=0.9, seed=1),
        "v1/eval/iter2.json": examinations(ENTRIES, right=0.1, seed=2),
        "cpt/cpt_base.json": pretraining(ENTRIES, "v1", shuffle_seed=None) | {"n_articles": 200},
        "continual/run0/summary_1.json": sequences(seed=1),
        "continual/run1/summary_2.json": sequences(seed=2),
        "broken.json": "{",
    }
    return read_release(write(tmp_path_factory.mktemp("release"), files))


def test_rows_come_from_the_newer_file(release):
    column, files = release_column(release)
    assert str(files["single-passage", "seal"]) == "eval/iter2.json"
    assert column.scores["single-passage", "seal"].mean > 0.7
    assert column.scores["single-passage", "base"].answers[0].answer  # the side before
    assert ("single-passage", "passage") not in column.scores
    assert ("continual", "before") in column.scores


def test_records_have_equal_fields_and_all_sources(release):
    column, _ = release_column(release)
    found = [asdict(f) for f in [*printed_cells(TABLES), *cells_of(column, TABLES)]]
    required = ["table", "row", "source", "judge", "value", "lower", "upper", "n"]
    assert list(found[0])[: len(required)] == required
    assert {record["source"] for record in found} == {"paper-v1", "paper-v2", "release"}
    keys = [(r["table"], r["row"], r["source"], r["judge"]) for r in found]
    assert len(set(keys)) == len(keys)
    for record in found:
        if record["source"] == "release":
            assert 0 <= record["lower"] <= record["value"] <= record["upper"] <= 100
            assert record["n"] == {"passages": 10, "questions": 30, "runs": 2}[record["mean_over"]]


def test_differences_are_to_the_row_above(release):
    column, _ = release_column(release)
    by_row = {cell.row: cell for cell in cells_of(column, [BY_ID["sizes"]])}
    assert by_row["base"].difference_to is None
    assert by_row["seal"].difference_to == "self-edits"
    difference = by_row["seal"].value - by_row["self-edits"].value
    assert by_row["seal"].difference == pytest.approx(difference, abs=1e-3)


def test_misprints_are_told_with_and_without_files():
    key = ("single-passage", "seal-1")
    clusters = {"a": [0.4268], "b": [0.4268]}
    column = Column("release", "r", {key: Scores("j", "passages", clusters, 2)}, True)
    [found] = mismatches(TABLES, column)
    assert (found.row, found.version, found.printed) == (key, "v1", 43.7)
    text = format_mismatches(TABLES, [found], ["file x"])
    assert "single-passage/seal-1: v1 prints 43.7, the file gives 42.68 (misprint" in text
    assert re.search("cpt-200-v2/base: v2 prints 32.7 .*misprint.*no file here", text)
    assert "- file x" in text


@pytest.mark.parametrize(("value", "n"), [(0.4699, 0), (0.4692, 0), (0.4687, 1), (0.4711, 1)])
def test_rounding_is_no_misprint(value, n):
    scores = {("sizes", "seal"): Scores("j", "passages", {"a": [value]}, 1)}
    assert len(mismatches(TABLES, Column("release", "r", scores, True))) == n
    assert EQUAL_WITHIN == 0.1


def test_missing_rows_name_the_file(release):
    column, _ = release_column(release)
    missing = dict(missing_rows(TABLES, column))
    assert missing["single-passage", "passage"].endswith("eval/naive.json")
    assert ("single-passage", "seal") not in missing
    text = format_missing(list(missing.items()), release.problems)
    assert "- not read: broken.json: " in text
    assert "none" in format_missing([], {})


def test_a_file_that_misstates_its_mean(tmp_path):
    content = examinations(ENTRIES)
    content["overall"]["adapter_mean_accuracy"] = 0.9999
    column, files = release_column(read_release(write(tmp_path, {"eval/base.json": content})))
    [line] = misstatements(column, files)
    assert line.startswith("eval/base.json states 0.9999, its records give 0.")


class Sure:
    """A judge without probabilities."""

    name = "sure"

    def grade(self, items):
        return [Grade(True, 1.0) for _ in items]


def test_answers_graded_again_have_their_own_columns(release):
    column, _ = release_column(release)
    [again] = regraded_columns(column, Sure(), max_ungraded=0.0)
    assert again.heading == "release, sure"
    assert again.scores["single-passage", "seal"].mean == 1.0
    assert ("continual", "before") not in again.scores
    cells = cells_of(column, TABLES) + cells_of(again, TABLES)
    text = format_table(BY_ID["single-passage"], [column, again], cells)
    assert text.count("to row above") == 1


def test_tables_show_dashes_for_what_is_not_there(release):
    column, _ = release_column(release)
    cells = [*printed_cells(TABLES), *cells_of(column, TABLES)]
    for table in TABLES:
        lines = format_table(table, [column], cells).splitlines()
        rows = [line for line in lines if line.startswith("| ")][2:]
        assert [row.split("|")[1].strip() for row in rows] == [row.id for row in table.rows]
        assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    text = format_table(BY_ID["single-passage"], [column], cells, comparisons_of(column, TABLES))
    [line] = [line for line in text.splitlines() if line.startswith("| passage ")]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == ["33.5", "33.5", "-", "-", "-", "-"]
    assert "- seal minus self-edits, release, gpt-4.1: +" in text
    assert "seal minus gpt-4.1" not in text


def test_the_introduction_speaks_of_the_offline_judge_where_it_was_used():
    assert "cross" not in introduction([]) and "constants" not in introduction([])
    assert "constants" in introduction([Column("release", "release, offline", {}, False)])


def test_deviations_have_their_names():
    mean = np.array([[0.5, 0.5], [0.5, 0.0], [0.5, 0.5]])
    pooled = PooledRuns(mean, mean * 0.4, mean * 0.6, n_sequences=64)
    text = format_deviations(pooled)
    assert "pooled standard deviation 30.0" in text
    assert "average of the runs' standard deviations 20.0" in text
    rows = matrix_rows(pooled)
    assert [(r["edits"], r["passage"]) for r in rows] == [(0, 1), (0, 2), (1, 1), (2, 1), (2, 2)]
    assert rows[0] == {
        "edits": 0, "passage": 1, "mean": 50.0, "pooled_std": 30.0, "average_of_stds": 20.0,
    }  # fmt: skip


def test_csv_round_trip():
    rows = [{"a": "x, y", "b": 1.5}, {"a": None, "b": 2.0}]
    read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert read == [{"a": "x, y", "b": "1.5"}, {"a": "", "b": "2.0"}]


# Runs of ours


SAID = {"text": "a", "finish_reason": "stop"}


def write_row(folder, label, verdicts, probabilities=None):
    answers, grades = [], []
    for number, of_trial in enumerate(verdicts):
        answers.append(
            {
                "id": f"t{number}",
                "passage_id": f"p{number}",
                "title": "T",
                "answers": [
                    {"question": f"q{q}", "gold": "g", "answer": "" if q else "a", **SAID}
                    for q in range(len(of_trial))
                ],
            }
        )
        grades.append(
            {
                "id": f"t{number}",
                "verdicts": of_trial,
                "probabilities": [
                    None if verdict is None else (probabilities or float(verdict))
                    for verdict in of_trial
                ],
            }
        )
    write_jsonl(folder / label / "answers.jsonl", answers)
    write_jsonl(folder / label / "grades.jsonl", grades)
    write_json(folder / "results.json", {"judge": "offline"})


def test_a_run_fills_the_rows_of_its_labels(tmp_path):
    write_row(tmp_path, "no-update", [[True, False], [False, None]])
    write_row(tmp_path, "seal-2", [[True, True], [True, False]], probabilities=0.5)
    columns = our_columns([str(tmp_path)], TABLES)
    assert [c.heading for c in columns] == ["ours, offline", "ours, offline, calibrated"]
    assert columns[0].scores["single-passage", "base"].mean == 0.25
    assert columns[0].scores["single-passage", "base"].blank_rate == 0.5
    assert columns[0].scores["single-passage", "seal"].mean == 0.75
    assert columns[1].scores["single-passage", "seal"].mean == 0.5
    cells = {cell.row: cell for cell in cells_of(columns[0], TABLES)}
    seal = cells["seal"]
    assert (seal.source, seal.judge, seal.value, seal.n) == ("ours", "offline", 75.0, 2)


def test_answers_that_could_not_be_graded_end_it(release):
    class Silent(Sure):
        def grade(self, items):
            return [Grade(None, None, reason="no reply") for _ in items]

    with pytest.raises(UserError, match="could not be graded"):
        regraded_columns(release_column(release)[0], Silent(), max_ungraded=0.5)


def test_labels_name_tables_and_rows(tmp_path):
    write_row(tmp_path / "a", "x", [[True, False], [True, True]])
    write_row(tmp_path / "b", "y", [[True]])
    words = [str(tmp_path / "a"), "x=prompts/rewrite/1", str(tmp_path / "b"), "y=cpt-200-v2/seal"]
    first, second = our_columns(words, TABLES)
    assert list(first.scores) == [("prompts", "rewrite/1")]
    assert second.scores["cpt-200-v2", "seal"].mean_over == "questions"
    [column] = our_columns([words[0], "x=seal-1"], TABLES)
    assert list(column.scores) == [("single-passage", "seal-1")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["x=seal"], "run folder before"),
        (["RUN", "x=sael"], "no such row; it has base"),
        (["RUN", "x=sizes/4b/seal"], "no such row; it has 3b/base"),
        (["RUN", "other=seal"], "other has no grades.jsonl"),
        (["RUN/x"], "no graded rows"),
        (["NONE"], "no graded rows"),
    ],
)
def test_mistakes_in_runs_are_told(tmp_path, words, told):
    write_row(tmp_path, "x", [[True]])
    places = {"RUN": str(tmp_path), "RUN/x": str(tmp_path / "x"), "NONE": str(tmp_path / "none")}
    with pytest.raises(UserError, match=told):
        our_columns([places.get(word, word) for word in words], TABLES)


def test_an_unfinished_row_is_refused(tmp_path):
    write_row(tmp_path, "seal", [[True], [True]])
    write_jsonl(tmp_path / "seal" / "grades.jsonl", [])
    with pytest.raises(UserError, match="1 answers and 0 grades"):
        our_columns([str(tmp_path)], TABLES)


# The release's own files


def test_recomputed_numbers_are_the_printed_ones():
    column, files = release_column(read_release(shared_data("seal-release")))
    unexplained = [m for m in mismatches(TABLES, column) if not m.note]
    assert unexplained == []
    assert misstatements(column, files) == []
