"""Where a chat model is asked: its URL, and the key that is sent along and never shown."""

import os
import re
from io import StringIO
from ipaddress import ip_address
from itertools import groupby
from pathlib import Path
from socket import inet_aton
from urllib.parse import quote

from seal.errors import UserError
from seal.records import read_text

OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
REPOSITORY = Path(__file__).resolve().parent.parent
_PART = 8  # characters of a key that give something of it away


def check_url(url: str, flag: str) -> None:
    """Raise UserError, which begins with `flag`, unless chat models can be asked at this URL.

    The message does not quote the URL, which may hold a secret.
    """
    import httpx2  # what the calls are sent with

    fix = "give one such as http://localhost:8000/v1"
    if not url.isprintable() or set(url) & {" ", "\\"}:
        raise UserError(f"{flag}: a URL with blanks, backslashes or control characters; {fix}")
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise UserError(f"{flag}: a malformed URL; {fix}") from None
    if parsed.userinfo:
        by_key = f"set {KEY_VARIABLE} in .env and leave them out"
        raise UserError(f"{flag}: a URL with a user's name or password; {by_key}")
    if "?" in url or "#" in url:
        raise UserError(f"{flag}: a URL with a query or fragment (? or #); end it before")
    if parsed.scheme not in ("http", "https"):
        raise UserError(f"{flag}: a URL must begin with http:// or https://; {fix}")
    labels = parsed.host.removesuffix(".").split(".")
    if "%" in parsed.host or not all(0 < len(label) < 64 for label in labels):
        raise UserError(f"{flag}: a URL without a valid host; {fix}")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise UserError(f"{flag}: a URL's port must be from 1 to 65535; {fix}")


def is_local(host: str) -> bool:
    """Whether a URL's host is this machine itself, however it is written (127.1 is 127.0.0.1)."""
    name = host.removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name if ":" in name else inet_aton(name))
    except (OSError, ValueError):  # a name
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def find_api_key() -> str | None:
    """OPENAI_API_KEY of the environment or of a .env file, stripped; None without one.

    The files are those of the current folder, of the folders above it and of the repository; one
    that sets no key is passed over. Raises UserError for a key that cannot be sent in a header, and
    for a file that is not text or cannot be read.
    """
    key, where = os.environ.get(KEY_VARIABLE, "").strip(), KEY_VARIABLE
    if not key:
        for file in _env_files():
            key, where = _read_key(file), f"{file}: {KEY_VARIABLE}"
            if key:
                break
    if not re.fullmatch("[ -~]*", key):
        problem = "has a character that is not ASCII, or a line break"
        raise UserError(f"{where} {problem}; copy the key again")
    return key or None


def _env_files() -> list[Path]:
    try:
        here = Path.cwd()
    except FileNotFoundError:  # deleted meanwhile
        here = REPOSITORY
    files = [folder / ".env" for folder in (here, *here.parents, REPOSITORY)]
    # A folder may be called so, too; what may not even be looked at is passed over
    return [file for file in files if os.path.isfile(file)]  # noqa: PTH113


def _read_key(file: Path) -> str:
    from dotenv import dotenv_values

    try:
        text = read_text(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); make it readable") from None
    if "\0" in text:
        raise UserError(f"{file}: not text but binary; write {KEY_VARIABLE}=... into it")
    values = dotenv_values(stream=StringIO(text.removeprefix("\ufeff")))
    return (values.get(KEY_VARIABLE) or "").strip()


def redact(text: str, key: str | None) -> str:
    """The text with *** for the key, as it is or as URLs write it, and for any 8 characters of it.

    Of a shorter key only the whole is replaced.
    """
    if not key:
        return text
    hidden = [False] * len(text)
    for form in {key, quote(key, safe="")}:
        size = min(_PART, len(form))
        parts = {form[start : start + size] for start in range(len(form) - size + 1)}
        for start in range(len(text) - size + 1):
            if text[start : start + size] in parts:
                hidden[start : start + size] = [True] * size
    runs = groupby(zip(text, hidden, strict=True), key=lambda pair: pair[1])
    return "".join("***" if hide else "".join(c for c, _ in run) for hide, run in runs)
