"""Open a run folder once all that the program's flags name has been found in order."""

from collections.abc import Mapping
from typing import Any

from seal.errors import UserError
from seal.lora.bank import find_targets
from seal.models.folders import fingerprint
from seal.models.load import check_model, find_device
from seal.models.window import Prompts, check_prompt_lengths
from seal.run import Run

_TARGETS = ("target_modules", "sft_target_modules")


def open_run(
    config: Any,
    inputs: Mapping[str, Any],
    models: Mapping[str, str],
    prompts: Prompts,
    kinds: Mapping[str, type],
    *,
    adapts: bool = True,
) -> Run:
    """The run folder of a program's `config`, which notes `inputs` and `models`.

    `models`: the policies, by the flags that name them. Each is given `prompts` (of a tokenizer),
    and gets adapters if the program `adapts`.
    Raises UserError for a model, its target modules or a prompt's length that will not do, and as
    `Run.open`, which takes the other arguments.
    """
    find_device(config.device)
    named = _TARGETS if adapts else ()
    targets = {f"--{name}": getattr(config, name) for name in named if hasattr(config, name)}
    for flag, model in models.items():
        skeleton, tokenizer = check_model(
            model, flag=flag, trust_remote_code=config.trust_remote_code
        )
        for name, modules in targets.items():
            try:
                find_targets(skeleton, modules)
            except UserError as error:
                raise UserError(f"{name}: {error}") from None
        check_prompt_lengths(f"{flag} {model}", skeleton, tokenizer, config.sampler, prompts)
    read = {**inputs, **{flag: fingerprint(model) for flag, model in models.items()}}
    return Run.open(config.run_dir, config, read, kinds)
