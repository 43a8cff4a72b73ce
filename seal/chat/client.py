"""Chat completions from any OpenAI-compatible endpoint: many at a time, retried, kept on disk."""

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from seal.errors import UserError
from seal.records import append_jsonl

OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
MAX_ATTEMPTS = 8
"""Of one call: half a minute with the SDK's pauses."""

Messages = Sequence[Mapping[str, str]]
T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """What a call came to: a text, or the reason why there is none."""

    text: str | None
    failure: str | None = None
    finish_reason: str = "stop"
    """As the endpoint says it: "length" for a text that was cut off."""
    n_tokens: int = 0
    """Of the text, as the endpoint counts them; 0 if it does not."""
    token_ids: tuple[int, ...] | None = None
    """Those of a policy's text; endpoints do not say them."""


def find_api_key() -> str | None:
    """OPENAI_API_KEY of the environment, else of a .env here or in a folder above; None without."""
    from dotenv import dotenv_values, find_dotenv

    key = os.environ.get(KEY_VARIABLE) or dotenv_values(find_dotenv(usecwd=True)).get(KEY_VARIABLE)
    return key.strip() if key and key.strip() else None


class ChatClient:
    """Asks one model at one endpoint; safe for threads, which share its `concurrency`.

    `parameters` (temperature, max_tokens, ...) are sent with every call and are part of its key in
    the cache. Only what may pass is tried again: broken connections, malformed responses, 408, 409,
    429 and 5xx.
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
        """`timeout` is in seconds, for one attempt. UserError if the cache holds something else."""
        from openai import OpenAI  # takes a second to import

        from seal.chat.connection import Connection

        self.model = model
        self.url = url.rstrip("/")
        self._parameters = dict(parameters or {})
        self._cache = ReplyCache(cache) if cache else None
        self._key = api_key
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="chat")
        self._connection = Connection(self.url, timeout)
        self._api = OpenAI(
            api_key=api_key or "none",  # the SDK insists on one
            base_url=self.url,
            max_retries=MAX_ATTEMPTS - 1,
            timeout=timeout,
            http_client=self._connection,
        )

    @property
    def name(self) -> str:
        """The model's name in results, with its URL where that is not OpenAI's."""
        return self.model if self.url == OPENAI_URL else f"{self.model} at {self.url}"

    def check(self) -> None:
        """Ask for one word; UserError if the endpoint does not answer, with this key and model."""
        question = {"role": "user", "content": "Reply with the word yes."}
        reply = self._ask([question], self._parameters)
        if reply.text is None:
            raise UserError(f"{self.url} does not answer as {self.model} ({reply.failure})")

    def complete(
        self,
        conversations: Sequence[Messages],
        keep: Callable[[str], bool] = lambda text: True,
        seeds: Sequence[int] | None = None,
    ) -> list[Reply]:
        """One reply per conversation, in order; what is in the cache costs no call.

        `keep` says which replies go into the cache. `seeds`, one for each conversation, are sent
        along and let equal conversations have different replies. Raises UserError where no further
        call can succeed: an endpoint that was never reached, a wrong key, an unknown model, used-up
        credit, LOST_AFTER failed calls in a row. What came until then is in the cache.
        """
        own = [{"seed": seed} for seed in seeds] if seeds else [{} for _ in conversations]
        futures = [
            self._pool.submit(self._complete, messages, self._parameters | seed, keep)
            for messages, seed in zip(conversations, own, strict=True)
        ]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def read(
        self,
        conversations: Sequence[Messages | None],
        reader: Callable[[str], T | None],
        unclear: str,
        *,
        unasked: T,
    ) -> list[tuple[T | None, str | None]]:
        """What `reader` makes of each reply, or None and the reason: a failure, else `unclear`.

        Only replies that the reader understands are kept. A conversation of None costs no call and
        has the value `unasked`. Raises UserError as `complete` does.
        """
        asked = [messages for messages in conversations if messages is not None]
        replies = iter(self.complete(asked, keep=lambda text: reader(text) is not None))
        read: list[tuple[T | None, str | None]] = []
        for messages in conversations:
            value, reason = unasked, None
            if messages is not None:
                reply = next(replies)
                value = None if reply.text is None else reader(reply.text)
                reason = None if value is not None else reply.failure or unclear
            read.append((value, reason))
        return read

    def _complete(
        self, messages: Messages, parameters: Mapping[str, Any], keep: Callable[[str], bool]
    ) -> Reply:
        call = [self.url, self.model, list(map(dict, messages)), dict(parameters)]
        key = hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()
        cached = self._cache.get(key) if self._cache else None
        if cached is not None:
            return cached
        reply = self._ask(messages, parameters)
        if self._cache and reply.text is not None and keep(reply.text):
            self._cache.put(key, reply)
        return reply

    def _ask(self, messages: Messages, parameters: Mapping[str, Any]) -> Reply:
        import httpx2
        import openai

        try:
            completion = self._api.chat.completions.create(
                model=self.model, messages=list(messages), **parameters
            )
        except openai.APIStatusError as error:
            self._raise_if_hopeless(error)
            if error.status_code in (408, 409, 429) or error.status_code >= 500:
                self._connection.count(succeeded=False)
            return Reply(None, self._describe(error))  # another call need not be refused
        except openai.APIConnectionError as error:
            self._connection.count(succeeded=False)
            cause = error.__cause__ or error
            malformed = isinstance(cause, httpx2.DecodingError)
            return Reply(None, "malformed response" if malformed else type(cause).__name__)
        self._connection.count(succeeded=True)
        choice = completion.choices[0]
        text, reason = choice.message.content, choice.finish_reason
        if not isinstance(text, str) or reason == "content_filter":
            return Reply(None, f"no text ({reason})")
        n_tokens = getattr(completion.usage, "completion_tokens", None) or 0
        return Reply(text, finish_reason=reason or "stop", n_tokens=n_tokens)

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
        message = error.body.get("message") if isinstance(error.body, dict) else None
        text = f"status {error.status_code}" + (f": {message}" if message else "")
        return text.replace(self._key, "***")[:300] if self._key else text[:300]


class ReplyCache:
    """Replies in a JSONL file, by the SHA-256 of everything that a reply depends on.

    The file is only ever appended to, so several processes may share it. A line that a killed
    process left unfinished is ignored. Safe for threads.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError if the file holds something else."""
        self._path = path
        self._writing = threading.Lock()
        data = path.read_bytes() if path.exists() else b""
        *lines, last = data.decode(errors="replace").split("\n")
        self._unfinished_line = bool(last)
        self._replies = dict(filter(None, map(_parse_kept, lines)))
        if lines and not self._replies:
            problem = "does not hold replies of a chat model; name another cache file"
            raise UserError(f"{path} {problem}")

    def get(self, key: str) -> Reply | None:
        """The reply kept under a key, or None."""
        return self._replies.get(key)

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply; it is in the file when this returns."""
        with self._writing:
            if self._unfinished_line:  # or it would swallow the next one
                with self._path.open("ab") as file:
                    file.write(b"\n")
                self._unfinished_line = False
            end = {"finish_reason": reply.finish_reason, "n_tokens": reply.n_tokens}
            append_jsonl(self._path, {"key": key, "reply": reply.text, **end})
            self._replies[key] = reply


def _parse_kept(line: str) -> tuple[str, Reply] | None:
    try:
        match json.loads(line):
            case {"key": str(key), "reply": str(text), **end}:
                finish_reason, n_tokens = end.get("finish_reason", "stop"), end.get("n_tokens", 0)
                return key, Reply(text, finish_reason=finish_reason, n_tokens=n_tokens)
    except json.JSONDecodeError:
        pass
    return None


def open_endpoint(
    settings: Any, role: str, parameters: Mapping[str, Any], *, instead: str, timeout: float = 120.0
) -> ChatClient:
    """A client of the endpoint that ROLE_model, ROLE_url, ROLE_cache, ROLE_concurrency name.

    These are fields of `settings`; `instead` is the flag that does without an endpoint. Raises
    UserError for one that does not answer, and without a key for OpenAI's own (no URL).
    """
    model, url = (getattr(settings, f"{role}_{name}") for name in ("model", "url"))
    local = {name: getattr(settings, f"{role}_{name}") for name in ("cache", "concurrency")}
    key = find_api_key()
    if not key and not url:
        raise UserError(f"set {KEY_VARIABLE} in .env, or use {instead}")
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
