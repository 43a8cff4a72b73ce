"""Model folders: what a name means, what a folder must hold, making one; no framework needed."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from seal.checksums import SUMS_FILE, check_sums, checksum_of_value, checksums
from seal.errors import UserError
from seal.records import read_json

_DECISIVE = {".json", ".safetensors", ".txt", ".model", ".jinja", ".py"}
"""Ends of the names of files that decide what a model does."""


def is_folder(model: str) -> bool:
    """Whether a model name means a folder here rather than a repository on the hub."""
    with suppress(OSError):  # a name that is too long, or in a folder that is closed to us
        if Path(model).exists():
            return True
    return model.startswith((".", "/", "~")) or model.count("/") > 1


def check_folder(folder: Path, where: str, trust_remote_code: bool = False) -> None:
    """Find what is missing from a model folder, damaged or not to be trusted.

    Raises UserError that begins with `where` and names the file.
    """
    try:
        if not folder.is_dir():
            raise UserError(f"{where}: no such folder; check the path")
        for path in sorted(folder.iterdir()):
            if path.suffix in _DECISIVE and not path.is_file():  # reading a pipe might never end
                raise UserError(f"{path} is a pipe, a folder or a link to nothing; copy the model")
    except OSError as error:
        raise UserError(f"{where} cannot be read ({error.strerror}); check the path") from None
    if not (folder / "config.json").exists():
        raise UserError(f"{where}: no config.json; this is not a transformers model folder")
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"{where}: no .safetensors weights (pickled weights are not loaded); convert them with"
            " save_pretrained"
        )
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer_config.json")):
        raise UserError(f"{where}: no tokenizer; save the model's tokenizer into the same folder")
    index = folder / "model.safetensors.index.json"
    if index.exists() and (folder / "model.safetensors").exists():
        raise UserError(
            f"{where}: both model.safetensors and {index.name}, which may be different weights;"
            " delete what is left from before"
        )
    for path in sorted(folder.glob("*config.json")):
        content = read_json(path)
        if not isinstance(content, dict):
            raise UserError(f"{path} must hold a model's settings, an object; copy the model again")
        if "auto_map" in content and not trust_remote_code:
            raise UserError(
                f"{path} names code in the folder to run (auto_map); with --trust_remote_code it is"
                " run, so read it first"
            )
    check_sums(folder, "copy the model again, or delete its folder and repeat the finetuning")


def fingerprint(model: str) -> str:
    """What tells a model from every other: equal wherever an equal folder lies.

    Of a folder, SHA-256 over the names and checksums of all files that decide what the model does.
    Weights count to the last byte, however large: a sample would miss a change. Of a hub's model,
    the commit that is in use.
    """
    folder = Path(model)
    if is_folder(model):
        files = [path for path in sorted(folder.iterdir()) if path.suffix in _DECISIVE]
        kept = [path for path in files if path.name != SUMS_FILE and path.is_file()]
        return checksum_of_value(dict(zip((p.name for p in kept), checksums(kept), strict=True)))
    from transformers.utils.hub import cached_file, extract_commit_hash

    return f"hub commit {extract_commit_hash(cached_file(model, 'config.json'), None)}"


def build_once(output: Path, build: Callable[[Path], object]) -> bool:
    """Have `build(folder)` fill a model folder that appears as `output` when it is whole.

    A model that is there already stays; returns whether one was built. Raises UserError for an
    `output` that is something else.
    """
    if (output / "config.json").exists():
        return False
    if output.exists():
        raise UserError(f"--output {output} exists and is not a model folder; choose another")
    partial = output.with_name(f".{output.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    build(partial)
    partial.rename(output)
    return True
