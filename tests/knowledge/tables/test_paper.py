"""The printed numbers are well-formed data, and agree with what the file names promise."""

from pathlib import Path

import pytest

from knowledge.data.prompts import SELF_EDIT_KINDS
from knowledge.release.records import Examinations, Pretraining
from knowledge.release.row_of_file import rows_filled_by
from knowledge.tables.paper import PAPER_NUMBERS, load_paper_tables
from seal.records import read_json

TABLES = load_paper_tables()
ROWS = [(table, row) for table in TABLES for row in table.rows]
NAMES = [f"{table.id}/{row.id}" for table, row in ROWS]


def test_ids_are_unique_and_comparisons_name_rows():
    assert len(set(NAMES)) == len(NAMES)
    for table in TABLES:
        ids = {row.id for row in table.rows}
        assert {row for pair in table.comparisons for row in pair} <= ids


@pytest.mark.parametrize(("table", "row"), ROWS, ids=NAMES)
def test_numbers_are_percent_or_points(table, row):
    assert row.printed or row.file
    assert set(row.printed) <= {"v1", "v2"}
    assert all(0 <= value <= 100 for value in row.printed.values())
    assert row.unit == "percent" or table.id == "proxy"


def test_no_field_is_unknown():
    known = {"id", "label", "v1", "v2", "file", "note", "unit"}
    for table in read_json(PAPER_NUMBERS)["tables"]:
        assert all(row.keys() <= known for row in table["rows"])


def test_kinds_are_those_of_the_flag():
    rows = {table.id: [row.id for row in table.rows] for table in TABLES}
    assert {row.partition("/")[0] for row in rows["prompts"]} == set(SELF_EDIT_KINDS)
    assert set(rows["writers"]) < set(SELF_EDIT_KINDS)


def test_one_row_in_two_tables_has_one_number():
    printed = {name: row.printed for name, (_, row) in zip(NAMES, ROWS, strict=True)}
    for kind, table in (("base", "sizes"), ("self-edits", "sizes"), ("seal", "sizes")):
        assert printed[f"{table}/{kind}"]["v2"] == printed[f"single-passage/{kind}"]["v2"]
    assert printed["prompts/implications/0"] == printed["sizes/self-edits"]
    assert printed["prompts/implications/2"] == printed["sizes/seal"]
    assert printed["writers/implications"]["v2"] == printed["single-passage/gpt-4.1"]["v2"]


def test_misprints_are_noted():
    noted = {name for name, (_, row) in zip(NAMES, ROWS, strict=True) if row.note}
    assert noted == {"single-passage/seal-1", "cpt-200-v1/base", "cpt-200-v2/base"}


@pytest.mark.parametrize(("table", "row"), ROWS, ids=NAMES)
def test_the_named_file_would_fill_the_row(table, row):
    if row.file is None or table.id == "continual":
        return
    if table.id.startswith("cpt"):
        version = table.id[-2:]
        n = int(table.id.split("-")[1])
        k = 0 if row.id == "passage" else 5
        file = Pretraining(path=Path(row.file), version=version, n_passages=n, k=k, seed=43)
    else:
        overall = {"mean_proxy_score": 16.0} if table.id == "proxy" else {}
        k = 5 if table.id == "proxy" else 1
        file = Examinations(path=Path(row.file), k=k, overall=overall, articles=[])
    assert (table.id, row.id) in [key for key, _ in rows_filled_by(file)]


def test_rows_are_compared_within_their_group():
    tables = {table.id: table for table in TABLES}
    prompts = {row.id: row for row in tables["prompts"].rows}
    assert tables["prompts"].row_above(prompts["rewrite/0"]) is None
    assert tables["prompts"].row_above(prompts["rewrite/1"]) == prompts["rewrite/0"]
    sizes = {row.id: row for row in tables["sizes"].rows}
    assert tables["sizes"].row_above(sizes["base"]) is None
    assert tables["sizes"].row_above(sizes["self-edits"]) == sizes["base"]
