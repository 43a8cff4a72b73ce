"""What the policy is asked: for a self-edit, and for the output grid of a test input.

The wording is in prompt files, one for each; how grids are written is not (golden A3).
"""

from collections.abc import Sequence
from typing import Any

from arc.puzzles.grids import Grid
from arc.puzzles.rendering import demonstrations_text, examples_text, query_text
from arc.puzzles.tasks import Pair, Task
from arc.settings import PromptSettings
from seal.prompt_files import Prompt, chat_ids, fill, load_prompt

Messages = list[dict[str, str]]
SELF_EDIT_FILE, PREDICTION_FILE = "self-edit.txt", "predict.txt"
_PLACEHOLDERS = {
    SELF_EDIT_FILE: (frozenset({"examples"}), ("prompt",)),
    PREDICTION_FILE: (frozenset({"demonstrations", "query"}), ("system", "prompt")),
}
"""What each file must hold, and in which of its sections."""
_FIX = "this domain needs an instruct model"


def self_edit_prompt(task: Task, settings: PromptSettings, tokenizer: Any) -> list[int]:
    """Ask how to train on a task's demonstrations, as token ids.

    Raises UserError for a prompt file or a chat template that cannot be used.
    """
    messages = _messages(SELF_EDIT_FILE, settings, examples=examples_text(task.demonstrations))
    return chat_ids(messages, tokenizer, settings.prompt_folder / SELF_EDIT_FILE, fix=_FIX)


def prediction_prompt(
    demonstrations: Sequence[Pair], grid: Grid, settings: PromptSettings, tokenizer: Any
) -> list[int]:
    """Ask for the output that belongs to `grid`, as token ids; raises UserError likewise."""
    messages = prediction_messages(demonstrations, grid, settings)
    return chat_ids(messages, tokenizer, settings.prompt_folder / PREDICTION_FILE, fix=_FIX)


def prediction_messages(
    demonstrations: Sequence[Pair], grid: Grid, settings: PromptSettings
) -> Messages:
    """Demonstrations in the system message, the query in the user's (golden A3)."""
    shown = demonstrations_text(demonstrations)
    return _messages(PREDICTION_FILE, settings, demonstrations=shown, query=query_text(grid))


def check_prompts(settings: PromptSettings) -> dict[str, Prompt]:
    """Both prompts by their files' names, so that a mistake costs no work; raises UserError."""
    return {
        file: load_prompt(settings.prompt_folder / file, *required)
        for file, required in _PLACEHOLDERS.items()
    }


def _messages(file: str, settings: PromptSettings, **values: str) -> Messages:
    prompt = load_prompt(settings.prompt_folder / file, *_PLACEHOLDERS[file])
    # A section's last line break ends the section; all others are part of the message
    sections = (("system", prompt.system), ("user", prompt.prompt))
    return [
        {"role": role, "content": fill(text.removesuffix("\n"), values)}
        for role, text in sections
        if text.strip()
    ]
