"""The release's prompt wording, recovered from its filled-in prompts.

The wording is the authors' (MIT licence) and is not part of this project; it is written into the
user's copy, from the user's clone, so that both wordings can be compared.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from knowledge.data.prompts import SELF_EDIT_KINDS, answer_file
from knowledge.release.records import Dataset, Examinations
from knowledge.release.row_of_file import prompt_kind
from knowledge.release.scan import Release
from knowledge.settings import PROMPTS
from seal.errors import UserError
from seal.prompt_files import load_prompt
from seal.records import write_text

ANSWER_STYLES = ("plain", "chain-of-thought")


def unfilled(prompt: str, title: str, passage: str) -> str | None:
    """A prompt with {title} and {passage} back in it; None if the passage is not in it.

    A title is put back where it stands alone on a line, else where it first occurs: an instruction
    may hold the same word.
    """
    text = passage if passage in prompt else passage.strip()
    if not text or text not in prompt:
        return None
    wording = prompt.replace(text, "\0", 1)
    by_line = re.sub(rf"^{re.escape(title)}$", "{title}", wording, flags=re.MULTILINE)
    if by_line == wording:
        by_line = wording.replace(title, "{title}", 1)
    return by_line.replace("\0", "{passage}")


def prompt_wordings(release: Release) -> dict[str, str]:
    """The most frequent wording for each kind of prompt, in the order of --prompt_kind."""
    found: dict[str, Counter[str]] = {}
    for kind, prompt, title, passage in _filled(release):
        wording = unfilled(prompt, title, passage)
        if wording is not None:
            found.setdefault(kind, Counter())[wording] += 1
    return {kind: found[kind].most_common(1)[0][0] for kind in SELF_EDIT_KINDS if kind in found}


def _filled(release: Release) -> Iterator[tuple[str, str, str, str]]:
    """Kind, prompt, title and passage of every prompt in the release."""
    for dataset in release.of(Dataset):
        kind = prompt_kind(dataset.path)
        for passage, entry in zip(dataset.passages, dataset.entries, strict=True):
            yield kind, entry.prompt, passage.title, passage.context
    for file in release.of(Examinations):
        kind = prompt_kind(file.path, file.dataset)
        for article in file.articles:
            yield kind, article.prompt, article.title, article.context


def export_prompts(release: Release, folder: Path) -> dict[str, str]:
    """Write FOLDER/KIND.txt for each kind found, and our answer prompts, which programs also need.

    Returns the kinds that were written, each with what keeps it from being used ("" if nothing).
    """
    written = {}
    for kind, wording in prompt_wordings(release).items():
        path = folder / f"{kind}.txt"
        write_text(path, wording)
        written[kind] = ""
        try:
            load_prompt(path, frozenset({"title", "passage"}))
        except UserError as error:
            written[kind] = str(error)
    for style in ANSWER_STYLES if written else ():
        shutil.copyfile(PROMPTS / answer_file(style), folder / answer_file(style))
    return written
