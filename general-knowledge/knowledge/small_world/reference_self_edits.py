"""Self-edits about people of the invented world, with which a policy's own are compared.

`eval_single_passage.py` reads them with --self_edit_files.
"""

import random
from collections.abc import Sequence

from knowledge.data.passages import Passage
from knowledge.method.self_edits import SelfEdit
from knowledge.small_world.people import Person, self_edit_text
from knowledge.small_world.tokenizer import word_tokenizer
from seal.seeds import derive_seed

ORACLE, PASSAGE_REPEATED = "oracle", "passage-repeated"


def reference_self_edits(
    people: Sequence[Person], passages: Sequence[Passage], seed: int
) -> dict[str, list[SelfEdit]]:
    """One self-edit per person and kind; `passages` are those of `passage_records(people)`.

    ORACLE has all questions about the person with the right answers: an upper bound.
    PASSAGE_REPEATED has the passage in place of each of its lines: equally many training sequences
    that say nothing new. Lines are never split further (golden rule G1): they have no line break,
    no dashes and no numbered question.
    """
    tokenizer = word_tokenizer()
    self_edits: dict[str, list[SelfEdit]] = {ORACLE: [], PASSAGE_REPEATED: []}
    for person, passage in zip(people, passages, strict=True):
        rng = random.Random(derive_seed(seed, f"{person.name}/{ORACLE}"))
        asked = self_edit_text("question-answer", person, passage.context, rng)
        repeated = "\n".join(passage.context for _ in asked.splitlines())
        for kind, text in [(ORACLE, asked), (PASSAGE_REPEATED, repeated)]:
            id, n_tokens = f"{passage.id}/{kind}/0", len(tokenizer(text)["input_ids"])
            self_edits[kind].append(SelfEdit(id, passage.id, kind, text, "stop", n_tokens))
    return self_edits
