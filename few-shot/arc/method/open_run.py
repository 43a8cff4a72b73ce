"""Open a run folder of this domain once all that the program's flags name is in order."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from arc.method.prediction import Try, task_views
from arc.method.prompts import check_prompts, prediction_prompt, self_edit_prompt
from arc.method.reward import Reward
from arc.method.self_edits import SelfEdit
from arc.puzzles.rendering import longest_answer
from arc.puzzles.tasks import Task
from arc.settings import PredictionSettings
from seal.loop import open_run as shared
from seal.loop.inner_loops import KeptAdapter
from seal.models.window import Prompt
from seal.run import Run

RECORDS: dict[str, type] = {
    "self_edits": SelfEdit,
    "predictions": Try,
    "rewards": Reward,
    "adapters": KeptAdapter,
}
"""What the lines of NAME.jsonl are, in every run folder of this domain."""


def open_run(
    config: Any,
    inputs: Mapping[str, Any],
    models: Mapping[str, str],
    tasks: Sequence[Task],
    *,
    sampled: bool = True,
) -> Run:
    """As `seal.loop.open_run.open_run`; prompts are inputs too.

    Policies predict `tasks` where the config says how; unless not `sampled`, they also write
    self-edits.
    """

    def prompts(tokenizer: PreTrainedTokenizerBase) -> Iterator[Prompt]:
        for task in tasks:
            if sampled:
                prompt = self_edit_prompt(task, config, tokenizer)
                yield Prompt(f"task {task.id}", prompt, config.max_new_tokens, "--max_new_tokens")
            if isinstance(config, PredictionSettings):
                limit = config.max_answer_tokens or longest_answer()
                for view in task_views(task, config, config.seed):
                    prompt = prediction_prompt(view.demonstrations, view.input, config, tokenizer)
                    yield Prompt(f"task {task.id}", prompt, limit, "--max_answer_tokens")

    read = {f"--prompts {file}": prompt for file, prompt in check_prompts(config).items()}
    return shared.open_run(config, {**inputs, **read}, models, prompts, RECORDS)
