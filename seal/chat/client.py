"""Chat completions from any OpenAI-compatible endpoint: many at a time, retried, kept on disk."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from seal.chat.cache import ReplyCache
from seal.chat.replies import Reply, parse_response
from seal.endpoints import KEY_VARIABLE, OPENAI_URL, check_url, find_api_key, redact
from seal.errors import UserError
from seal.event_loop import EventLoop

MAX_ATTEMPTS = 8
"""Of one call: half a minute with the SDK's pauses."""
_SECRET = 16  # characters of a key that no text has by chance

Messages = Sequence[Mapping[str, str]]
T = TypeVar("T")


class ChatClient:
    """Asks one model at one endpoint; safe for threads, which share its `concurrency`.

    `parameters` (temperature, max_tokens, ...) are sent with every call and are part of its key in
    the cache. Only what may pass is tried again: broken connections, malformed responses,
    redirects, 408, 409, 429 and 5xx.
    """

    def __init__(
        self,
        model: str,
        url: str = OPENAI_URL,
        *,
        api_key: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        cache: Path | None = None,
        concurrency: int = 32,
        timeout: float = 120.0,
    ) -> None:
        """`timeout` is in seconds, for an attempt from its first to its last byte.

        Raises UserError if the cache holds something else, and for a proxy or certificates that
        the environment names and that cannot be used.
        """
        from httpx2 import InvalidURL
        from openai import AsyncOpenAI  # takes a second to import

        from seal.chat.connection import Connection

        self.model = model
        self.url = url.rstrip("/")
        self._parameters = dict(parameters or {})
        self._cache = ReplyCache(cache) if cache else None
        self._key = api_key
        self._calls = asyncio.Semaphore(concurrency)
        try:
            self._connection = Connection(self.url, timeout)
        except (InvalidURL, ImportError, OSError, ValueError):  # ImportError: SOCKS lacks a package
            variables = "http_proxy, https_proxy, all_proxy and SSL_CERT_FILE"
            problem = "no connection can be set up with what the environment says"
            raise UserError(f"{self.url}: {problem}; correct or unset {variables}") from None
        self._api = AsyncOpenAI(
            api_key=api_key or "none",  # the SDK insists on one
            base_url=self.url,
            max_retries=MAX_ATTEMPTS - 1,
            timeout=timeout,
            http_client=self._connection,
        )
        # All threads' calls run on one event loop: an error or Ctrl-C cancels what is in flight
        self._events = EventLoop("chat")

    def close(self) -> None:
        """End the calls of all threads, which get a CancelledError, and the connections."""
        self._events.close(self._api.close)

    @property
    def name(self) -> str:
        """The model's name in results, with its URL where that is not OpenAI's."""
        return self.model if self.url == OPENAI_URL else f"{self.model} at {self.url}"

    def check(self) -> None:
        """Ask for one word; UserError if the endpoint does not answer, with this key and model."""
        question = {"role": "user", "content": "Reply with the word yes."}
        reply = self._events.run(self._ask([question], self._parameters))
        if reply.text is None:
            raise UserError(f"{self.url} does not answer as {self.model} ({reply.failure})")

    def complete(
        self,
        conversations: Sequence[Messages],
        keep: Callable[[Reply], bool] = lambda reply: True,
        seeds: Sequence[int] | None = None,
    ) -> list[Reply]:
        """One reply per conversation, in order; what is in the cache costs no call.

        `keep` says which replies go into the cache, and which of those that are in it will do.
        `seeds`, one for each conversation, are sent along and let equal conversations have
        different replies. Raises UserError where no further call can succeed: an endpoint that was
        never reached, a wrong key, an unknown model, used-up credit, LOST_AFTER failed calls in a
        row. What came until then is in the cache.
        """
        own = [{"seed": seed} for seed in seeds] if seeds else [{} for _ in conversations]
        calls = [
            (messages, self._parameters | seed)
            for messages, seed in zip(conversations, own, strict=True)
        ]

        async def complete_all() -> list[Reply]:
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(self._complete(*call, keep)) for call in calls]
            return [task.result() for task in asked]

        return self._events.run(complete_all())

    def read(
        self,
        conversations: Sequence[Messages | None],
        reader: Callable[[Reply], T | None],
        unclear: str,
        *,
        unasked: T,
    ) -> list[tuple[T | None, str | None]]:
        """What `reader` makes of each reply with a text, or None and the reason.

        The reason is a failure, an end such as "length", else `unclear`. Only replies that the
        reader understands are kept. A conversation of None costs no call and has the value
        `unasked`. Raises UserError as `complete` does.
        """
        asked = [messages for messages in conversations if messages is not None]
        replies = iter(self.complete(asked, keep=lambda reply: reader(reply) is not None))
        read: list[tuple[T | None, str | None]] = []
        for messages in conversations:
            value, reason = unasked, None
            if messages is not None:
                reply = next(replies)
                value = None if reply.text is None else reader(reply)
                if value is None:
                    unfinished = f"an unfinished reply ({reply.finish_reason})"
                    reason = reply.failure or (unclear if reply.finished else unfinished)
            read.append((value, reason))
        return read

    async def _complete(
        self, messages: Messages, parameters: Mapping[str, Any], keep: Callable[[Reply], bool]
    ) -> Reply:
        call = [self.url, self.model, list(map(dict, messages)), dict(parameters)]
        key = hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()

        def find() -> Reply | None:
            kept = self._cache.get(key) if self._cache else None
            return kept if kept and keep(kept) else None

        kept = find()
        if kept:
            return kept
        async with self._calls:
            reply = await self._ask(messages, parameters)
        if not self._cache or reply.text is None or not keep(reply):
            return reply
        kept = find()  # an equal call may have been answered meanwhile
        if not kept:
            self._cache.put(key, reply)
        return kept or reply

    async def _ask(self, messages: Messages, parameters: Mapping[str, Any]) -> Reply:
        import httpx2
        import openai

        try:
            response = await self._api.chat.completions.with_raw_response.create(
                model=self.model, messages=list(messages), **parameters
            )
        except openai.APIStatusError as error:
            self._raise_if_hopeless(error)
            if error.status_code in (408, 409, 429) or not 400 <= error.status_code < 500:
                self._connection.count(succeeded=False)
            return Reply(None, self._describe(error))  # another call need not be refused
        except openai.APIConnectionError as error:
            self._connection.count(succeeded=False)
            cause = error.__cause__ or error
            malformed = isinstance(cause, httpx2.DecodingError)
            return Reply(None, "malformed response" if malformed else type(cause).__name__)
        except UnicodeError:  # half of a surrogate pair in a question
            return Reply(None, "a question that is no text")
        self._connection.count(succeeded=True)
        reply = parse_response(response.content) or Reply(None, "malformed response")
        return self._without_key(reply)

    def _raise_if_hopeless(self, error: Any) -> None:
        """Raise UserError for what every further call would meet."""
        status = error.status_code
        if status in (401, 403):
            problem = f" refuses the key (status {status}); set a valid {KEY_VARIABLE} in .env"
        elif status == 404:
            missing = f" does not serve {self.model} ({self._describe(error)})"
            problem = f"{missing}; check the model's name and the URL"
        elif error.code == "insufficient_quota":
            problem = f": the key's credit is used up; add credit or set another {KEY_VARIABLE}"
        else:
            return
        raise UserError(self.url + problem) from None

    def _describe(self, error: Any) -> str:
        """Status and message of a refusal, without the key should the endpoint quote it."""
        message = error.body["message"]
        return self._shorten(f"status {error.status_code}" + (f": {message}" if message else ""))

    def _shorten(self, text: str) -> str:
        """What an endpoint says beside a text, for a message, without the key."""
        return redact(text[:1000], self._key)[:300]

    def _without_key(self, reply: Reply) -> Reply:
        """The reply without the key; a text alone may have what is merely part of it."""
        text, key = reply.text, self._key
        if text is not None and key and len(key) >= _SECRET:
            text = text.replace(key, "***")
        failure = self._shorten(reply.failure) if reply.failure else None
        reason = self._shorten(reply.finish_reason)
        return replace(reply, text=text, failure=failure, finish_reason=reason)


