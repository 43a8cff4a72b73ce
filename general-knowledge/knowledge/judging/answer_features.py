"""What the wording of an answer shows about the gold answer: a few numbers, no understanding.

`describe` is the whole of `judges.OfflineJudge` but for its weights. docs/grading.md says why each
number is there.
"""

import re

from knowledge.judging.word_forms import (
    Words,
    content_words,
    is_number,
    letter_overlap,
    longest_run,
    normalise,
)

_DENIALS = "not no never none nothing neither nor cannot without unable unknown unclear"
_NEGATIONS = frozenset(_DENIALS.split())
_ACRONYM = re.compile(r"[A-Z]{2,}")
_YEAR = re.compile(r"1\d{3}|20\d{2}")
_TOKEN = re.compile(r"[^\W_]+")
_LIST_NUMBER = re.compile(r"^\s*\d+[.)]\s+", re.MULTILINE)
_SENTENCE_BREAK = re.compile(r"(?<=[.!?])\s+|\n+")
_NEXT_QUESTION = re.compile(r"\n\s*(?:question|q|topic|passage)\s*:", re.IGNORECASE)
_DECLINES = re.compile(r"\W*(?:idk|unknown|(?:i )?(?:do not|don['’]t) know)\b", re.IGNORECASE)
_FEW_WORDS = 3
_NEAR = 0.1


class _Triple:
    """A question, its gold answer and an answer, taken apart."""

    def __init__(self, question: str, gold: str, answer: str) -> None:
        further = _NEXT_QUESTION.search(answer)
        if further and answer[: further.start()].strip():
            answer = answer[: further.start()]
        answer = _LIST_NUMBER.sub("", answer)
        asked, given, told = normalise(question), normalise(gold), normalise(answer)
        gold_words, answer_words = content_words(given), content_words(told)
        if not gold_words:  # "The Who": better small words than none
            gold_words, answer_words = given, told
        if not gold_words:  # "$": a symbol is looked for as it stands
            gold_words = [gold.strip()]
            answer_words = answer_words + [symbol for symbol in gold_words if symbol in answer]
        self.question, self.gold = Words(content_words(asked)), Words(gold_words)
        self.answer, self.found = answer_words, Words(answer_words)
        # The gold answer's words that the question does not say itself; all if it says all
        new = [word for word in gold_words if word not in self.question]
        self.nothing_new, self.wanted = not new, new or gold_words
        # The sentence of the answer that holds most of the wanted words
        sentence = _best_sentence(answer, self.wanted)
        self.sentence = Words(content_words(sentence))
        # Names and numbers in the answer that neither the question nor the gold answer has
        self.gold_names = _names(gold)
        self.other_names = frozenset(
            name
            for name in _names(answer, but_first=len(answer_words) > _FEW_WORDS)
            if name not in self.question and name not in self.gold and not is_number(name)
        )
        numbers = frozenset(filter(is_number, told))
        self.other_numbers = numbers.difference(self.question, self.gold)
        # The sentence denies something, which neither the question nor the gold answer does
        self.gold_negates = not _NEGATIONS.isdisjoint(given)
        self.negated = not _NEGATIONS.difference(asked, given).isdisjoint(sentence)
        # An acronym of the gold answer is missing, but words in a row begin with its letters
        initials = "".join(word[0] for word in content_words(told))
        self.acronym_spelled_out = any(
            acronym not in told and acronym not in asked and acronym in initials
            for acronym in map(str.casefold, _ACRONYM.findall(gold.replace(".", "")))
        )
        self.declines = _DECLINES.match(answer) is not None
        # After its answer the model went on to ask itself another question
        self.runs_on = further is not None


def describe(question: str, gold: str, answer: str) -> dict[str, float]:
    """All FEATURES of an answer that is not blank; 0 to 1, but for words of over 10 letters.

    Those named none, part or full count only where so much of the gold answer was found, beyond
    what the question says itself.
    """
    triple = _Triple(question, gold, answer)
    found = [word in triple.found for word in triple.wanted]
    of_found = _all_found if all(found) else _part_found if any(found) else _none_found
    shown = _always(triple) | of_found(triple)
    return dict.fromkeys(FEATURES, 0.0) | {name: float(value) for name, value in shown.items()}


