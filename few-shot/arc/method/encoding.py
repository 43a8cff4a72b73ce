"""Training examples as tokens, with labels where the loss is wanted (paper, section 4.2).

The model's chat template says where a message begins and ends, so no token id stands here.
Training examples begin with the same tokens as the prompt at test time.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from arc.method.prompts import PREDICTION_FILE, prediction_messages
from arc.puzzles.grids import MAX_SIZE
from arc.puzzles.rendering import answer_text
from arc.puzzles.tasks import Item
from arc.settings import PromptSettings
from seal.errors import UserError
from seal.lora.jobs import IGNORED_LABEL, TokenSequence
from seal.prompt_files import chat_text


class EncodedItem(NamedTuple):
    """Token ids of a training example: `n_prompt` of the prompt, then those of the answer.

    The answer is the output grid and the end of the assistant's turn.
    """

    input_ids: NDArray[np.int32]
    n_prompt: int

    def labelled(self, loss_on_all_tokens: bool) -> TokenSequence:
        """Input ids and labels: of every token, or of the answer's alone."""
        if loss_on_all_tokens:
            return self.input_ids, self.input_ids
        labels = self.input_ids.copy()
        labels[: self.n_prompt] = IGNORED_LABEL
        return self.input_ids, labels


def encode_item(
    item: Item, tokenizer: PreTrainedTokenizerBase, settings: PromptSettings
) -> EncodedItem:
    """Tokenize prompt and answer apart, as at test time, so that no token spans their border.

    Raises UserError for a chat template that does not simply add the answer and the end-of-text
    token to the prompt, and for a tokenizer that does not give the answer back.
    """
    messages = prediction_messages(item.demonstrations, item.test.input, settings)
    answer = {"role": "assistant", "content": answer_text(item.test.output)}
    where = settings.prompt_folder / PREDICTION_FILE
    prompt = chat_text(messages, tokenizer, where)
    whole = chat_text([*messages, answer], tokenizer, where, add_generation_prompt=False)
    turn = answer["content"] + tokenizer.eos_token
    if not whole.startswith(prompt + turn):
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template does not write an answer as its text and"
            f" {tokenizer.eos_token} behind the prompt; choose another model or fix the template"
        )
    prompt_ids, turn_ids = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, turn)
    )
    if tokenizer.decode(turn_ids, clean_up_tokenization_spaces=False) != turn:
        raise UserError(
            f"{tokenizer.name_or_path}: its tokenizer does not give grids back as they were; choose"
            " another model"
        )
    return EncodedItem(np.array(prompt_ids + turn_ids, dtype=np.int32), len(prompt_ids))


def longest_answer() -> int:
    """An upper bound of an answer's tokens: every character of the largest grid, and the end."""
    return len(answer_text(((0,) * MAX_SIZE,) * MAX_SIZE)) + 1
