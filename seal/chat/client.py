"""Chat completions from any OpenAI-compatible endpoint: many at a time, retried, kept on disk."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal.errors import UserError
from seal.records import Record, append_jsonl

OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
MAX_ATTEMPTS = 6
MAX_PAUSE = 60.0
"""Seconds between two attempts at most, also for an endpoint that asks for more."""
LOST_AFTER = 20
"""Calls in a row that fail with all their attempts, after which the endpoint is given up."""

_KEPT_DETAILS = ("finish_reason", "n_tokens")
_PASSING_STATUSES = frozenset({408, 409, 429})

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Reply:
    """What a call came to: a text, or the reason why there is none."""

    text: str | None
    failure: str | None = None
    finish_reason: str = "stop"
    """As the endpoint says it: "length" for a text that was cut off."""
    n_tokens: int = 0
    """Of the text, as the endpoint counts them; 0 if it does not."""


def find_api_key() -> str | None:
    """OPENAI_API_KEY of the environment, else of a .env here or in a folder above; None without."""
    from dotenv import dotenv_values, find_dotenv

    key = os.environ.get(KEY_VARIABLE) or dotenv_values(find_dotenv(usecwd=True)).get(KEY_VARIABLE)
    return key.strip() if key and key.strip() else None


class ChatClient:
    """Asks one model at one endpoint; safe for threads, which share its `concurrency`.

    `parameters` (temperature, max_tokens, ...) are sent with every call and are part of its key in
    the cache. Only what may pass is tried again, with doubling pauses or those that the endpoint
    asks for: broken connections, malformed responses, 408, 409, 429 and 5xx.
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
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Opens no connection yet; `timeout` is in seconds, for one attempt.

        Raises UserError for a cache file that is none.
        """
        from openai import OpenAI  # takes a second to import

        self.model = model
        self.url = url.rstrip("/")
        self._parameters = dict(parameters or {})
        self._cache = ReplyCache(cache) if cache else None
        self._sleep = sleep
        self._key = api_key
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="chat")
        # The SDK insists on a key; an endpoint that wants none ignores it
        self._api = OpenAI(
            api_key=api_key or "none", base_url=self.url, max_retries=0, timeout=timeout
        )
        self._counting = threading.Lock()
        self._failures_in_a_row = 0
        self._reached = False

    def check(self) -> None:
        """Ask for one word: does the endpoint answer, with this key and model?

        Raises UserError that names the endpoint and the mend.
        """
        reply = self._ask(
            [{"role": "user", "content": "Reply with the word yes."}], self._parameters
        )
        if reply.text is None:
            raise UserError(f"{self.url} does not answer as {self.model} ({reply.failure})")

    def complete(
        self,
        conversations: Sequence[Messages],
        keep: Callable[[str], bool] = lambda text: True,
        seeds: Sequence[int] | None = None,
    ) -> list[Reply]:
        """One reply per conversation, in order; what is in the cache costs no call.

        `keep` says which replies go into the cache; others will be asked for again. `seeds`, one
        for each conversation, are sent along and let equal conversations have different replies.
        Raises UserError where no further call can succeed: an endpoint that was never reached, a
        wrong key, an unknown model, used-up credit, LOST_AFTER failed calls in a row. What came
        until then is in the cache.
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

    def _complete(
        self, messages: Messages, parameters: Mapping[str, Any], keep: Callable[[str], bool]
    ) -> Reply:
        key = self._cache_key(messages, parameters)
        cached = self._cache.get(key) if self._cache else None
        if cached is not None:
            return cached
        reply = self._ask(messages, parameters)
        if self._cache and reply.text is not None and keep(reply.text):
            self._cache.put(key, reply)
        return reply

    def _cache_key(self, messages: Messages, parameters: Mapping[str, Any]) -> str:
        call = [self.url, self.model, list(map(dict, messages)), dict(parameters)]
        return hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()

    def _ask(self, messages: Messages, parameters: Mapping[str, Any]) -> Reply:
        """One call with its repetitions; raises UserError as `complete` says."""
        import openai

        failure = ""
        for attempt in range(MAX_ATTEMPTS):
            self._raise_if_lost()
            pause = 2.0**attempt
            try:
                completion = self._api.chat.completions.create(
                    model=self.model, messages=list(messages), **parameters
                )
                self._reached = True
                return self._read(completion)
            except openai.APIStatusError as error:
                self._reached = True
                self._raise_if_hopeless(error)
                failure = self._describe(error)
                if error.status_code not in _PASSING_STATUSES and error.status_code < 500:
                    return Reply(None, failure)  # this call is refused, others need not be
                pause = _asked_pause(error) or pause
            except openai.APIConnectionError as error:
                failure = type(error.__cause__ or error).__name__
                if not self._reached:
                    raise UserError(
                        f"{self.url} cannot be reached ({failure}); check the URL, and that its"
                        " server runs"
                    ) from None
            except (_MalformedError, json.JSONDecodeError):
                failure = "malformed response"
            if attempt + 1 < MAX_ATTEMPTS:
                self._sleep(min(pause, MAX_PAUSE))
        with self._counting:
            self._failures_in_a_row += 1
        return Reply(None, failure)

    def _read(self, completion: Any) -> Reply:
        """The text of a response; without one, or where a filter cut it off, why there is none."""
        try:
            choice = completion.choices[0]
            text, reason = choice.message.content, choice.finish_reason
        except (AttributeError, IndexError, TypeError):
            raise _MalformedError from None
        with self._counting:
            self._failures_in_a_row = 0
        if not isinstance(text, str) or reason == "content_filter":
            return Reply(None, f"no text ({reason})")
        tokens = getattr(completion.usage, "completion_tokens", None)
        return Reply(text, finish_reason=reason or "stop", n_tokens=tokens or 0)

    def _raise_if_lost(self) -> None:
        if self._failures_in_a_row >= LOST_AFTER:
            raise UserError(
                f"{self.url} has stopped answering ({LOST_AFTER} calls in a row failed); run again"
                " when it does, what it answered is kept"
            )

    def _raise_if_hopeless(self, error: Any) -> None:
        """Raise UserError for a status that every further call would meet with."""
        status = error.status_code
        if status in (401, 403):
            raise UserError(
                f"{self.url} refuses the key (status {status}); set a valid {KEY_VARIABLE} in .env"
            ) from None
        if status == 404:
            raise UserError(
                f"{self.url} does not serve {self.model} ({self._describe(error)}); check the"
                " model's name and the URL"
            ) from None
        if error.code == "insufficient_quota":
            raise UserError(
                f"{self.url}: the key's credit is used up; add credit or set another {KEY_VARIABLE}"
            ) from None

    def _describe(self, error: Any) -> str:
        """Status and message of a refusal, without the key should the endpoint quote it."""
        message = error.body.get("message") if isinstance(error.body, dict) else None
        text = f"status {error.status_code}" + (f": {message}" if message else "")
        return text.replace(self._key, "***")[:300] if self._key else text[:300]


