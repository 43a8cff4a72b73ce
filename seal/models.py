"""Load causal language models and tokenizers from a folder or a hub name, safely."""

import sys
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

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


def load_tokenizer(model: str, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with an end-of-text token, which doubles as padding if none is set.

    Raises UserError if it cannot be loaded or has no end-of-text token: without one a model cannot
    learn where a text ends.
    """
    check_model(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise UserError(f"--model {model}: its tokenizer does not load: {error}") from error
    if tokenizer.eos_token_id is None:
        raise UserError(f"--model {model}: its tokenizer has no eos_token; set one and save it")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    model: str, dtype: str, device: str, trust_remote_code: bool = False
) -> PreTrainedModel:
    """A frozen model in evaluation mode on `device` ("auto": the last visible GPU, or the CPU).

    The last GPU, since a sampling server takes the first by default. Raises UserError if the model
    is not found or the device does not exist here.
    """
    check_model(model)
    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # a log file would show every step of every bar
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            model,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
        )
    except (OSError, ValueError) as error:
        raise UserError(f"--model {model} does not load: {error}") from error
    return loaded.requires_grad_(False).eval().to(find_device(device))


def find_device(device: str) -> torch.device:
    """A torch device by name. Raises UserError for one that this machine does not have."""
    gpus = torch.cuda.device_count()
    if device == "auto":
        return torch.device(f"cuda:{gpus - 1}" if gpus else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise UserError(f"--device {device} is no device; use auto, cpu or cuda:N") from None
    if found.type == "cuda" and (found.index or 0) >= gpus:
        raise UserError(f"--device {device}: this machine shows {gpus} GPUs; use auto or cpu")
    return found