def _always(triple: _Triple) -> dict[str, float]:
    missing = [word for word in triple.wanted if word not in triple.found]
    letters = letter_overlap(list(triple.gold), triple.answer, apart_from=triple.question)
    names_missing = any(word in triple.gold_names for word in missing)
    number_instead = any(map(is_number, missing)) and bool(triple.other_numbers)
    return {
        "recall_squared": triple.found.share_of(triple.gold) ** 2,
        "letters_found": letters,
        "nothing_new": triple.nothing_new,
        # Names and numbers have no synonyms; for what is left of a missing word there may be one
        "common_word_missing": any(
            word not in triple.gold_names and not is_number(word) for word in missing
        ),
        "longest_missing_word": max(map(len, missing), default=0) / 10,
        "other_name_instead": names_missing and bool(triple.other_names),
        "letters_found_but_other_number": number_instead and letters,
        "number_nearly_right": any(
            _is_near(word, other) for word in missing for other in triple.other_numbers
        ),
        "acronym_spelled_out": triple.acronym_spelled_out,
        "declines": triple.declines,
    }


def _none_found(triple: _Triple) -> dict[str, float]:
    return {
        "none": True,
        "none_and_only_echo": not _unrelated(triple),
        # GPT-4.1's verdicts are near to chance where the answer ends in other questions
        "none_and_runs_on": triple.runs_on,
    }


def _part_found(triple: _Triple) -> dict[str, float]:
    numbers = [word for word in triple.wanted if is_number(word)]
    return {
        "part_unrelated_words": _unrelated_share(triple),
        "part_number_found": any(word in triple.found for word in numbers),
        "part_number_missing": any(word not in triple.found for word in numbers),
        "part_gold_negates": triple.gold_negates,
    }


def _all_found(triple: _Triple) -> dict[str, float]:
    wanted = Words(triple.wanted)
    first = next((i for i, word in enumerate(triple.answer) if word in wanted), 0)
    named = any(word in triple.gold_names for word in triple.wanted)
    return {
        "full_unrelated_words": _unrelated_share(triple),
        "full_unbroken": longest_run(list(triple.gold), triple.answer) / len(triple.gold),
        "full_position": first / len(triple.answer),
        "full_about_question": triple.sentence.share_of(triple.question),
        "full_negated": triple.negated,
        "full_other_names": named and bool(triple.other_names),
        "full_other_numbers": any(map(is_number, triple.wanted)) and bool(triple.other_numbers),
        "full_runs_on": triple.runs_on,
    }


def _is_near(word: str, other: str) -> bool:
    """Whether `word` is an amount (not a year) and the number `other` is close to it."""
    if not is_number(word) or _YEAR.fullmatch(word):
        return False
    return abs(float(other) - float(word)) <= _NEAR * float(word)


def _unrelated(triple: _Triple) -> list[str]:
    """Words of the best sentence that neither the question nor the gold answer has."""
    return [w for w in triple.sentence if w not in triple.question and w not in triple.gold]


def _unrelated_share(triple: _Triple) -> float:
    return len(_unrelated(triple)) / max(1, len(triple.sentence))


def _best_sentence(answer: str, wanted: list[str]) -> list[str]:
    """All words of the first of the sentences that hold most of the wanted words."""
    sentences = [normalise(part) for part in _SENTENCE_BREAK.split(answer)]
    return max(sentences, key=lambda sentence: Words(sentence).share_of(wanted))


def _names(text: str, but_first: bool = False) -> frozenset[str]:
    """Content words written with a capital; a sentence's first word may be left out."""
    names: list[str] = []
    for sentence in _SENTENCE_BREAK.split(text):
        tokens = _TOKEN.findall(sentence)[but_first:]
        names += normalise(" ".join(token for token in tokens if token[0].isupper()))
    return frozenset(content_words(names))


FEATURES = tuple(
    name
    for group in (_always, _none_found, _part_found, _all_found)
    for name in group(_Triple("Which?", "gold", "answer"))
)
"""Names of the numbers that `describe` gives, in the order of the offline judge's constants."""
