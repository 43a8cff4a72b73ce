"""Files appear whole, lines are appended whole, and what is malformed is named by file and row."""

import errno
import os

import pytest

from seal import records
from seal.errors import UserError
from seal.records import (
    append_jsonl,
    cut_torn_line,
    field,
    of_kind,
    read_json,
    read_jsonl,
    read_text,
    write_json,
    write_jsonl,
)


def test_jsonl_round_trip_keeps_line_separators_inside_texts(tmp_path):
    written = [{"text": "a\u2028b\x85c\nd"}, {"text": "ä"}]
    write_jsonl(tmp_path / "a.jsonl", written)
    append_jsonl(tmp_path / "a.jsonl", {"text": "last"})
    assert read_jsonl(tmp_path / "a.jsonl") == [*written, {"text": "last"}]


def test_malformed_row_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(UserError, match=r"a\.jsonl row 3: malformed JSON"):
        read_jsonl(path)
    path.write_text("[1]\n")
    with pytest.raises(UserError, match="row 1: expected a JSON object"):
        read_jsonl(path)


def test_malformed_json_is_named_with_line_and_column(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{\n "a": oops}')
    with pytest.raises(UserError, match="line 2 column 7"):
        read_json(path)


@pytest.mark.parametrize("make", ["missing", "folder", "binary"])
def test_unreadable_file_is_named(tmp_path, make):
    path = tmp_path / "thing"
    if make == "folder":
        path.mkdir()
    elif make == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="thing"):
        read_text(path)


def test_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"new": float("nan")})
    with pytest.raises(TypeError, match="not object"):
        write_json(path, {"new": object()})
    assert read_json(path) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_full_disk_cuts_off_the_half_written_line(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    append_jsonl(path, {"id": 1})
    real_write = os.write

    def fill_up(descriptor, data):
        if len(data) > 4:
            return real_write(descriptor, data[:4])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(records.os, "write", fill_up)
    with pytest.raises(OSError, match="No space left"):
        append_jsonl(path, {"a": 1})
    assert path.read_text() == '{"id": 1}\n'


def test_torn_line_is_cut(tmp_path):
    path = tmp_path / "a.jsonl"
    assert cut_torn_line(path) == ""
    path.write_text('{"id": 1}\n{"id": ')
    assert cut_torn_line(path) == '{"id": '
    assert cut_torn_line(path) == ""
    assert read_jsonl(path) == [{"id": 1}]


@pytest.mark.parametrize("text", ["1" * 5000, "[" * 200_000], ids=["digits", "lists"])
def test_json_beyond_the_parser_is_an_error_of_one_line(text, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.json: .*fix it"):
        read_json(path)


# Fields


@pytest.mark.parametrize(
    ("value", "kind"),
    [("", str), ([], list), ({}, dict), (True, bool), (3, int), (3, float), (0.5, float)]
    + [(value, object) for value in (None, True, "x")],
)
def test_a_field_of_the_wanted_kind_is_given(value, kind):
    assert field({"a": value}, "a", kind, "file row 1") is value


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (3, str, "a text, found '3'"),
        (None, list, "a list, found 'None'"),
        ([], dict, r"an object, found '\[\]'"),
        (1, bool, "true or false, found '1'"),
        (True, int, "a whole number, found 'True'"),
        (0.5, int, "a whole number, found '0.5'"),
        (False, float, "a number, found 'False'"),
        ("x" * 99, float, f"a number, found '{'x' * 40}'"),
    ],
)
def test_a_field_of_another_kind_is_named(value, kind, message):
    with pytest.raises(UserError, match=f'^file row 1: "a" must be {message}; fix it$'):
        field({"a": value}, "a", kind, "file row 1")
    with pytest.raises(UserError, match=f"^it must be {message}; fix it$"):
        of_kind(value, kind, "it")


def test_what_is_missing_or_blank_is_named():
    with pytest.raises(UserError, match=r'^here: "a" is missing; add it$'):
        field({"b": 1}, "a", object, "here")
    with pytest.raises(UserError, match=r'^here: expected an object with "a", found'):
        field([1], "a", object, "here")
    with pytest.raises(UserError, match=r'^here: "a" is blank; fill it in$'):
        field({"a": " \n"}, "a", str, "here", filled=True)
    assert field({"a": " "}, "a", str, "here") == " "
