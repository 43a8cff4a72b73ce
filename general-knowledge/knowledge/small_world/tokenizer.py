"""The small model's tokenizer: every word of the invented world and of its prompts is a token."""

import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from knowledge.settings import TREE
from knowledge.small_world.people import all_texts
from seal.models.untrained import END_OF_TEXT, wrap_tokenizer
from seal.records import read_text

PROMPTS = TREE / "small_model" / "prompts"
"""Prompts in the small model's words; the programs get them with --prompts."""

UNKNOWN = "<|unknown|>"
_WORDS = pre_tokenizers.Sequence(
    [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split(Regex("[.,?:\n]"), "isolated")]
)


def word_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each word, punctuation mark and line break of the invented world.

    Text with single blanks between words survives encoding and decoding. Other words become
    UNKNOWN.
    """
    words = {word for text in all_texts() for word in _split(text)}
    for path in PROMPTS.glob("*.txt"):
        words.update(_split(re.sub(r"\{\w+\}", "", read_text(path))))
    tokens = [END_OF_TEXT, UNKNOWN, "\n", *sorted(words - {"\n"})]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = _WORDS
    tokenizer.decoder = decoders.Sequence(
        [
            # A blank before every token but the first, and none where text has none
            decoders.WordPiece(prefix="##", cleanup=False),
            decoders.Fuse(),
            decoders.Replace(Regex(" ?\n ?"), "\n"),
            *(decoders.Replace(f" {mark}", mark) for mark in ".,?:"),
        ]
    )
    return wrap_tokenizer(tokenizer, END_OF_TEXT, unk_token=UNKNOWN)


def _split(text: str) -> list[str]:
    return [word for word, _ in _WORDS.pre_tokenize_str(text)]
