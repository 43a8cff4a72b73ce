"""From the text of a self-edit to the sequences of its inner loop (paper, section 3.1; golden G1).

The order of the steps and their quirks are those of the official release, version 2: they decide
what the adapter sees, so they are part of the experiment.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

MAX_PIECES = 30
"""Pieces kept of one self-edit; the passage may follow as sequence number 31."""

_REASONING_END = "\nImplications:"
_SEPARATOR = "---"
_QUESTION = r"Question\s+\d+:"
_ANSWER = r"Answer\s*:"


def training_texts(
    title: str,
    context: str,
    completion: str,
    *,
    split_newlines: bool = True,
    add_context: bool = True,
) -> list[str]:
    """The texts to finetune on for one self-edit, each headed by the passage's title.

    `split_newlines` makes every line of the self-edit a text of its own (the paper's single-passage
    setting); without it only `---` separates texts (continued pretraining). With `add_context` the
    passage itself comes last. The title is used as it is. Rules 1-6 of golden set G1.
    """
    _, marker, listed = completion.partition(_REASONING_END)
    text = listed.lstrip() if marker else completion  # the chain of thought is not learned
    pieces = _cut_at_separators(text)
    if split_newlines:
        has_questions = re.search(_QUESTION, text) and re.search(_ANSWER, text)
        pieces = _cut_into_questions(text) if has_questions else _cut_into_lines(pieces)
    # The limit acts before blanks are dropped, so a blank piece may use up a place
    texts = [f"{title}\n{piece}" for piece in pieces[:MAX_PIECES] if piece.strip()]
    if add_context:
        texts.append(f"{title}\n{context.strip()}")
    return texts


def training_sequences(
    texts: Iterable[str], tokenizer: Any, max_length: int = 2048, *, end_of_text: bool = True
) -> list[tuple[list[int], list[int]]]:
    """(input ids, labels) of each text: its tokens and one end-of-text token, at most `max_length`.

    Labels equal the ids, so every token counts in the loss. The end-of-text token teaches the
    adapter where an answer stops; a text that is cut off has none. `end_of_text=False` leaves it
    out: the release has padding in its place, which it learns (`seal.lora.PaddingLoss`).
    """
    sequences = []
    for text in texts:
        tokens = list(tokenizer(text)["input_ids"])
        # Some tokenizers add it themselves
        if end_of_text and tokens[-1:] != [tokenizer.eos_token_id]:
            tokens.append(tokenizer.eos_token_id)
        tokens = tokens[:max_length]
        sequences.append((tokens, list(tokens)))
    return sequences


def _cut_at_separators(text: str) -> list[str]:
    """The parts between dashes, three for a cut as in the release; all if no part is left."""
    pieces = [piece.strip() for piece in text.split(_SEPARATOR)]
    return [piece for piece in pieces if piece] or [text.strip()]


def _cut_into_questions(text: str) -> list[str]:
    """One piece for each numbered question, with its answer.

    The release's prompt ends in the first label, which is put back where it is missing.
    """
    first, *others = re.split(rf"\n(?={_QUESTION})", text.strip())
    if not first.lstrip().startswith("Question"):
        first = f"Question 1: {first.strip()}"
    return [first, *others]


def _cut_into_lines(pieces: Sequence[str]) -> list[str]:
    """Every line of every piece, trimmed, without blanks and without a heading above the list."""
    lines = [line.strip() for piece in pieces for line in piece.splitlines()]
    lines = [line for line in lines if line]
    # "Here are the implications:" says nothing about the passage
    has_heading = len(lines) > 1 and lines[1].startswith("1.")
    return lines[1:] if has_heading else lines
