"""Who writes texts about passages: the policy, or a chat model behind an endpoint.

Chat models get the system and the user message of a prompt file, base models its prompt and cue.
A text that could not be had (refused, blank, unfit for its use) is asked for again with another
seed, ATTEMPTS times in all. Then it is missing, with its reason, until the run is started again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Protocol

from knowledge.data.prompts import chat_messages, render_prompt
from knowledge.settings import SamplingSettings, WriterSettings
from seal.chat.client import ChatClient
from seal.chat.endpoints import endpoint_name, open_endpoint
from seal.errors import UserError
from seal.loop.policy import Policy, open_policy
from seal.records import Record, write_jsonl
from seal.run import Run
from seal.sampling import SampleRequest, SamplingParameters
from seal.seeds import derive_seed

ATTEMPTS = 3
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
class Draft:
    """What a writer made of an assignment: a text, or the reason why there is none."""

    text: str | None
    finish_reason: str = "stop"
    n_tokens: int = 0
    failure: str | None = None


class Writer(Protocol):
    """Whoever writes."""

    name: str
    group_size: int
    """Assignments of one call of `write`."""
    batched: bool
    """Whether a text may depend on the others of its call, in its last bits."""

    def write(
        self, assignments: Sequence[Assignment], seeds: Sequence[int], keep: Callable[[str], bool]
    ) -> list[Draft]:
        """One draft per assignment, in order; a text that `keep` refuses is not cached."""
        ...


class PolicyWriter:
    """The policy, sampled with its own weights; every text of its counts, a blank one too.

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

    def write(
        self, assignments: Sequence[Assignment], seeds: Sequence[int], keep: Callable[[str], bool]
    ) -> list[Draft]:
        """One draft per assignment, in one call of the sampler."""
        settings = self._settings
        tokenizer = self._policy.tokenizer if settings.chat else None
        requests = [
            SampleRequest(
                render_prompt(_prompt_file(settings, item.prompt), item.values, tokenizer),
                seed=seed,
                adapter=self._adapters.get(item.passage_id),
            )
            for item, seed in zip(assignments, seeds, strict=True)
        ]
        parameters = SamplingParameters(
            settings.max_new_tokens, temperature=settings.temperature, top_p=settings.top_p
        )
        return [
            Draft(completion.text, completion.finish_reason, completion.n_tokens)
            for completion in self._policy.sampler.complete(requests, parameters)
        ]


class ChatWriter:
    """A chat model; a refusal or a blank text is a failure."""

    batched = False

    def __init__(self, client: ChatClient, settings: SamplingSettings, concurrency: int) -> None:
        self.name = endpoint_name(client)
        self.group_size = _GROUPS_AT_A_TIME * concurrency
        self._client = client
        self._settings = settings

    def write(
        self, assignments: Sequence[Assignment], seeds: Sequence[int], keep: Callable[[str], bool]
    ) -> list[Draft]:
        """One draft per assignment; UserError where the endpoint will answer no further call."""
        conversations = [
            chat_messages(_prompt_file(self._settings, item.prompt), item.values)
            for item in assignments
        ]
        replies = self._client.complete(
            conversations, keep=lambda text: bool(text.strip()) and keep(text), seeds=seeds
        )
        return [
            Draft(reply.text, reply.finish_reason, reply.n_tokens)
            if (reply.text or "").strip()
            else Draft(None, failure=reply.failure or "a blank text")
            for reply in replies
        ]


def open_writer(settings: WriterSettings, log: Path) -> AbstractContextManager[Writer]:
    """The writer that the flags ask for; a policy is loaded on entering, and its server gone after.

    `log` is where a server's output goes. Raises UserError at once for an endpoint without a key,
    and for one that does not answer.
    """
    if settings.writer == "policy":
        return _open_policy_writer(settings, log)
    client = open_endpoint(
        "writer",
        settings.writer_model,
        settings.writer_url,
        parameters={
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_new_tokens,
        },
        cache=settings.writer_cache,
        concurrency=settings.writer_concurrency,
        instead="--writer policy",
        timeout=_TIMEOUT,
    )
    return nullcontext(ChatWriter(client, settings, settings.writer_concurrency))


@contextmanager
def _open_policy_writer(settings: WriterSettings, log: Path) -> Iterator[Writer]:
    with open_policy(settings.model, settings, log) as policy:
        yield PolicyWriter(policy, settings)


def _prompt_file(settings: SamplingSettings, name: str) -> Path:
    return settings.prompt_folder / f"{name}.txt"


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

    `fields` are what a record holds beside the text, its ids, its end and its length in tokens;
    `objection` says why a text will not do, if it will not. Returns the reasons of what is missing,
    by id.
    """
    known = set() if writer.batched else run.ids(records)
    wanted = [assignment for assignment in assignments if assignment.id not in known]
    groups = list(run.pending_groups(records, wanted, writer.group_size, key=attrgetter("id")))
    missing: dict[str, str] = {}
    with run.progress(sum(map(len, groups)), label) as bar:
        for group in groups:
            drafts = _attempt(group, writer, seed, objection)
            run.append(records, *_records_of(drafts, fields))
            missing |= {i.id: draft.failure or "" for i, draft in drafts if draft.text is None}
            bar.update(len(group))
    return missing


def _records_of(
    drafts: Sequence[tuple[Assignment, Draft]], fields: Callable[[Assignment, str], Record]
) -> list[Record]:
    return [
        {
            "id": item.id,
            "passage_id": item.passage_id,
            **fields(item, draft.text),
            "text": draft.text,
            "finish_reason": draft.finish_reason,
            "n_tokens": draft.n_tokens,
        }
        for item, draft in drafts
        if draft.text is not None
    ]


def _attempt(
    group: Sequence[Assignment],
    writer: Writer,
    seed: int,
    objection: Callable[[str], str | None],
) -> list[tuple[Assignment, Draft]]:
    """The drafts of a group; those that will not do have lost their text for a reason."""
    drafts: dict[str, Draft] = {}
    open_items = list(group)
    for attempt in range(ATTEMPTS):
        seeds = [derive_seed(seed, item.id, attempt) for item in open_items]
        written = writer.write(open_items, seeds, lambda text: objection(text) is None)
        for item, draft in zip(open_items, written, strict=True):
            fault = None if draft.text is None else objection(draft.text)
            drafts[item.id] = Draft(None, failure=fault) if fault else draft
        open_items = [item for item in open_items if drafts[item.id].text is None]
        if not open_items:
            break
    return [(item, drafts[item.id]) for item in group]


def report_missing(
    run: Run, missing: Mapping[str, str], n_wanted: int, max_share: float, what: str
) -> None:
    """Write RUN/missing.jsonl, anew at every start, and say what is missing, if anything is.

    Raises UserError, with the most frequent reason, if it is more than `max_share` of what was
    wanted.
    """
    write_jsonl(
        run.path("missing.jsonl"), ({"id": id_, "reason": why} for id_, why in missing.items())
    )
    if not missing:
        return
    most = Counter(missing.values()).most_common(1)[0][0]
    found = f"{len(missing)} of {n_wanted} {what} could not be had (mostly: {most})"
    again = "the same command asks again for these alone"
    if len(missing) > max_share * n_wanted:
        raise UserError(f"{found}; {again}, or raise --max_missing")
    run.say(f"{found}, see {run.path('missing.jsonl')}; {again}")


def count_characters(assignments: Sequence[Assignment], settings: SamplingSettings) -> int:
    """Characters of the prompts, as a chat model is sent them."""
    return sum(
        len(message["content"])
        for item in assignments
        for message in chat_messages(_prompt_file(settings, item.prompt), item.values)
    )
