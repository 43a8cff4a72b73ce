"""Words of questions and answers in comparable form: case, accents, numbers, word endings."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from seal.records import read_json

_TABLES = read_json(Path(__file__).with_suffix(".json"))
_CARDINALS, _ORDINALS, _TENS = (_TABLES[kind].split() for kind in ("cardinals", "ordinals", "tens"))
_DIGITS: dict[str, str] = {
    **{word: str(value) for value, word in enumerate(_CARDINALS)},
    **{word: str(value) for value, word in enumerate(_ORDINALS, start=1)},
    **{word: str(10 * value) for value, word in enumerate(_TENS, start=2)},
    # Roman numerals, but for "i", "v" and "x": single letters are more often symbols
    **_TABLES["others"],
}
_SCALES: dict[str, int] = _TABLES["scales"]
_STOP_WORDS = frozenset(_TABLES["stop_words"].split())

_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
_SCALED_NUMBER = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(_SCALES)})\b")
_TENS_AND_UNIT = re.compile(
    rf"\b({'|'.join(_TENS)})[ -]({'|'.join(_CARDINALS[1:10] + _ORDINALS[:9])})\b"
)
_THOUSANDS_COMMA = re.compile(r"(?<=\d),(?=\d{3})")
_ORDINAL_SUFFIX = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")

_SHORTEST_STEM = 4


def normalise(text: str) -> list[str]:
    """The words of a text without case, accents and punctuation, with numbers as digits.

    "$5 million" and "5,000,000" become the same digits, and so do "twenty-one", "21st" and
    "twenty-first". A possessive s is dropped, "n't" becomes the word "not".
    """
    if not text.isascii():  # slow, and most texts have no accents
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in decomposed if not unicodedata.combining(c))
    folded = text.casefold().replace("’", "'").replace("n't", " not").replace("'s", " ")
    folded = _ORDINAL_SUFFIX.sub("", _THOUSANDS_COMMA.sub("", folded))
    folded = _TENS_AND_UNIT.sub(lambda m: str(int(_DIGITS[m[1]]) + int(_DIGITS[m[2]])), folded)
    folded = _SCALED_NUMBER.sub(lambda m: f"{float(m[1]) * _SCALES[m[2]]:.15g}", folded)
    return [_DIGITS.get(word, word) for word in _WORD.findall(folded)]


def content_words(words: Iterable[str]) -> list[str]:
    """The words that carry an answer: no articles, prepositions, pronouns or auxiliaries."""
    return [word for word in words if word not in _STOP_WORDS]


def is_number(word: str) -> bool:
    """Whether a normalised word is a number."""
    return word[:1].isdecimal()


def same_word(word: str, other: str) -> bool:
    """Whether two normalised words are forms of one.

    They begin with the same letters, at least four and half of the longer word: Greek and Greece,
    journalism and journalist. Numbers must be equal.
    """
    if word == other:
        return True
    if is_number(word) or is_number(other):
        return False
    half = max(_SHORTEST_STEM, (max(len(word), len(other)) + 1) // 2)
    return min(len(word), len(other)) >= half and word[:half] == other[:half]


class Words(dict[str, None]):
    """A set of normalised words, in order, that also finds other forms of them (`same_word`)."""

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(words))
        self._by_stem: dict[str, list[str]] = {}
        for word in self:
            self._by_stem.setdefault(word[:_SHORTEST_STEM], []).append(word)

    def __contains__(self, word: str) -> bool:
        return super().__contains__(word) or any(
            same_word(word, other) for other in self._by_stem.get(word[:_SHORTEST_STEM], ())
        )

    def share_of(self, words: Iterable[str]) -> float:
        """The share of `words` that are in this set; 0 for no words."""
        found = [word in self for word in words]
        return sum(found) / len(found) if found else 0.0


def longest_run(words: Sequence[str], text: Sequence[str]) -> int:
    """Length of the longest unbroken piece of `words` that is in `text`, in order."""
    longest = 0
    ending_here = [0] * (len(text) + 1)
    for word in words:
        # Runs that end at this word, by where they end in the text
        before = zip(ending_here, text, strict=False)
        ending_here = [0, *(run + 1 if same_word(word, other) else 0 for run, other in before)]
        longest = max(longest, *ending_here)
    return longest


def letter_overlap(words: Sequence[str], text: Sequence[str], apart_from: Iterable[str]) -> float:
    """The share of the letter trigrams of `words` that occur in `text`, word borders included.

    Trigrams of the words `apart_from` do not count, unless there are no others.
    """
    wanted = (_trigrams(words) - _trigrams(apart_from)) or _trigrams(words)
    return (wanted & _trigrams(text)).total() / wanted.total() if wanted else 0.0


def _trigrams(words: Iterable[str]) -> Counter[str]:
    text = f" {' '.join(words)} "
    return Counter(text[i : i + 3] for i in range(len(text) - 2))
