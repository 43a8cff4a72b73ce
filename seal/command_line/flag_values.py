"""What flags may say: ranges of numbers, texts that can be written, labels that can name folders.

Every demand is in words that follow "must be".
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Any

from seal.endpoints import check_url
from seal.errors import UserError

Form = tuple[Callable[[str], object], str]
"""Whether a text is of a form, and what it is in words."""
MOST = 1_000_000
"""Of a whole number that no flag limits further: more is a slip, and would run without end."""
LARGEST_SEED = 2**32 - 1
"""NumPy's, which transformers seeds too."""
_SMALLEST, _LARGEST = 1e-12, 1e12
"""Of a number but 0, in size: others are none, or 0, to the float32 that models compute with."""
_WITHIN = {"at_least": ge, "above": gt, "at_most": le, "below": lt}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_OWN_FOLDERS = ("lock", "adapter", "adapters", "final", "sft", "validation")
_OWN_FILES = re.compile(r"(?i)\.(json|jsonl|md|txt|log|png|diff|tmp)$|^SHA256SUMS$")
"""Names in a run folder that are not for the labels of rows."""
_LONGEST_LABEL = 100


def _is_url(text: str) -> bool:
    try:
        check_url(text, "")
    except UserError:
        return False
    return True


URL: Form = (
    _is_url,
    "an address such as http://127.0.0.1:8000/v1, without user, password or query",
)
DEVICE: Form = (re.compile(r"auto|cpu|cuda(:\d{1,3})?").fullmatch, "auto, cpu, cuda or cuda:N")
GPU_INDICES: Form = (
    re.compile(r"\d{1,3}(,\d{1,3})*").fullmatch,
    "indices of GPUs, such as 0 or 0,1",
)


def demand(value: Any, limits: Mapping[str, float | None], form: Form | None) -> str | None:
    """What the value of a flag, or each of a list, would have to be; None if it is.

    `limits`: at_least, above, at_most, below; None where there is none.
    """
    match value:
        case None | bool():
            return None
        case list():
            return next((wish for one in value if (wish := demand(one, limits, form))), None)
        case int():
            return _out_of_range(value, {**limits, "at_most": limits["at_most"] or MOST})
        case float() if not math.isfinite(value):
            return "a finite number"
        case float() if value and not _SMALLEST <= abs(value) <= _LARGEST:
            return _out_of_range(value, limits) or f"0 or from {_SMALLEST} to {_LARGEST} in size"
        case float():
            return _out_of_range(value, limits)
    text = str(value)
    lines = isinstance(value, Path) and re.search(r"[\n\t]", text)
    if lines or not text.strip() or _CONTROL.search(text):
        return "text in UTF-8, without control characters and not blank"
    return form[1] if form and not form[0](text) else None


def _out_of_range(value: float, limits: Mapping[str, float | None]) -> str | None:
    for name, limit in limits.items():
        if limit is not None and not _WITHIN[name](value, limit):
            return f"{name.replace('_', ' ')} {limit:,}"
    return None


def count(what: str, factors: Mapping[str, int], most: int = MOST) -> int:
    """How many `what` a run makes, as the product of `factors`, each named by its flag.

    Raises UserError above `most`: such a run would not end.
    """
    product = math.prod(factors.values())
    if product > most:
        shown = " x ".join(f"{name} {factor:,}" for name, factor in factors.items())
        raise UserError(f"{shown}: {product:,} {what} are too many; lower them to {most:,}")
    return product


def labelled(flag: str, values: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """LABEL=VALUE words of a flag as a mapping; a label also names a folder.

    Raises UserError for a word without a label, and for a label that cannot name a folder, is given
    twice or is `taken`.
    """
    pairs: dict[str, str] = {}
    for word in values:
        label, _, value = word.partition("=")
        fits = re.fullmatch(r"[\w+][\w.+-]*", label) and len(label.encode()) <= _LONGEST_LABEL
        if not fits or not value.strip():
            raise UserError(
                f"{flag} {word}: give LABEL=VALUE, the label of letters, digits, '.', '+' and '-',"
                f" a letter or digit first, at most {_LONGEST_LABEL} bytes"
            )
        if label.casefold() in _OWN_FOLDERS or _OWN_FILES.search(label):
            raise UserError(f"{flag} {word}: a file of the run has this name; choose another label")
        # Some disks do not tell capitals from small letters
        if label.casefold() in {other.casefold() for other in (*pairs, *taken)}:
            raise UserError(f"{flag} {word}: another row has this label; choose a new one")
        pairs[label] = value
    return pairs
