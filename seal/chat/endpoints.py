"""What programs do with a chat endpoint: open the one that their flags name, count what failed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from seal.chat.client import KEY_VARIABLE, OPENAI_URL, ChatClient, find_api_key
from seal.errors import UserError


def open_endpoint(
    settings: Any,
    role: str,
    parameters: Mapping[str, Any],
    *,
    instead: str,
    timeout: float = 120.0,
) -> ChatClient:
    """A client of the endpoint that ROLE_model, ROLE_url, ROLE_cache, ROLE_concurrency name.

    These are fields of `settings`. One call has shown that it answers. Raises UserError for an
    endpoint that does not, for a concurrency below 1, and without a key for OpenAI's own endpoint
    (no URL); `instead` is the flag that does without.
    """
    named = ("model", "url", "cache", "concurrency")
    model, url, cache, concurrency = (getattr(settings, f"{role}_{name}") for name in named)
    key = find_api_key()
    if not key and not url:
        raise UserError(f"set {KEY_VARIABLE} in .env, or use {instead}")
    if concurrency < 1:
        raise UserError(f"--{role}_concurrency {concurrency}: at least 1 is needed")
    client = ChatClient(
        model,
        url or OPENAI_URL,
        api_key=key,
        parameters=parameters,
        cache=cache,
        concurrency=concurrency,
        timeout=timeout,
    )
    client.check()
    return client


def check_failures(
    reasons: Sequence[str | None], n_asked: int, what: str, max_share: float, flag: str
) -> str:
    """How many of `n_asked` failed and mostly why, in words; one reason per failure.

    `what` begins with what was asked for, as in "answers could not be graded". Raises UserError
    with these words if more than `max_share` failed; `flag` is the one that sets this share.
    """
    most = Counter(reason for reason in reasons if reason).most_common(1)
    found = f"{len(reasons)} of {n_asked} {what}" + "".join(f" (mostly: {r})" for r, _ in most)
    if len(reasons) > max_share * n_asked:
        raise UserError(
            f"{found}; run the same command again to ask for these alone, or raise {flag}"
        )
    return found