class _MalformedError(Exception):
    """A response that is no chat completion."""


def _asked_pause(error: Any) -> float | None:
    """Seconds that the endpoint asks to wait, if it does; dates are not understood."""
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None


class ReplyCache:
    """Replies in a JSONL file, by the SHA-256 of everything that a reply depends on.

    The file is only ever appended to, so several processes may share it; a line that a killed
    process left unfinished is passed over. Safe for threads.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError if the file holds something else."""
        self._path = path
        self._writing = threading.Lock()
        data = path.read_bytes() if path.exists() else b""
        *lines, last = data.decode(errors="replace").split("\n")
        self._unfinished_line = bool(last)
        records = [record for line in lines if (record := _parse_record(line))]
        if lines and not records:
            raise UserError(f"{path} holds no replies of a chat model; name another cache file")
        self._replies = {record["key"]: _reply_of(record) for record in records}

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
            details = {name: getattr(reply, name) for name in _KEPT_DETAILS}
            append_jsonl(self._path, {"key": key, "reply": reply.text, **details})
            self._replies[key] = reply


def _reply_of(record: Record) -> Reply:
    details = {name: record[name] for name in _KEPT_DETAILS if name in record}
    return Reply(record["reply"], **details)


def _parse_record(line: str) -> Record | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    if not isinstance(record, dict):
        return None
    valid = all(isinstance(record.get(name), str) for name in ("key", "reply"))
    return record if valid else None
