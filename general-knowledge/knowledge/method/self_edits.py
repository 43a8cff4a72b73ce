"""Self-edits: what a policy writes about a passage for its own finetuning (paper, section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from knowledge.data.passages import Passage
from knowledge.data.prompts import self_edit_prompt, self_edit_values
from knowledge.method.writers import Assignment, PolicyWriter, Writer, write_texts
from knowledge.settings import SelfEditSettings
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.records import read_jsonl
from seal.run import Run


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
    return write_self_edits(run, passages, PolicyWriter(policy, settings), settings, seed)[0]


def write_self_edits(
    run: Run, passages: Sequence[Passage], writer: Writer, settings: SelfEditSettings, seed: int
) -> tuple[list[SelfEdit], dict[str, str]]:
    """Have any writer write what `sample_self_edits` has the policy write.

    Returns the self-edits passage by passage, and the reasons of those that are missing, by id.
    """
    assignments = self_edit_assignments(passages, settings)
    missing = write_texts(
        run,
        "self_edits",
        assignments,
        writer,
        seed,
        fields=lambda *_: {"kind": settings.prompt_kind},
        label="self-edits",
    )
    written = {record["id"]: SelfEdit(**record) for record in run.records("self_edits")}
    return [written[item.id] for item in assignments if item.id in written], missing


def self_edit_assignments(
    passages: Sequence[Passage], settings: SelfEditSettings
) -> list[Assignment]:
    """k self-edits to be written about every passage, each with an id of its own."""
    return [
        Assignment(
            id=f"{passage.id}/{settings.prompt_kind}/{number}",
            passage_id=passage.id,
            prompt=settings.prompt_kind,
            values=self_edit_values(passage),
        )
        for passage in passages
        for number in range(settings.k)
    ]


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
                " --passages, --n_passages, --round and --k, and whether its run left some missing"
            )
    return [self_edit for passage in passages for self_edit in by_passage[passage.id][:k]]
