"""Load causal language models and tokenizers from a folder or a hub name, safely.

A model that is not whole is refused: transformers would make up what is missing.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file, logging

from seal.errors import UserError
from seal.models.folders import check_folder, is_folder


def check_model(
    model: str, *, flag: str = "--model", trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Find what is wrong with a model before its weights are loaded or served.

    Returns the model without memory for its weights (on PyTorch's meta device), and its tokenizer.
    Raises UserError that names the flag, the model and the file or weight: for what
    `seal.models.folders.check_folder`, `load_tokenizer` and `load_model` refuse, except for the
    values of weights, and for a tokenizer of another model.
    """
    where = f"{flag} {model}"
    if is_folder(model):
        check_folder(Path(model), where, trust_remote_code)
    skeleton = _from_pretrained(model, where, trust_remote_code, device_map="meta")
    tokenizer = load_tokenizer(model, trust_remote_code, flag)
    rows = skeleton.get_input_embeddings().num_embeddings
    ids = tokenizer.get_vocab()
    largest = max(ids, key=ids.get)
    if ids[largest] >= rows:
        raise UserError(
            f"{where}: its tokenizer has the token {largest!r} of id {ids[largest]}, and the model"
            f" has embeddings of {rows} tokens; take the tokenizer that belongs to the model"
        )
    ends = skeleton.generation_config.eos_token_id if skeleton.generation_config else None
    for end in ends if isinstance(ends, list) else [ends]:
        if end is not None and not (type(end) is int and 0 <= end < rows):
            raise UserError(
                f"{where}: its eos_token_id {end} is not one of its {rows} tokens; correct"
                " config.json and generation_config.json"
            )
    window = getattr(skeleton.config.get_text_config(), "max_position_embeddings", None)
    if type(window) is not int or window < 2:
        problem = f"its max_position_embeddings in config.json is {window}"
        raise UserError(f"{where}: {problem}; set how many tokens it reads")
    return skeleton, tokenizer


def load_tokenizer(
    model: str, trust_remote_code: bool = False, flag: str = "--model"
) -> PreTrainedTokenizerBase:
    """The model's tokenizer; its end-of-text token is the padding too if no other is set.

    Raises UserError if it does not load, or has no end-of-text token to learn where a text ends.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
        tokenizer.decode(tokenizer("a")["input_ids"])
    except Exception as error:  # damaged files raise whatever the code that reads them stumbles on
        problem = f"its tokenizer does not load: {_say(error)}"
        raise UserError(f"{flag} {model}: {problem}; copy the model again") from error
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):
        # transformers makes one up where the file is missing
        raise UserError(f"{flag} {model}: its tokenizer has no vocabulary; copy its tokenizer.json")
    if tokenizer.eos_token_id is None:
        raise UserError(f"{flag} {model}: its tokenizer has no eos_token; set one and save it")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    model: str, dtype: str, device: str, trust_remote_code: bool = False
) -> PreTrainedModel:
    """A frozen model in evaluation mode on `device` ("auto": the last visible GPU, or the CPU).

    The last GPU, since a sampling server takes the first by default. Raises UserError if the model
    is not found, if a weight is missing, unexpected, of another shape or not finite, or if the
    device does not exist here.
    """
    where, place = f"--model {model}", find_device(device)
    if is_folder(model):
        check_folder(Path(model), where, trust_remote_code)
    type_ = getattr(torch, dtype)
    loaded = _from_pretrained(model, where, trust_remote_code, dtype=type_)
    loaded = loaded.requires_grad_(False).eval().to(place)
    check_finite(loaded.named_parameters(), where)
    return loaded


def _from_pretrained(
    model: str, where: str, trust_remote_code: bool, **options: Any
) -> PreTrainedModel:
    hide_progress_in_logs()
    fix = "check its files"
    if not is_folder(model):
        fix = f"there is no folder {model} here either; check the name and the network"
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # its report of missing weights: ours is one line
    try:
        cached_file(model, "config.json")  # of a name that is wrong, it asks the hub but once
        loaded, found = AutoModelForCausalLM.from_pretrained(
            model,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below
            **options,
        )
    except Exception as error:  # damaged files raise whatever the code that reads them stumbles on
        raise UserError(f"{where} does not load: {_say(error)}; {fix}") from error
    finally:
        logging.set_verbosity(verbosity)
    _refuse_incomplete(found, where)
    return loaded


def _refuse_incomplete(found: Mapping[str, Any], where: str) -> None:
    """Raise UserError for weights that transformers has made up or left out."""
    for kind, words in [
        ("missing_keys", "lacks the weights"),
        ("unexpected_keys", "has weights of which its config.json knows nothing"),
        ("mismatched_keys", "has weights of another shape than its config.json says"),
        ("error_msgs", "does not load"),
    ]:
        if names := sorted(map(str, found[kind])):
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            problem = f"{where} {words}: {names[0]}{more}"
            raise UserError(f"{problem}; its weights and config.json do not belong together")


def check_finite(weights: Iterator[tuple[str, torch.Tensor]], where: str) -> None:
    """Raise UserError that names the first weight that holds NaN or infinity."""
    for name, weight in weights:
        if weight.is_floating_point() and weight.numel():
            # Both are NaN if any value is. Types of a byte have no minimum
            weight = weight.detach().float() if weight.element_size() == 1 else weight.detach()
            if not all(bound.isfinite() for bound in weight.aminmax()):
                raise UserError(f"{where}: its weight {name} holds NaN or infinity; train it again")


def check_files_finite(model: str, flag: str = "--model") -> None:
    """`check_finite` for a model's files, one weight in memory at a time; the hub's are cached."""
    folder = Path(model) if is_folder(model) else Path(cached_file(model, "config.json")).parent
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as weights:
                named = ((name, weights.get_tensor(name)) for name in weights.keys())  # noqa: SIM118
                check_finite(named, f"{flag} {model}")
        except SafetensorError as error:
            raise UserError(f"{path} does not read ({error}); copy the model again") from None


def _say(error: Exception) -> str:
    """An exception in a line, without the rest of a long report."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"


def hide_progress_in_logs() -> None:
    """No bars of transformers where stderr is a file, which would show their every step."""
    if not sys.stderr.isatty():
        logging.disable_progress_bar()


def find_device(device: str) -> torch.device:
    """A torch device by name: auto, cpu or cuda:N. Raises UserError for one that is not here."""
    gpus = torch.cuda.device_count()
    if device == "auto":
        return torch.device(f"cuda:{gpus - 1}" if gpus else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, ValueError):
        found = None
    if found is None or found.type not in ("cpu", "cuda") or str(found).startswith("cpu:"):
        raise UserError(f"--device {device} is not a device to train on; use auto, cpu or cuda:N")
    if found.type == "cuda" and (found.index or 0) >= gpus:
        raise UserError(f"--device {device}: this machine shows {gpus} GPUs; use auto or cpu")
    return found
