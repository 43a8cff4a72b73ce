"""The HTTP connection under `ChatClient`, with what the OpenAI SDK does not know of retries.

The SDK repeats a call after a broken connection, 408, 409, 429 and 5xx. Its pauses double from half
a second to 8 seconds, or are those that the endpoint asks for.
"""

import threading
from typing import Any

import httpx2  # what the SDK sends its calls with
from openai import DefaultHttpxClient

from seal.errors import UserError

MAX_PAUSE = 60
"""Seconds between two attempts at most, also for an endpoint that asks for more."""
LOST_AFTER = 20
"""Calls in a row that fail with all their attempts, after which the endpoint is given up."""


class Connection(DefaultHttpxClient):
    """Sends the attempts of all calls to the endpoint `url`; safe for threads."""

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self._failures_in_a_row = 0
        self._counting = threading.Lock()
        self._url = url
        self._reached = False

    def count(self, *, succeeded: bool) -> None:
        """Note how a call ended, with all its attempts."""
        with self._counting:
            self._failures_in_a_row = 0 if succeeded else self._failures_in_a_row + 1

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """One attempt of a call; a malformed response is raised, so that the SDK tries again.

        Raises UserError, which ends the call, for an endpoint that was never reached and for one
        that has failed LOST_AFTER times.
        """
        if self._failures_in_a_row >= LOST_AFTER:
            problem = f"has stopped answering ({LOST_AFTER} calls in a row failed)"
            fix = "run again when it does, what it answered is kept"
            raise UserError(f"{self._url} {problem}; {fix}")
        try:
            response = super().send(request, **options)
        except httpx2.TransportError as error:
            if self._reached:
                raise
            problem = f"cannot be reached ({type(error).__name__})"
            fix = "check the URL, and that its server runs"
            raise UserError(f"{self._url} {problem}; {fix}") from None
        self._reached = True
        if response.is_success and not _is_completion(response):
            raise httpx2.DecodingError("malformed response", request=request)
        if b"insufficient_quota" in response.content:
            response.headers["x-should-retry"] = "false"  # the SDK's own header for this
        asked = response.headers.get("retry-after", "")
        if asked.isdecimal() and int(asked) > MAX_PAUSE:
            response.headers["retry-after"] = str(MAX_PAUSE)
        return response


def _is_completion(response: httpx2.Response) -> bool:
    try:
        return isinstance(response.json()["choices"][0]["message"], dict)
    except (ValueError, LookupError, TypeError):
        return False
