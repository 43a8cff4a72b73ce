"""Model folders: what a name means, whether one is complete, making one; no framework needed."""

import shutil
from collections.abc import Callable
from pathlib import Path

from seal.errors import UserError


def is_folder(model: str) -> bool:
    """Whether a model name means a folder here rather than a repository on the hub."""
    return Path(model).exists() or model.startswith((".", "/", "~")) or model.count("/") > 1


def check_model(model: str) -> None:
    """Find what is missing from a model folder before any work is done; hub names pass.

    Raises UserError that names the folder and the file that it lacks.
    """
    if not is_folder(model):
        return
    folder = Path(model)
    if not folder.is_dir():
        raise UserError(f"--model {model}: no such folder; check the path")
    if not (folder / "config.json").exists():
        raise UserError(f"--model {model}: no config.json; this is not a transformers model folder")
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"--model {model}: no .safetensors weights (pickled weights are not loaded); convert"
            " them with save_pretrained"
        )
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer_config.json")):
        raise UserError(
            f"--model {model}: no tokenizer; save the model's tokenizer into the same folder"
        )


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
