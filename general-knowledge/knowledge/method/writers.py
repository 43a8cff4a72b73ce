"""Who writes texts about passages: the policy, or a chat model behind an endpoint.

Chat models get the system and the user message of a prompt file, base models its prompt and cue.
A missing text (refused, blank, unfit for its use) is asked for again with another seed, ATTEMPTS
times in all. Then it stays missing, with its reason, until the run is started again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Protocol

from knowledge.data.prompts import chat_messages, policy_prompt
from knowledge.settings import SamplingSettings, WriterSettings
from seal.chat.client import ChatClient, Reply, check_failures, open_endpoint
from seal.loop.policy import Policy, open_policy
from seal.records import Record
from seal.run import Run
from seal.sampling import SampleRequest, SamplingParameters
from seal.seeds import derive_seed

ATTEMPTS = 3
Keep = Callable[[str], bool]
"""Whether a text will do; only such texts are cached."""

_TIMEOUT = 600.0  # seconds: 8,192 tokens from a busy endpoint take minutes
_GROUPS_AT_A_TIME = 4


@dataclass(frozen=True)
class Assignment:
    """A text to be written: a prompt file, by its name, and what is filled in."""

    id: str
    passage_id: str
    prompt: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class WrittenText:
    """A line of a file of texts, such as EntiGraph's."""

    id: str
    passage_id: str
    text: str
    finish_reason: str
    n_tokens: int
    token_ids: list[int] | None = None
    entities: list[str] | None = None

    def __post_init__(self) -> None:
        if self.n_tokens < 0:
            raise ValueError(f"{self.n_tokens} tokens are too few")


class Writer(Protocol):
    """Anything that writes."""

    name: str
    group_size: int
    """Assignments of one call of `write`."""
    batched: bool
    """Whether a text may depend on the others of its call, in its last bits."""

    def write(self, items: Sequence[Assignment], seeds: Sequence[int], keep: Keep) -> list[Reply]:
        """One text per assignment, in order, or the reason why there is none."""
        ...


class PolicyWriter:
    """The policy, sampled with its own weights; each of its texts counts, even a blank one.

    About a passage whose id is in `adapters` it writes under that adapter. `group_size` defaults to
    the sampler's batch.
    """

    name = "policy"
    batched = True

    def __init__(
        self,
        policy: Policy,
        settings: SamplingSettings,
        adapters: Mapping[str, Path] | None = None,
        group_size: int | None = None,
    ) -> None:
        self.group_size = group_size or policy.settings.sampling_batch
        self._policy = policy
        self._settings = settings
        self._adapters = adapters or {}

    def write(self, items: Sequence[Assignment], seeds: Sequence[int], keep: Keep) -> list[Reply]:
        """One text per assignment, in one call of the sampler."""
        settings, tokenizer = self._settings, self._policy.tokenizer
        prompts = [policy_prompt(f"{i.prompt}.txt", i.values, settings, tokenizer) for i in items]
        requests = [
            SampleRequest(prompt, seed, self._adapters.get(item.passage_id))
            for prompt, seed, item in zip(prompts, seeds, items, strict=True)
        ]
        parameters = SamplingParameters(
            settings.max_new_tokens, temperature=settings.temperature, top_p=settings.top_p
        )
        return [
            Reply(done.text, None, done.finish_reason, len(done.token_ids), done.token_ids)
            for done in self._policy.sampler.complete(requests, parameters)
        ]


class ChatWriter:
    """A chat model; a refusal or a blank text is a failure."""

    batched = False

    def __init__(self, client: ChatClient, settings: SamplingSettings, concurrency: int) -> None:
        self.name = client.name
        self.group_size = _GROUPS_AT_A_TIME * concurrency
        self._client = client
        self._settings = settings

    def write(self, items: Sequence[Assignment], seeds: Sequence[int], keep: Keep) -> list[Reply]:
        """One text per assignment; UserError where the endpoint will answer no further call."""
        conversations = [_messages(self._settings, item) for item in items]
        replies = self._client.complete(
            conversations, keep=lambda text: bool(text.strip()) and keep(text), seeds=seeds
        )
        blank = Reply(None, "a blank text")
        return [reply if reply.text is None or reply.text.strip() else blank for reply in replies]


