"""A model folder appears whole or not at all, and is never overwritten."""

from pathlib import Path

import pytest

from seal.errors import UserError
from seal.models.folders import build_once


def build(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text("{}")


def test_a_folder_is_built_once(tmp_path):
    assert build_once(tmp_path / "model", build)
    assert not build_once(tmp_path / "model", pytest.fail)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_was_left_half_built_is_built_anew(tmp_path):
    def break_off(folder: Path) -> None:
        build(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(tmp_path / "model", break_off)
    assert not (tmp_path / "model").exists()
    assert build_once(tmp_path / "model", build)


def test_another_folder_is_left_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(UserError, match="is not a model folder"):
        build_once(tmp_path / "notes", pytest.fail)
