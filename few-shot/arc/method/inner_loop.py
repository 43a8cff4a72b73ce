"""SEAL's inner loop on an ARC task: test-time training as a self-edit asks for it (section 4.2).

The self-edit decides which examples are made of the demonstrations, which tokens are learned, how
fast and how long. All else is equal, also the initial weights of the adapters. Examples begin with
the same tokens as the prompt at test time. The model's chat template alone says where a message
begins and ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from arc.method.configurations import BATCH_SIZE, Configuration, Rejection, check_steps
from arc.method.prediction import Outcome, read_outcomes, record_of, solve
from arc.method.prompts import PREDICTION_FILE, prediction_messages
from arc.method.self_edits import SelfEdit
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.rendering import answer_text
from arc.puzzles.tasks import Item, Task
from arc.puzzles.training_sets import select_items, training_items
from arc.settings import InnerLoopSettings, PromptSettings
from seal.errors import UserError
from seal.loop.inner_loops import Asked, run_inner_loops, train_kept
from seal.loop.policy import Policy
from seal.lora import AdapterJob
from seal.lora.jobs import IGNORED_LABEL, TokenSequence
from seal.prompt_files import chat_text
from seal.run import Run
from seal.seeds import derive_seed

SHARED_SETS = 8
"""Encoded training sets kept: self-edits of a task often train on the same examples."""


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


@dataclass(frozen=True)
class Trial:
    """One inner loop and the try at its task that follows.

    Trials of a task with the same `repeat` share all seeds: equal ones would give equal results.
    """

    id: str
    task: Task
    configuration: Configuration
    repeat: int = 0


def run_trials(
    run: Run, trials: Sequence[Trial], policy: Policy, settings: InnerLoopSettings, seed: int
) -> list[Outcome]:
    """Train and predict all trials; what the run holds already is not done again.

    Appends RUN/predictions.jsonl, one line per trial. Returns outcomes in the order of `trials`.
    """
    rejected: dict[str, Rejection] = {}

    @lru_cache(SHARED_SETS)
    def items_of(task: Task, augmentations: Augmentations, repeat: int) -> list[EncodedItem]:
        item_seed = derive_seed(seed, f"{task.id}/training-set", repeat)
        return training_set(task, augmentations, policy, settings, item_seed)

    def make_job(trial: Trial) -> AdapterJob | None:
        configuration = trial.configuration
        items = items_of(trial.task, configuration.augmentations, trial.repeat)
        if rejection := check_steps(configuration, len(items), settings.max_steps):
            rejected[trial.id] = rejection
            return None
        return adapter_job(configuration, items, settings, seed, trial.repeat)

    def predict(asked: Asked[Trial]) -> None:
        """Append a record for each trial: its try at the task, or why it was not trained."""
        trained = {trial.id: (trial.task, adapter) for trial, adapter in asked if adapter}
        solutions = solve(policy, list(trained.values()), settings, seed)
        found = dict(zip(trained, solutions, strict=True))
        records = [record_of(t.id, t.task, found.get(t.id), rejected.get(t.id)) for t, _ in asked]
        run.append("predictions", *records)

    run_inner_loops(
        run,
        policy,
        trials,
        make_job,
        predict,
        records="predictions",
        slots=settings.slots,
        target_modules=settings.target_modules,
        label="inner loops",
    )
    return read_outcomes(run, [(trial.id, trial.task) for trial in trials])


def training_set(
    task: Task, augmentations: Augmentations, policy: Policy, settings: InnerLoopSettings, seed: int
) -> list[EncodedItem]:
    """The tokens of a task's training examples, at most `max_items` (golden A4)."""

    def encode(item: Item) -> EncodedItem | None:
        encoded = encode_item(item, policy.tokenizer, settings)
        return encoded if len(encoded.input_ids) < settings.max_length else None

    items = training_items(
        task.demonstrations, augmentations, seed, release_bugs=settings.release_bugs
    )
    return select_items(items, encode, settings.max_items, seed)


def adapter_job(
    configuration: Configuration,
    items: Sequence[EncodedItem],
    settings: InnerLoopSettings,
    seed: int,
    repeat: int = 0,
) -> AdapterJob:
    """The LoRA finetune of a configuration on its training set."""
    return AdapterJob(
        sequences=[item.labelled(configuration.loss_on_all_tokens) for item in items],
        learning_rate=float(configuration.learning_rate),
        epochs=configuration.epochs,
        batch_size=BATCH_SIZE,
        gradient_accumulation=1,
        schedule="cosine",
        warmup_steps=settings.warmup_steps,
        max_grad_norm=1.0,
        rank=settings.lora_rank,
        alpha=settings.lora_alpha,
        # Whatever the self-edit and the task, an adapter starts from the same weights
        seed=derive_seed(seed, "adapter", repeat),
    )


def train_first_valid(
    run: Run,
    task: Task,
    self_edits: Sequence[SelfEdit],
    policy: Policy,
    name: str,
    settings: InnerLoopSettings,
    seed: int,
) -> Rejection | None:
    """Train the adapter RUN/NAME on the first self-edit that is valid, or say why there is none.

    Raises UserError as `train_kept` does.
    """
    valid = [each for each in self_edits if isinstance(each.parsed, Configuration)]
    chosen = (valid or self_edits)[0]
    run.say(f"self-edit: {chosen.text}")
    if isinstance(configuration := chosen.parsed, Rejection):
        return configuration
    set_seed = derive_seed(seed, f"{task.id}/training-set")
    items = training_set(task, configuration.augmentations, policy, settings, set_seed)
    rejection = check_steps(configuration, len(items), settings.max_steps)
    if rejection is None:
        job = adapter_job(configuration, items, settings, seed)
        run.say(f"{len(items)} training examples, {job.steps} steps")
        train_kept(run, policy, job, name, settings.target_modules)
    return rejection
