"""The inner loops on ARC tasks that benchmarks run: real tasks, models of random weights."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from arc.method import inner_loop, prediction
from arc.method.configurations import Configuration, load_oracle
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.rendering import demonstrations_text
from arc.puzzles.tasks import Task, load_tasks, select_tasks
from arc.settings import PROMPTS, InnerLoopSettings
from arc.small_world.format_model import train_grid_tokenizer
from seal.loop.policy import Policy
from seal.lora import AdapterJob
from seal.lora import train as lora
from seal.lora.bank import AdapterBank
from seal.samplers.in_process import TransformersSampler, share_weights
from seal.seeds import derive_seed

SEED = 0
CALLS = {
    (inner_loop, "training_items"): "items",
    (inner_loop, "select_items"): "tokens",
    (inner_loop, "adapter_job"): "job",
    (lora, "pack_sequence"): "packing",
    (lora, "pack_batches"): "packing",
    (lora, "add_gradients"): "model, training",
    (lora.Training, "_step"): "optimizer",
    (AdapterBank, "initialise"): "adapter drawn",
    (AdapterBank, "export"): "adapter written",
    (lora, "write_adapter"): "adapter written",
    (TransformersSampler, "_load_adapters"): "adapter read",
    (TransformersSampler, "complete"): "model, answering",
    (prediction, "task_views"): "prompts",
    (prediction, "prediction_prompt"): "prompts",
    (prediction, "solution_of"): "vote",
}
"""What belongs to which part of an inner loop; see PartClock.watching."""
CONFIGURATIONS = {
    "oracle": load_oracle(),
    # As little training as makes sense, so that all else weighs most
    "cheap": Configuration(
        Augmentations(basic=True, size=False, chain=False, repeat=False),
        loss_on_all_tokens=True,
        learning_rate=1e-4,
        epochs=1,
    ),
}


class RandomPolicy(Policy):
    """A policy of random weights that samples in this process; nothing is loaded."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.model = model
        self.sampler = TransformersSampler(share_weights(model), tokenizer)


def read_tasks(data: Path, split: Literal["training", "evaluation"]) -> list[Task]:
    """The paper's tasks of a split; raises UserError if the data are absent."""
    tasks = load_tasks(data / f"arc/arc-agi_{split}_challenges.json")
    return select_tasks(tasks, f"paper-{split}", None, seed=0)


def make_tokenizer(tasks: Sequence[Task]) -> PreTrainedTokenizerBase:
    """The small models' tokenizer, which cuts grids into as many tokens as Llama 3's does."""
    texts = [file.read_text() for file in sorted(PROMPTS.glob("*.txt"))]
    return train_grid_tokenizer(
        [*texts, *(demonstrations_text(task.demonstrations) for task in tasks)], vocab_size=512
    )


def make_job(
    task: Task, configuration: Configuration, policy: Policy, settings: InnerLoopSettings
) -> AdapterJob:
    """The training that the configuration asks for on the task."""
    seed = derive_seed(SEED, f"{task.id}/training-set")
    items = inner_loop.training_set(task, configuration.augmentations, policy, settings, seed)
    return inner_loop.adapter_job(configuration, items, settings, SEED)


def shorten(job: AdapterJob, steps: int | None) -> AdapterJob:
    """The job's first `steps` steps, its learning rates aside; None: the whole job."""
    if steps is None or steps >= job.steps:
        return job
    return replace(job, epochs=steps * job.batch_size / len(job.sequences))
