"""A small Llama that knows how self-edits are written and nothing else, for trying the programs.

What is measured with it says how fast and how soundly the programs work, never how well.
"""

import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, pre_tokenizers
from transformers import (
    DataCollatorForSeq2Seq,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from arc.method.configurations import Configuration, to_json
from arc.method.prompts import self_edit_prompt
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.rendering import demonstrations_text, examples_text
from arc.puzzles.tasks import Task
from arc.settings import PromptSettings
from arc.small_world.tokenizer import CHAT_TEMPLATE, END_OF_TURN, ROLE_TOKENS
from seal.models.load import hide_progress_in_logs
from seal.models.untrained import SIZE, random_model, save_model, train_tokenizer
from seal.records import read_text
from seal.training.sft import SftRow, encode_example

LEARNING_RATES = (1e-1, 3e-2, 1e-2, 1e-3, 1e-4)
EPOCHS = (1, 2, 3)  # four are more than 375 steps on the largest training set
SHORTEST = 4


def random_configuration(
    rng: random.Random,
    learning_rates: Sequence[float] = LEARNING_RATES,
    epochs: Sequence[int] = EPOCHS,
) -> Configuration:
    """A configuration that says nothing about the task: what a small model starts from.

    One with the default choices can be trained on a training set of any size.
    """
    return Configuration(
        augmentations=Augmentations(*(rng.random() < 0.5 for _ in Augmentations._fields)),
        loss_on_all_tokens=rng.random() < 0.5,
        learning_rate=rng.choice(learning_rates),
        epochs=rng.choice(epochs),
    )


def train_grid_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE in which digits stand alone and stock phrases are single tokens.

    Turns of a chat begin with a token for the role and end with the end-of-text token.
    """
    # Grids are read cell by cell, as by Llama 3, which keeps digits and blanks apart
    cells = pre_tokenizers.Split(Regex(r"[0-9]| "), "isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return train_tokenizer(
        texts,
        vocab_size,
        pre_tokenizer=pre_tokenizers.Sequence([cells, as_bytes]),
        special_tokens=(END_OF_TURN, *ROLE_TOKENS),
        chat_template=CHAT_TEMPLATE,
    )


def save_small_model(
    folder: Path,
    tasks: Sequence[Task],
    prompts: PromptSettings,
    seed: int = 0,
    format_steps: int = 150,
) -> Path:
    """Write a random Llama that has learned the form of self-edits, as `prompts` ask for them.

    In each of `format_steps` steps it learns 8 random self-edits, which say nothing about what is
    good for a task. Equal arguments give equal folders on one machine.
    """
    hide_progress_in_logs()
    rng = random.Random(seed)
    self_edits = [to_json(random_configuration(rng)) for _ in range(8 * format_steps)]
    texts = [read_text(file) for file in sorted(prompts.prompt_folder.glob("*.txt"))]
    for task in tasks:
        texts += [demonstrations_text(task.demonstrations), examples_text(task.demonstrations)]
    tokenizer = train_grid_tokenizer([*texts, *self_edits[:200]], vocab_size=512)
    model = random_model(LlamaForCausalLM, tokenizer, seed, **SIZE)
    asked = sorted((self_edit_prompt(task, prompts, tokenizer) for task in tasks), key=len)
    # The shortest prompts: the form does not depend on the task, the time does
    rows = [SftRow(rng.choice(asked[:SHORTEST]), self_edit) for self_edit in self_edits]
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=8,
        num_train_epochs=1,
        learning_rate=3e-3,
        lr_scheduler_type="cosine",
        warmup_steps=10,
        use_cpu=True,
        seed=seed,
        save_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=not sys.stderr.isatty(),
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=[encode_example(tokenizer, row) for row in rows],
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100),
    )
    trainer.remove_callback(PrinterCallback)  # without a bar it would print its logs
    trainer.train()
    return save_model(folder, model, tokenizer)
