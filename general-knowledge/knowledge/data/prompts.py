"""Prompts: how the policy is asked for a self-edit, and how it is asked questions closed-book.

A prompt is a file as `seal.prompt_files` describes it, in a folder, named after what it asks for.
{title} and {passage}, or {question}, are filled in. Every file ends in a line break, so that a
completion starts a line and trimming it loses nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from knowledge.data.passages import Passage
from knowledge.settings import (
    AnswerSettings,
    OuterLoopSettings,
    PromptSettings,
    SelfEditKind,
    SelfEditSettings,
)
from seal.prompt_files import Prompt, chat_ids, fill, load_prompt

SELF_EDIT_KINDS: tuple[str, ...] = get_args(SelfEditKind)
"""The prompts of the paper's ablation, the default first."""
RUBRIC_FILE = "proxy-rubric.txt"
"""How a chat model marks a self-edit, with --reward proxy."""


def self_edit_prompt(
    passage: Passage, settings: SelfEditSettings, tokenizer: Any = None
) -> str | list[int]:
    """Ask the policy for a self-edit of a passage (`policy_prompt`)."""
    file = f"{settings.prompt_kind}.txt"
    return policy_prompt(file, self_edit_values(passage), settings, tokenizer)


def self_edit_values(passage: Passage) -> dict[str, str]:
    """What a prompt for a text about a passage is filled in with."""
    return {"title": passage.title, "passage": passage.context}


def answer_prompt(
    title: str, question: str, settings: AnswerSettings, tokenizer: Any = None
) -> str | list[int]:
    """Ask the policy a question without its passage (`policy_prompt`)."""
    values = {"title": title, "question": question}
    return policy_prompt(answer_file(settings.answer_style), values, settings, tokenizer)


def answer_file(style: str) -> str:
    """The name of the prompt file for a style of answering."""
    return "answer.txt" if style == "plain" else f"answer-{style}.txt"


def check_prompts(settings: PromptSettings) -> dict[str, Prompt]:
    """Every prompt that the flags ask for, by its file's name.

    Raises UserError for a file that is missing or malformed.
    """
    wanted: dict[str, set[str]] = {}
    if isinstance(settings, SelfEditSettings):
        wanted[f"{settings.prompt_kind}.txt"] = {"title", "passage"}
    if isinstance(settings, AnswerSettings):
        wanted[answer_file(settings.answer_style)] = {"title", "question"}
    if isinstance(settings, OuterLoopSettings) and settings.reward == "proxy":
        wanted[RUBRIC_FILE] = {"title", "passage", "self_edit"}
    folder = settings.prompt_folder
    return {file: load_prompt(folder / file, frozenset(names)) for file, names in wanted.items()}


def policy_prompt(
    file: str, values: Mapping[str, str], settings: PromptSettings, tokenizer: Any
) -> str | list[int]:
    """`render_prompt` of a file in the settings' folder; a chat only with --chat."""
    return render_prompt(
        settings.prompt_folder / file, values, tokenizer if settings.chat else None
    )


def render_prompt(path: Path, values: Mapping[str, str], tokenizer: Any = None) -> str | list[int]:
    """A prompt with its values: a text to continue or, given a tokenizer, a chat as token ids.

    The ids follow the tokenizer's chat template up to where the assistant begins to write. Raises
    UserError for a prompt file that is missing or malformed, and for a tokenizer whose chat
    template is missing or refuses the messages.
    """
    if tokenizer is None:
        prompt = load_prompt(path, frozenset(values))
        return fill(prompt.prompt + prompt.cue, values)
    messages = chat_messages(path, values)
    # Thinking aloud (Qwen3's default) would use up the tokens of an answer before it begins
    fix = "leave out --chat, or choose an instruct model"
    return chat_ids(messages, tokenizer, path, fix=fix, enable_thinking=False)


def chat_messages(path: Path, values: Mapping[str, str]) -> list[dict[str, str]]:
    """A prompt with its values as a chat: the system message, if any, and the user's; no cue.

    Raises UserError for a prompt file that is missing or malformed.
    """
    prompt = load_prompt(path, frozenset(values))
    return [
        {"role": role, "content": fill(text, values).strip()}
        for role, text in (("system", prompt.system), ("user", prompt.prompt))
        if text.strip()
    ]
