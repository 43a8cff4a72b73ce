"""Whether prompts fit the model's window: found before any work, not in the middle of a run."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from seal.errors import UserError

_SPECIAL = 8  # tokens that a tokenizer may add to a text


class Prompt(NamedTuple):
    """A prompt that a policy will be given: a text, or token ids."""

    where: str
    """What it is about, in words that a message begins with."""
    prompt: str | Sequence[int]
    new_tokens: int
    flag: str
    """The flag that says how many tokens may follow."""


Prompts = Callable[[PreTrainedTokenizerBase], Iterable[Prompt]]
"""All prompts that a program will give a policy, as its tokenizer makes them."""


def check_prompt_lengths(
    name: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sampler: str,
    prompts: Prompts,
) -> None:
    """Raise UserError for the first prompt that is longer than the window of the model `name`.

    A vLLM server also refuses a prompt whose `new_tokens` would not fit behind it.
    """
    window = model.config.get_text_config().max_position_embeddings
    for where, prompt, new_tokens, flag in prompts(tokenizer):
        follow = new_tokens if sampler == "vllm" else 1
        if isinstance(prompt, str):
            # A token is at least a byte: most prompts need not be tokenized
            if len(prompt.encode()) + _SPECIAL + follow <= window:
                continue
            prompt = tokenizer(prompt)["input_ids"]
        if len(prompt) + follow > window:
            raise UserError(
                f"{where}: a prompt about it has {len(prompt):,} tokens and {follow:,} may follow"
                f" ({flag}), and {name} takes {window:,} in all; leave it out, lower {flag}, or"
                " choose another model"
            )
