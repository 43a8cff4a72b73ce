"""Predictions that the M-step learns along with self-edits, so that the policy still solves tasks.

The release has none: its M-step learns self-edits alone.
"""

from collections.abc import Sequence
from itertools import cycle, islice

from transformers import PreTrainedTokenizerBase

from arc.augmenters import Augmentations
from arc.prompts import prediction_prompt
from arc.rendering import answer_text
from arc.settings import InnerLoopSettings
from arc.tasks import Item, Task
from arc.training_sets import select_items, training_items
from seal.seeds import derive_seed
from seal.sft import SftRow, encode_example

_PLAIN = Augmentations(basic=False, size=False, chain=False, repeat=False)


def replay_rows(
    tasks: Sequence[Task],
    n: int,
    settings: InnerLoopSettings,
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
) -> list[SftRow]:
    """`n` demonstrations of the tasks, to be predicted from others of theirs as at test time.

    Drawn at random from the training sets that the tasks have without augmentations; each is there
    again when all were. None of them shows a test input.
    """
    items = [
        item
        for task in tasks
        for item in training_items(
            task.demonstrations, _PLAIN, derive_seed(seed, f"{task.id}/replay")
        )
    ]

    def encode(item: Item) -> SftRow | None:
        prompt = prediction_prompt(item.demonstrations, item.test.input, settings, tokenizer)
        row = SftRow(prompt, answer_text(item.test.output))
        n_tokens = len(encode_example(tokenizer, row)["input_ids"])
        return row if n_tokens < settings.max_length else None

    # Test inputs of one task share its demonstrations
    different = list(dict.fromkeys(items))
    rows = select_items(different, encode, n, derive_seed(seed, "replay"))
    return list(islice(cycle(rows), n))
