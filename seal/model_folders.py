"""What a model's name means here, and whether its folder is complete; imports no framework."""

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