def open_writer(settings: WriterSettings, log: Path) -> AbstractContextManager[Writer]:
    """The writer that the flags ask for; a policy is loaded on entering, and its server gone after.

    `log` gets a server's output. Raises UserError at once as `open_endpoint` does.
    """
    if settings.writer == "policy":
        return _open_policy_writer(settings, log)
    parameters = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_new_tokens,
    }
    instead = "--writer policy"
    client = open_endpoint(settings, "writer", parameters, instead=instead, timeout=_TIMEOUT)
    return nullcontext(ChatWriter(client, settings, settings.writer_concurrency))


@contextmanager
def _open_policy_writer(settings: WriterSettings, log: Path) -> Iterator[Writer]:
    with open_policy(settings.model, settings, log) as policy:
        yield PolicyWriter(policy, settings)


def write_texts(
    run: Run,
    records: str,
    assignments: Sequence[Assignment],
    writer: Writer,
    seed: int,
    *,
    fields: Callable[[Assignment, str], Record],
    label: str,
    objection: Callable[[str], str | None] = lambda text: None,
) -> dict[str, str]:
    """Have everything written that RUN/`records`.jsonl lacks, and append it.

    `fields` gives what a record holds beside its ids and the reply; `objection` says why a text
    will not do, or None. Returns the reasons of what is missing, by id.
    """
    known = set() if writer.batched else run.ids(records)
    wanted = [assignment for assignment in assignments if assignment.id not in known]
    groups = list(run.pending_groups(records, wanted, writer.group_size, key=attrgetter("id")))
    missing: dict[str, str] = {}
    with run.progress(sum(map(len, groups)), label) as bar:
        for group in groups:
            replies = _attempt(group, writer, seed, objection)
            written = []
            for item, reply in zip(group, replies, strict=True):
                if reply.text is None:
                    missing[item.id] = reply.failure or ""
                    continue
                ids = {"id": item.id, "passage_id": item.passage_id}
                said = {name: value for name, value in asdict(reply).items() if value is not None}
                written.append(ids | fields(item, reply.text) | said)
            run.append(records, *written)
            bar.update(len(group))
    return missing


def _attempt(
    group: Sequence[Assignment], writer: Writer, seed: int, objection: Callable[[str], str | None]
) -> list[Reply]:
    """The replies to a group, in order; a text that will not do has given way to the reason."""
    replies = {item.id: Reply(None) for item in group}
    for attempt in range(ATTEMPTS):
        missing = [item for item in group if replies[item.id].text is None]
        if not missing:
            break
        seeds = [derive_seed(seed, item.id, attempt) for item in missing]
        written = writer.write(missing, seeds, lambda text: objection(text) is None)
        for item, reply in zip(missing, written, strict=True):
            fault = None if reply.text is None else objection(reply.text)
            replies[item.id] = Reply(None, fault) if fault else reply
    return list(replies.values())


def report_missing(
    run: Run, missing: Mapping[str, str], n_wanted: int, max_share: float, what: str
) -> None:
    """Write RUN/missing.jsonl again, say what is missing; UserError for more than `max_share`."""
    listed = run.path("missing.jsonl")
    run.replace("missing", ({"id": id_, "reason": why} for id_, why in missing.items()))
    reasons = list(missing.values())
    found = check_failures(reasons, n_wanted, f"{what} are missing", max_share, "--max_missing")
    if missing:
        run.say(f"{found}, see {listed}; the same command asks again for these alone")


def count_characters(assignments: Sequence[Assignment], settings: SamplingSettings) -> int:
    """Characters of the prompts, as a chat model is sent them."""
    return sum(
        len(message["content"]) for item in assignments for message in _messages(settings, item)
    )


def _messages(settings: SamplingSettings, item: Assignment) -> list[dict[str, str]]:
    return chat_messages(settings.prompt_folder / f"{item.prompt}.txt", item.values)
