"""The small model's tokenizer: a cell is one token that says its row, its column and its colour.

A model of a million weights does not learn to count brackets and blanks, so the tokenizer counts
for it: the text before a cell (`[[`, a blank, or `]` with a new line) is rewritten into a mark for
the place, from one cell to the next. Decoding turns marks back into that text.
"""

import json
import re
from itertools import pairwise, product, starmap

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from arc.method.configurations import Configuration, to_json
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.grids import COLORS
from arc.small_world.rules import RULE_WORDS
from seal.models.untrained import wrap_tokenizer

END_OF_TURN = "<|end_of_turn|>"
ROLE_TOKENS = tuple(f"<|{role}|>" for role in ("system", "user", "assistant"))
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    f"{END_OF_TURN}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""How every small model of this domain is chatted with: a token for each role, one for the end."""

LEARNING_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
EPOCHS = (1, 2, 3, 4)
"""What self-edits choose among, each equally often before any reward."""
MODE = "self-edit"
"""The system message of the prompt for a self-edit, a single word."""

CANVAS = 6
"""Rows and columns whose cells have a token each; beyond, a token says the colour alone."""
UNKNOWN = "<|unknown|>"

# From Unicode's private use area, so that no text holds them
_MARKS = [
    [chr(0xE000 + CANVAS * row + column) for column in range(CANVAS)] for row in range(CANVAS)
]
ARROW, END = "\uf000", "\uf001"
"""How the vocabulary spells `]] -> ` behind an input grid and `]]#` behind an output grid."""
_NEXT_ROW, _NEXT_CELL = "\uf002", "\uf003"


def cell_token(row: int, column: int, color: int) -> str:
    """How the vocabulary spells a cell of the canvas."""
    return f"{_MARKS[row][column]}{color}"


def small_tokenizer() -> PreTrainedTokenizerFast:
    """Grids with a token a cell, words of rules, and self-edits with a token for each choice.

    Prompts for a self-edit show bare rows of digits; they become the same tokens. A grid beyond the
    canvas survives encoding and decoding, but has no places from the first cell beyond on.
    """
    choices = map(json.dumps, (*LEARNING_RATES, *EPOCHS))
    phrases = [*_json_phrases(), *choices, MODE, *RULE_WORDS]
    cells = starmap(cell_token, product(range(CANVAS), range(CANVAS), range(COLORS)))
    beyond = [f"{mark}{color}" for mark in (_NEXT_ROW, _NEXT_CELL) for color in range(COLORS)]
    spelled = [END_OF_TURN, UNKNOWN, *ROLE_TOKENS, ARROW, END, *phrases, *cells, *beyond]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(spelled))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = _normalizer()
    # Cells first: their colour could be taken for a number of epochs
    longest_first = map(re.escape, sorted(phrases, key=len, reverse=True))
    tokens = ["[\ue000-\uf003][0-9]", ARROW, END, *longest_first]
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("|".join(tokens)), "isolated")
    tokenizer.decoder = _decoder()
    special = {"unk_token": UNKNOWN, "additional_special_tokens": list(ROLE_TOKENS)}
    return wrap_tokenizer(tokenizer, END_OF_TURN, **special, chat_template=CHAT_TEMPLATE)


def _json_phrases() -> list[str]:
    """The parts of self-edits without their numbers, each once."""
    values = re.compile(r'(true|false|"train_using_\w+"|1\.0|1)')
    examples = [Configuration(Augmentations(*[on] * 4), on, 1.0, 1) for on in (False, True)]
    parts = [part for example in examples for part in values.split(to_json(example))]
    return [part for part in dict.fromkeys(parts) if part not in ("1.0", "1")]


def _normalizer() -> normalizers.Normalizer:
    """Puts a mark before every cell: first that there is a next one, then where it is."""
    corner = _MARKS[0][0]
    steps = [
        # Bare digits under headings, as in prompts for a self-edit
        ("Input:\n(?=[0-9])", corner),
        ("\n\nOutput:\n(?=[0-9])", ARROW + corner),
        ("(?<=[0-9])\n\n", END),
        # Printed arrays
        (r"\[\[(?=[0-9])", corner),
        (r"\]\] -> ", ARROW),
        (r"\]\]#\n?", END),
        (r"(?<=[0-9])(?:\]\n \[|\n)(?=[0-9])", _NEXT_ROW),
        ("(?<=[0-9]) (?=[0-9])", _NEXT_CELL),
    ]
    for row, marks in enumerate(_MARKS):
        if row:
            before = "".join(_MARKS[row - 1])
            steps.append((f"(?<=[{before}][0-9]){_NEXT_ROW}", marks[0]))
        for left, mark in pairwise(marks):
            steps.append((f"(?<={left}[0-9]){_NEXT_CELL}", mark))
    return normalizers.Sequence([normalizers.Replace(Regex(old), new) for old, new in steps])


def _decoder() -> decoders.Decoder:
    """Turns marks into the text of a printed array, the only form in which the model writes."""
    first_cells = "".join(marks[0] for marks in _MARKS[1:]) + _NEXT_ROW
    steps = [
        (_MARKS[0][0], "[["),
        (Regex(f"[{first_cells}]"), "]\n ["),
        (Regex(f"[\ue000-\ue0ff{_NEXT_CELL}]"), " "),
        (ARROW, "]] -> "),
        (END, "]]#"),
    ]
    return decoders.Sequence([decoders.Fuse(), *(decoders.Replace(old, new) for old, new in steps)])
