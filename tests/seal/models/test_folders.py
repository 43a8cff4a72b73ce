"""A model folder appears whole or not at all, is never overwritten, and is known by its content."""

import shutil
from pathlib import Path

import pytest

from seal.errors import UserError
from seal.models.folders import build_once, fingerprint, is_folder
from tests.support.small_models import save_model_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


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


# Names and fingerprints


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("here", True),
        ("./gone", True),
        ("/gone", True),
        ("~/gone", True),
        ("runs/x/model", True),
        ("gone", False),
        ("org/name", False),
        ("a" * 5000, False),
        ("x\0y", False),
    ],
)
def test_what_names_mean(tmp_path, monkeypatch, name, folder):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert is_folder(name) == folder


def test_equal_folders_have_equal_fingerprints_wherever_they_lie(tmp_path, monkeypatch):
    model = save_model_folder(tmp_path / "a", ["The lamp."])
    first = fingerprint(str(model))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(model)
    for name in ("./a", "a", "a/", f"{tmp_path}/link/../a", "link"):
        assert fingerprint(name) == first
    assert fingerprint(str(shutil.copytree(model, tmp_path / "b"))) == first
    model.rename(tmp_path / "moved")
    assert fingerprint("moved") == first
    assert fingerprint(str(save_model_folder(tmp_path / "c", ["The lamp."], seed=1))) != first


def test_every_file_that_decides_counts(tmp_path):
    model = save_model_folder(tmp_path / "model", ["The lamp."])
    prints = [fingerprint(str(model))]
    for path in sorted(model.iterdir()):
        path.write_bytes(path.read_bytes() + b" ")
        prints.append(fingerprint(str(model)))
    for name in ("chat_template.jinja", "modeling.py", "vocab.txt", "tokenizer.model"):
        (model / name).write_text("")
        prints.append(fingerprint(str(model)))
    (model / "modeling.py").rename(model / "other.py")
    prints.append(fingerprint(str(model)))
    assert len(set(prints)) == len(prints)
    for name in ("README.md", "SHA256SUMS", ".lock"):
        (model / name).write_text("no matter")
    assert fingerprint(str(model)) == prints[-1]


def test_of_a_hubs_model_the_commit_counts(tmp_path, monkeypatch):
    repository = tmp_path / "hub/models--org--small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    snapshot = save_model_folder(repository / "snapshots" / COMMIT, ["The lamp."])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (snapshot / "config.json").write_text('{"auto_map": {"AutoConfig": "x.Y"}, "model_type": "z"}')
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    assert fingerprint("org/small") == f"hub commit {COMMIT}"
