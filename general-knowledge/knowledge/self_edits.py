"""Self-edits: what a policy writes about a passage for its own finetuning (paper, section 3)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from knowledge.passages import Passage
from knowledge.prompts import self_edit_prompt
from knowledge.settings import SelfEditSettings
from seal.errors import UserError
from seal.policy import Policy
from seal.records import read_jsonl
from seal.run import Run
from seal.sampling import SampleRequest, SamplingParameters
from seal.seeds import derive_seed


@dataclass(frozen=True)
class SelfEdit:
    """One sampled self-edit; `id` is PASSAGE/KIND/NUMBER."""

    id: str
    passage_id: str
    kind: str
    text: str
    finish_reason: str
    n_tokens: int


def sample_self_edits(
    run: Run, passages: Sequence[Passage], policy: Policy, settings: SelfEditSettings, seed: int
) -> list[SelfEdit]:
    """The E-step's samples: k self-edits per passage, appended to RUN/self_edits.jsonl.

    Samples that the run holds are not drawn again. Returns all, passage by passage.
    """
    wanted = [(passage, number) for passage in passages for number in range(settings.k)]
    parameters = SamplingParameters(
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
    )

    def name(item: tuple[Passage, int]) -> str:
        passage, number = item
        return f"{passage.id}/{settings.prompt_kind}/{number}"

    size = policy.settings.sampling_batch
    groups = list(run.pending_groups("self_edits", wanted, size, key=name))
    with run.progress(sum(map(len, groups)), "self-edits") as bar:
        for group in groups:
            requests = [
                SampleRequest(
                    prompt_for(item[0], settings, policy.tokenizer),
                    seed=derive_seed(seed, name(item)),
                )
                for item in group
            ]
            completions = policy.sampler.complete(requests, parameters)
            self_edits = [
                SelfEdit(
                    id=name(item),
                    passage_id=item[0].id,
                    kind=settings.prompt_kind,
                    text=completion.text,
                    finish_reason=completion.finish_reason,
                    n_tokens=completion.n_tokens,
                )
                for item, completion in zip(group, completions, strict=True)
            ]
            run.append("self_edits", *map(asdict, self_edits))
            bar.update(len(group))
    sampled = {record["id"]: SelfEdit(**record) for record in run.records("self_edits")}
    return [sampled[name(item)] for item in wanted]


def prompt_for(
    passage: Passage, settings: SelfEditSettings, tokenizer: PreTrainedTokenizerBase
) -> str | list[int]:
    """The prompt that asks for a self-edit of `passage`; token ids for a chat model."""
    return self_edit_prompt(
        passage,
        settings.prompt_kind,
        folder=settings.prompt_folder,
        tokenizer=tokenizer if settings.chat else None,
    )


def read_self_edits(path: Path, passages: Sequence[Passage], k: int) -> list[SelfEdit]:
    """The first k self-edits per passage of a file that `sample_self_edits` wrote.

    Raises UserError naming the file and the row that is no self-edit, or the passage that has
    fewer than k.
    """
    by_passage: dict[str, list[SelfEdit]] = {}
    for row, record in enumerate(read_jsonl(path), start=1):
        try:
            self_edit = SelfEdit(**record)
        except TypeError as error:
            raise UserError(
                f"{path} row {row} is no self-edit ({error}); use a self_edits.jsonl written by"
                " generate_self_edits.py"
            ) from None
        by_passage.setdefault(self_edit.passage_id, []).append(self_edit)
    for passage in passages:
        found = len(by_passage.get(passage.id, []))
        if found < k:
            raise UserError(
                f"{path}: passage {passage.id} has {found} self-edits, {k} are wanted; check"
                " --passages, --n_passages, --seed and --k"
            )
    return [self_edit for passage in passages for self_edit in by_passage[passage.id][:k]]
