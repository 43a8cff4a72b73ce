"""Self-edits: what a policy writes about a passage for its own finetuning (paper, section 3)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from knowledge.data.passages import Passage
from knowledge.data.prompts import self_edit_values
from knowledge.method.writers import Assignment, PolicyWriter, Writer, write_texts
from knowledge.settings import SelfEditSettings
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.loop.self_edit_files import check_id, first_self_edits
from seal.records import Record
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
    token_ids: list[int] | None = None
    """What the policy sampled, the end of text included; None for one that it did not write."""

    def __post_init__(self) -> None:
        check_id(self.id, self.passage_id)
        if self.n_tokens < 0:
            raise ValueError(f"{self.n_tokens} tokens are too few")

    @property
    def record(self) -> Record:
        """A line of self_edits.jsonl."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def sample_self_edits(
    run: Run, passages: Sequence[Passage], policy: Policy, settings: SelfEditSettings, seed: int
) -> list[SelfEdit]:
    """The E-step: k self-edits per passage, all returned; RUN/self_edits.jsonl gets new ones."""
    return write_self_edits(run, passages, PolicyWriter(policy, settings), settings, seed)[0]


def write_self_edits(
    run: Run, passages: Sequence[Passage], writer: Writer, settings: SelfEditSettings, seed: int
) -> tuple[list[SelfEdit], dict[str, str]]:
    """As `sample_self_edits`, by any writer; also the reasons of what is missing, by id."""
    assignments = self_edit_assignments(passages, settings)
    kind = {"kind": settings.prompt_kind}
    missing = write_texts(
        run, "self_edits", assignments, writer, seed, fields=lambda *_: kind, label="self-edits"
    )
    written = {self_edit.id: self_edit for self_edit in run.records("self_edits", SelfEdit)}
    for item in assignments:
        found = written.get(item.id)
        if found and (found.passage_id, found.kind) != (item.passage_id, settings.prompt_kind):
            raise UserError(
                f"{run.path('self_edits.jsonl')}: {item.id} is of passage {found.passage_id} and"
                f" kind {found.kind}; delete its row to have it written again"
            )
    return [written[item.id] for item in assignments if item.id in written], missing


def self_edit_assignments(
    passages: Sequence[Passage], settings: SelfEditSettings
) -> list[Assignment]:
    """k self-edits to be written about every passage, each with an id of its own."""
    kind = settings.prompt_kind
    return [
        Assignment(f"{passage.id}/{kind}/{number}", passage.id, kind, self_edit_values(passage))
        for passage in passages
        for number in range(settings.k)
    ]


def read_self_edits(path: Path, passages: Sequence[Passage], k: int) -> list[SelfEdit]:
    """The first k self-edits per passage of a file; UserError as `first_self_edits` says."""
    flags = "--passages, --n_passages, --round and --k, and whether its run left some missing"
    passage_ids = [passage.id for passage in passages]
    return first_self_edits(path, SelfEdit, "passage", passage_ids, k, flags)
