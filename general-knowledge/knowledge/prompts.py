"""Prompts: how the policy is asked for a self-edit, and how it is examined closed-book.

A prompt is a text file in a folder, named after what it asks for, used to the last character:

    [[system]]     for chat models alone: the system message
    [[prompt]]     the instruction, for chat models the user's message
    [[cue]]        for base models alone: the line after which the wanted text would stand

A file without such lines is all prompt. Base models continue prompt and cue. {title} and {passage},
or {question}, are filled in. Every file ends in a line break, so that a completion starts a line
and nothing is lost when it is trimmed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from knowledge.passages import Passage
from knowledge.settings import (
    PROMPTS,
    AnswerSettings,
    PromptSettings,
    SelfEditKind,
    SelfEditSettings,
)
from seal.errors import UserError
from seal.records import read_text

SELF_EDIT_KINDS: tuple[str, ...] = get_args(SelfEditKind)
"""The prompts of the paper's ablation, the default first."""

_SECTION = re.compile(r"^\[\[(\w+)\]\][ \t]*(?:\n|\Z)", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Prompt:
    """A prompt file: its sections with their placeholders."""

    path: Path
    prompt: str
    system: str = ""
    cue: str = ""


def self_edit_prompt(
    passage: Passage, kind: str, folder: Path = PROMPTS, tokenizer: Any = None
) -> str | list[int]:
    """Ask for a self-edit of a passage: FOLDER/KIND.txt, as `render_prompt` gives it."""
    values = {"title": passage.title, "passage": passage.context}
    return render_prompt(Path(folder) / f"{kind}.txt", values, tokenizer)


def answer_prompt(
    title: str,
    question: str,
    style: str = "plain",
    folder: Path = PROMPTS,
    tokenizer: Any = None,
) -> str | list[int]:
    """Ask a question without its passage: FOLDER/answer.txt, or answer-STYLE.txt if not plain."""
    values = {"title": title, "question": question}
    return render_prompt(Path(folder) / answer_file(style), values, tokenizer)


def answer_file(style: str) -> str:
    """The name of the prompt file for a style of answering."""
    return "answer.txt" if style == "plain" else f"answer-{style}.txt"


def check_prompts(settings: PromptSettings) -> None:
    """Load every prompt that the flags ask for, so that a mistake in a file costs no work.

    Raises UserError for a prompt file that is missing or malformed.
    """
    if isinstance(settings, SelfEditSettings):
        file = settings.prompt_folder / f"{settings.prompt_kind}.txt"
        load_prompt(file, frozenset({"title", "passage"}))
    if isinstance(settings, AnswerSettings):
        file = settings.prompt_folder / answer_file(settings.answer_style)
        load_prompt(file, frozenset({"title", "question"}))


def render_prompt(path: Path, values: Mapping[str, str], tokenizer: Any = None) -> str | list[int]:
    """A prompt with its values: a text to continue or, given a tokenizer, a chat as token ids.

    The ids follow the tokenizer's chat template up to where the assistant begins to write. Raises
    UserError for a prompt file that is missing or malformed, and for a tokenizer whose chat
    template is missing or refuses the messages.
    """
    prompt = load_prompt(path, frozenset(values))
    if tokenizer is None:
        return _fill(prompt.prompt + prompt.cue, values)
    messages = [
        {"role": role, "content": _fill(text, values).strip()}
        for role, text in (("system", prompt.system), ("user", prompt.prompt))
        if text.strip()
    ]
    return _chat_ids(messages, tokenizer, path)


@cache
def load_prompt(path: Path, placeholders: frozenset[str]) -> Prompt:
    """Read a prompt file whose prompt must hold all `placeholders` and nowhere any other.

    Raises UserError that names the file and the mend.
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
    prompt = Prompt(path, **dict(sections))
    everything = _placeholders_in(prompt.system + prompt.prompt + prompt.cue)
    if unknown := sorted(everything - placeholders):
        known = " and ".join(f"{{{name}}}" for name in sorted(placeholders))
        raise UserError(f"{path}: nothing fills in {{{unknown[0]}}}; only {known} can be used")
    if missing := sorted(placeholders - _placeholders_in(prompt.prompt)):
        raise UserError(f"{path}: the prompt lacks {{{missing[0]}}}; put it where it belongs")
    return prompt


def _placeholders_in(text: str) -> set[str]:
    return set(_PLACEHOLDER.findall(text))


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Replace placeholders in one pass, so that braces in a passage stay what they are."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def _chat_ids(messages: list[dict[str, str]], tokenizer: Any, path: Path) -> list[int]:
    if not tokenizer.chat_template:
        raise UserError(
            f"{tokenizer.name_or_path or 'this model'} has no chat template; leave out --chat, or"
            " choose an instruct model"
        )
    from jinja2 import TemplateError  # where chat templates are rendered it is loaded anyway

    try:
        # Thinking aloud (Qwen3's default) would use up the tokens of an answer before it begins;
        # templates without that switch ignore it
        return tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=False, enable_thinking=False
        )
    except TemplateError as error:
        raise UserError(
            f"{path}: the model's chat template refuses it ({error}); if it knows no system"
            " message, remove [[system]]"
        ) from error
