"""Chat models behind OpenAI-compatible endpoints, as a program's flags name them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seal.chat.client import KEY_VARIABLE, OPENAI_URL, ChatClient, find_api_key
from seal.errors import UserError


def open_endpoint(
    role: str,
    model: str,
    url: str | None,
    *,
    parameters: Mapping[str, Any],
    cache: Path,
    concurrency: int,
    instead: str,
    timeout: float = 120.0,
) -> ChatClient:
    """A client of the endpoint that the flags --ROLE_model, --ROLE_url, ... name.

    One call has shown that it answers. Raises UserError for an endpoint that does not, for a
    concurrency below 1, and without a key for OpenAI's own endpoint (url None); `instead` is the
    flag that does without.
    """
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


def endpoint_name(client: ChatClient) -> str:
    """The model's name for tables and results, with its URL where that is not OpenAI's."""
    return client.model if client.url == OPENAI_URL else f"{client.model} at {client.url}"
