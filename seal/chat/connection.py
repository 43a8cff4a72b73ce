"""The HTTP connection under `ChatClient`, with what the OpenAI SDK does not know of retries.

The SDK repeats a call after a broken connection, 408, 409, 429 and 5xx. Its pauses double from half
a second to 8 seconds, or are those that the endpoint asks for.
"""

import asyncio
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2  # what the SDK sends its calls with
from openai import DefaultAsyncHttpxClient

from seal.chat.replies import parse_refusal, parse_response
from seal.endpoints import is_local
from seal.errors import UserError

MAX_PAUSE = 60
"""Seconds between two attempts at most, also for an endpoint that asks for more."""
LOST_AFTER = 20
"""Calls in a row that fail with all their attempts, after which the endpoint is given up."""
LARGEST_BODY = 16_000_000
"""Bytes of a response, unpacked; one with more is malformed."""


class Connection(DefaultAsyncHttpxClient):
    """Sends the attempts of all calls to the endpoint `url`; for one event loop."""

    def __init__(self, url: str, timeout: float) -> None:
        """`timeout` is in seconds, for an attempt from its first to its last byte.

        Raises what httpx2 does for a proxy or certificates that cannot be used.
        """
        host = httpx2.URL(url).host
        # The environment's proxy must get neither key nor question of a server on this machine
        direct = {f"all://{f'[{host}]' if ':' in host else host}": None} if is_local(host) else None
        # Another address's replies are not those of the model that a result names
        super().__init__(timeout=timeout, mounts=direct, follow_redirects=False)
        self._failures_in_a_row = 0
        self._url = url
        self._seconds = timeout
        self._reached = False

    def count(self, *, succeeded: bool) -> None:
        """Note how a call ended, with all its attempts."""
        self._failures_in_a_row = 0 if succeeded else self._failures_in_a_row + 1

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """One attempt of a call; a malformed response is raised, so that the SDK tries again.

        Of the response are left its status, the pause that it asks for, and a body that can be
        read. Raises UserError, which ends the call, for an endpoint that was never reached and for
        one that has failed LOST_AFTER times.
        """
        if self._failures_in_a_row >= LOST_AFTER:
            problem = f"has stopped answering ({LOST_AFTER} calls in a row failed)"
            fix = "run again when it does, what it answered is kept"
            raise UserError(f"{self._url} {problem}; {fix}")
        try:
            response, body = await self._receive(request, options)
        except (httpx2.ConnectError, httpx2.ProxyError, httpx2.TimeoutException) as error:
            if self._reached:
                raise
            problem = f"cannot be reached ({type(error).__name__})"
            fix = "check the URL, and that its server runs"
            raise UserError(f"{self._url} {problem}; {fix}") from None
        self._reached = True
        if response.is_success:
            if parse_response(body) is None:
                raise httpx2.DecodingError("malformed response", request=request)
            return httpx2.Response(response.status_code, content=body, request=request)
        message, code = parse_refusal(body)
        headers = _pause(response.headers)
        again = response.headers.get("x-should-retry")  # the SDK's own header
        if response.is_redirect:
            again, message = "true", "it redirects; name the URL that it leads to"
        if code == "insufficient_quota":
            again = "false"
        if again:
            headers["x-should-retry"] = again
        error = {"error": {"message": message, "code": code}}
        return httpx2.Response(response.status_code, headers=headers, json=error, request=request)

    async def _receive(
        self, request: httpx2.Request, options: dict[str, Any]
    ) -> tuple[httpx2.Response, bytes]:
        """A response and its body. Raises DecodingError for one larger than LARGEST_BODY."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                response = await super().send(request, **options | {"stream": True})
                try:
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > LARGEST_BODY:
                            raise httpx2.DecodingError("too large", request=request)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx2.ReadTimeout("not all of it in time", request=request) from None
        except UnicodeError:  # a host that no name server can be asked for
            raise httpx2.ConnectError("no valid host", request=request) from None
        return response, bytes(body)


def _pause(headers: httpx2.Headers) -> dict[str, str]:
    """The pause that an endpoint asks for, within MAX_PAUSE; {} if none is understood."""
    for name, units in (("retry-after-ms", 1000), ("retry-after", 1)):
        with suppress(KeyError, ValueError):
            return {"retry-after": str(min(float(headers[name]) / units, MAX_PAUSE))}
    with suppress(KeyError, ValueError, OverflowError):
        seconds = parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time()
        return {"retry-after": str(min(seconds, MAX_PAUSE))}
    return {}
