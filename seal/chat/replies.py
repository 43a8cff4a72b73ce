"""What a chat model says: one reply, and how it is read from an endpoint's response."""

import json
import re
from dataclasses import dataclass
from typing import Any

_FINISHED = {"stop", "eos", "eos_token", "stop_sequence", "end_turn"}
"""How servers say that the model ended a text by itself; OpenAI says "stop"."""
_SURROGATES = re.compile("[\ud800-\udfff]")
_MOST_TOKENS = 2**53


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

    @property
    def finished(self) -> bool:
        """Whether there is a text that the model ended by itself."""
        return self.text is not None and self.finish_reason.lower() in _FINISHED


def parse_response(body: bytes) -> Reply | None:
    """The reply in the body of a successful response; None where this is no chat completion.

    Half of a surrogate pair becomes a replacement character, so that every text can be written.
    """
    try:
        match json.loads(body):
            case {"choices": [{"message": {**message}} as choice, *_], **rest} if not (
                rest.get("error") or choice.get("error")
            ):
                return _read(message, choice.get("finish_reason"), rest.get("usage"))
    except (ValueError, RecursionError):  # no JSON or not UTF-8, endless digits, lists in lists
        pass
    return None


def parse_refusal(body: bytes) -> tuple[str, str]:
    """Message and code of an unsuccessful response's body, in OpenAI's form; "" for what lacks."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    named = error if isinstance(error, dict) else {}
    texts = [named.get(name) for name in ("message", "code")]
    message, code = (_SURROGATES.sub("\ufffd", t) if isinstance(t, str) else "" for t in texts)
    return message, code


def is_count(value: Any) -> bool:
    """Whether a JSON value can be a number of tokens."""
    return type(value) is int and 0 <= value < _MOST_TOKENS


def _read(message: dict[str, Any], reason: Any, usage: Any) -> Reply | None:
    text, refusal = message.get("content"), message.get("refusal")
    if not all(value is None or isinstance(value, str) for value in (text, refusal, reason)):
        return None
    n_tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if not isinstance(usage, dict | None) or not (n_tokens is None or is_count(n_tokens)):
        return None
    reason = _SURROGATES.sub("\ufffd", reason or "stop")
    if refusal:
        return Reply(None, "a refusal")
    if text is None or reason == "content_filter":
        return Reply(None, f"no text ({reason})")
    return Reply(_SURROGATES.sub("\ufffd", text), None, reason, n_tokens or 0)
