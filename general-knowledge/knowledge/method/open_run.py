"""Open a run folder of this domain once all that the program's flags name is in order."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from knowledge.data.passages import Passage
from knowledge.data.prompts import answer_prompt, check_prompts, policy_prompt, self_edit_values
from knowledge.judging.answer_records import Answers, Grades
from knowledge.judging.judges import CONSTANTS, JUDGE_PROMPT
from knowledge.method.proxy_reward import Rating
from knowledge.method.reward import Reward
from knowledge.method.self_edits import SelfEdit
from knowledge.method.writers import WrittenText
from knowledge.settings import JudgeSettings
from seal.loop import open_run as shared
from seal.loop.inner_loops import KeptAdapter
from seal.models.window import Prompt
from seal.records import read_text
from seal.run import Run

RECORDS: dict[str, type] = {
    "self_edits": SelfEdit,
    "answers": Answers,
    "grades": Grades,
    "rewards": Reward,
    "ratings": Rating,
    "entities": WrittenText,
    "relations": WrittenText,
    "adapters": KeptAdapter,
}
"""What the lines of NAME.jsonl are, in every run folder of this domain."""


def open_run(
    config: Any,
    inputs: Mapping[str, Any],
    models: Mapping[str, str],
    *,
    asked: Sequence[Passage] = (),
    written_about: Sequence[Passage] = (),
    prompt_kind: str | None = None,
    adapts: bool = True,
) -> Run:
    """As `seal.loop.open_run.open_run`; prompts and what the judge goes by are inputs too.

    Policies are asked the questions of the passages `asked`. They write about others, as
    `prompt_kind` says, which defaults to the flag.
    """

    def prompts(tokenizer: PreTrainedTokenizerBase) -> Iterator[Prompt]:
        for passage in asked:
            for question in passage.questions:
                prompt = answer_prompt(passage.title, question.question, config, tokenizer)
                limit = config.max_answer_tokens, "--max_answer_tokens"
                yield Prompt(passage.place, prompt, *limit)
        for passage in written_about:
            file = f"{prompt_kind or config.prompt_kind}.txt"
            prompt = policy_prompt(file, self_edit_values(passage), config, tokenizer)
            limit = config.max_new_tokens, "--max_new_tokens"
            yield Prompt(passage.place, prompt, *limit)

    read = {f"--prompts {file}": prompt for file, prompt in check_prompts(config).items()}
    if isinstance(config, JudgeSettings):
        file = CONSTANTS if config.judge == "offline" else JUDGE_PROMPT
        read[f"{file.name} of the judge"] = read_text(file)
    return shared.open_run(config, {**inputs, **read}, models, prompts, RECORDS, adapts=adapts)
