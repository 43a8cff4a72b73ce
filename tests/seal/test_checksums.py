"""Checksums are those of sha256sum, and tell every change."""

import hashlib
import subprocess
from dataclasses import dataclass, field

import pytest

from seal.checksums import SUMS_FILE, check_sums, checksum_of_value, checksums, write_sums
from seal.errors import UserError


@dataclass(frozen=True)
class Thing:
    name: str
    parts: tuple[int, ...] = ()
    place: str = field(default="", compare=False)


def test_values_count_by_their_content():
    assert checksum_of_value([Thing("a", (1, 2))]) == checksum_of_value([Thing("a", (1, 2), "x")])
    others = [[Thing("a", (1, 3))], [Thing("b", (1, 2))], [], None, "a", ["a", [1, 2]]]
    sums = {checksum_of_value(value) for value in [[Thing("a", (1, 2))], *others]}
    assert len(sums) == len(others) + 1


def test_a_file_is_read_again_once_it_has_changed(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    assert checksums([path, path]) == [hashlib.sha256(b"one").hexdigest()] * 2
    path.write_bytes(b"two!")
    assert checksums([path]) == [hashlib.sha256(b"two!").hexdigest()]


def test_sums_are_as_sha256sum_has_them_and_tell_what_changed(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a.json", "b/c d.jsonl"):
        (tmp_path / name).write_text(name)
    write_sums(tmp_path, ["a.json", "b/c d.jsonl"])
    subprocess.run(["sha256sum", "--check", "--quiet", SUMS_FILE], cwd=tmp_path, check=True)
    check_sums(tmp_path, "fix")
    (tmp_path / "b/c d.jsonl").write_text("other")
    with pytest.raises(UserError, match=r"b/c d\.jsonl is not what SHA256SUMS says; fix"):
        check_sums(tmp_path, "fix")
    (tmp_path / "b/c d.jsonl").unlink()
    with pytest.raises(UserError, match=r"b/c d\.jsonl is missing.*; fix"):
        check_sums(tmp_path, "fix")


def test_a_folder_without_sums_passes(tmp_path):
    check_sums(tmp_path, "fix")


@pytest.mark.parametrize("line", ["x", f"{'0' * 64}  ../a", f"{'0' * 64}  /etc/passwd", "0  a"])
def test_a_line_that_is_no_checksum_is_named(line, tmp_path):
    (tmp_path / SUMS_FILE).write_text(line + "\n")
    with pytest.raises(UserError, match="SHA256SUMS row 1"):
        check_sums(tmp_path, "fix")
