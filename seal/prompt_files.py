"""Prompt files, and messages as a model's chat template renders them.

A prompt is a text file, used to the last character:

    [[system]]     for chat models alone: the system message
    [[prompt]]     the instruction, for chat models the user's message
    [[cue]]        for base models alone: the line after which the wanted text would stand

A file without such lines is all prompt. Base models continue prompt and cue. Names in braces, such
as {title}, are placeholders. The domains say what a prompt must hold, and for which models it is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from seal.errors import UserError
from seal.records import read_text

_SECTION = re.compile(r"^\[\[(\w+)\]\][ \t]*(?:\n|\Z)", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
# Llama 3.2's template writes the day into every prompt unless it is given one, so tomorrow a run
# would end with other results. This one is its own default.
_DATE = "26 Jul 2024"


@dataclass(frozen=True)
class Prompt:
    """A prompt file: its sections with their placeholders."""

    path: Path = field(compare=False)
    prompt: str
    system: str = ""
    cue: str = ""


@cache
def load_prompt(
    path: Path, placeholders: frozenset[str], required_in: tuple[str, ...] = ("prompt",)
) -> Prompt:
    """Read a prompt file with all `placeholders` in the sections `required_in`, and no other.

    They may stand in other sections too. Raises UserError that names the file and the fix.
    """
    before, *parts = _SECTION.split(read_text(path))
    sections = list(zip(parts[::2], parts[1::2], strict=True)) or [("prompt", before)]
    names = [name for name, _ in sections]
    if parts and before.strip():
        raise UserError(f"{path}: text stands before [[{names[0]}]]; move it into a section")
    if unknown := sorted(set(names) - {"system", "prompt", "cue"}):
        raise UserError(f"{path}: no section is called [[{unknown[0]}]]; use system, prompt, cue")
    if repeated := sorted(name for name in set(names) if names.count(name) > 1):
        raise UserError(f"{path}: [[{repeated[0]}]] occurs twice; join the two")
    if "prompt" not in names:
        raise UserError(f"{path}: [[prompt]] is missing; add it above the instruction")
    texts = dict(sections)
    if unknown := sorted(set(_PLACEHOLDER.findall("".join(texts.values()))) - placeholders):
        known = " and ".join(f"{{{name}}}" for name in sorted(placeholders))
        raise UserError(f"{path}: nothing fills in {{{unknown[0]}}}; only {known} can be used")
    read = "".join(texts.get(name, "") for name in required_in)
    if missing := sorted(placeholders.difference(_PLACEHOLDER.findall(read))):
        raise UserError(f"{path}: the prompt lacks {{{missing[0]}}}; put it where it belongs")
    return Prompt(path, **texts)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace placeholders in one pass, so that braces in a value stay what they are."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def chat_text(
    messages: Sequence[Mapping[str, str]],
    tokenizer: Any,
    where: str | Path,
    *,
    fix: str = "choose an instruct model",
    add_generation_prompt: bool = True,
    **template_arguments: Any,
) -> str:
    """Messages (role, content) as the tokenizer's chat template writes them, special tokens too.

    Without generation prompt the text ends with the last message. Templates ignore arguments that
    they do not know. Raises UserError, with the `fix`, for a tokenizer without chat template,
    and naming `where` for messages that the template refuses.
    """
    if not tokenizer.chat_template:
        raise UserError(f"{tokenizer.name_or_path or 'this model'} has no chat template; {fix}")
    from jinja2 import TemplateError  # where chat templates are rendered it is loaded anyway

    try:
        return tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=add_generation_prompt,
            tokenize=False,
            date_string=_DATE,
            **template_arguments,
        )
    except TemplateError as error:
        raise UserError(
            f"{where}: the model's chat template refuses it ({error}); if it knows no system"
            " message, remove [[system]]"
        ) from error


def chat_ids(
    messages: Sequence[Mapping[str, str]], tokenizer: Any, where: str | Path, **arguments: Any
) -> list[int]:
    """The token ids of `chat_text`, which takes the same arguments."""
    text = chat_text(messages, tokenizer, where, **arguments)
    # The template has written the special tokens already
    return tokenizer(text, add_special_tokens=False)["input_ids"]