def open_endpoint(
    settings: Any, role: str, parameters: Mapping[str, Any], *, instead: str, timeout: float = 120.0
) -> ChatClient:
    """A client of the endpoint that ROLE_model, ROLE_url, ROLE_cache, ROLE_concurrency name.

    These are fields of `settings`; `instead` is the flag that does without an endpoint. Raises
    UserError for a URL that `check_url` refuses, an endpoint that does not answer, and without a
    key for OpenAI's own (no URL).
    """
    model, url = (getattr(settings, f"{role}_{name}") for name in ("model", "url"))
    local = {name: getattr(settings, f"{role}_{name}") for name in ("cache", "concurrency")}
    if url is not None:
        check_url(url, f"--{role}_url")
    key = find_api_key()
    if not key and not url:
        raise UserError(f"set {KEY_VARIABLE} in .env, or use {instead}")
    if url and redact(url, key) != url:
        raise UserError(f"--{role}_url: a URL that holds the key; leave it out, it is sent anyway")
    client = ChatClient(
        model, url or OPENAI_URL, api_key=key, parameters=parameters, timeout=timeout, **local
    )
    client.check()
    return client


def check_failures(
    reasons: Sequence[str | None], n_asked: int, what: str, max_share: float, flag: str
) -> str:
    """How many of `n_asked` failed and mostly why, in words; `what` is "answers are missing".

    Raises UserError with these words if more than `max_share` failed, which `flag` sets.
    """
    most = Counter(reason for reason in reasons if reason).most_common(1)
    found = f"{len(reasons)} of {n_asked} {what}" + "".join(f" (mostly: {r})" for r, _ in most)
    if len(reasons) > max_share * n_asked:
        again = "run the same command again to ask for these alone"
        raise UserError(f"{found}; {again}, or raise {flag}")
    return found
