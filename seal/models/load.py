"""Load causal language models and tokenizers from a folder or a hub name, safely."""

import sys

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from seal.errors import UserError
from seal.models.folders import check_model


def load_tokenizer(model: str, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The model's tokenizer; its end-of-text token is the padding too if no other is set.

    Raises UserError if it does not load, or has no end-of-text token to learn where a text ends.
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
    hide_progress_in_logs()
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


def hide_progress_in_logs() -> None:
    """No bars of transformers where stderr is a file, which would show their every step."""
    if not sys.stderr.isatty():
        logging.disable_progress_bar()


def find_device(device: str) -> torch.device:
    """A torch device by name. Raises UserError for one that this machine does not have."""
    gpus = torch.cuda.device_count()
    if device == "auto":
        return torch.device(f"cuda:{gpus - 1}" if gpus else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise UserError(f"--device {device} is not a device; use auto, cpu or cuda:N") from None
    if found.type == "cuda" and (found.index or 0) >= gpus:
        raise UserError(f"--device {device}: this machine shows {gpus} GPUs; use auto or cpu")
    return found
