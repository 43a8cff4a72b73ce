"""Self-edits about people of the invented world to measure a policy's own by.

The oracle's are what the world itself would write; repeated passages take as many steps and say
nothing new. `eval_single_passage.py` reads both with --self_edit_files.
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

    ORACLE asks all that can be asked of the person, with the right answers: an upper bound.
    PASSAGE_REPEATED has the passage in place of every one of its lines, so that both make equally
    many training sequences. A line is never split further: it has no line break, no dashes and no
    numbered question (golden rule G1).
    """
    texts: dict[str, list[str]] = {ORACLE: [], PASSAGE_REPEATED: []}
    for person, passage in zip(people, passages, strict=True):
        rng = random.Random(derive_seed(seed, f"{person.name}/{ORACLE}"))
        asked = self_edit_text("question-answer", person, passage.context, rng)
        texts[ORACLE].append(asked)
        texts[PASSAGE_REPEATED].append("\n".join(passage.context for _ in asked.splitlines()))
    tokenizer = word_tokenizer()
    return {
        kind: [
            SelfEdit(
                id=f"{passage.id}/{kind}/0",
                passage_id=passage.id,
                kind=kind,
                text=text,
                finish_reason="stop",
                n_tokens=len(tokenizer(text)["input_ids"]),
            )
            for passage, text in zip(passages, of_kind, strict=True)
        ]
        for kind, of_kind in texts.items()
    }
