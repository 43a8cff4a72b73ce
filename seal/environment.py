"""Which code runs, on which packages: an entry of environment.json."""

import hashlib
import re
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from seal.endpoints import find_api_key, redact
from seal.errors import UserError

PACKAGES = ("torch", "transformers", "peft", "vllm", "accelerate", "datasets", "openai", "numpy")
_KEY = re.compile(r"\bsk-[\w-]{8,}")


def describe_start() -> tuple[dict[str, Any], str]:
    """The entry of this start, and the uncommitted changes of the code, whose file it names."""
    # The code that runs, not the folder that the user happens to stand in
    root = Path(__file__).resolve().parent.parent
    commit = _git(root, "rev-parse", "HEAD").strip()
    difference = _difference(root) if commit else ""
    name = f"code-{hashlib.sha256(difference.encode()).hexdigest()[:8]}.diff"
    return {
        "command": sys.argv,
        "commit": commit or None,
        "difference": name if difference else None,
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in PACKAGES},
    }, difference


def _difference(root: Path) -> str:
    """The uncommitted changes of the code, without keys that someone has put into it."""
    changes = _git(root, "diff", "HEAD", "--", ".", ":(exclude,glob)**/.env*")
    difference = _KEY.sub("***", changes)
    key = None
    with suppress(UserError):  # a key that cannot be used is of no concern here
        key = find_api_key()
    # A word such as EMPTY, which local servers take for a key, may stand anywhere
    return redact(difference, key) if key and len(key) > 15 else difference


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _version(package: str) -> str | None:
    return next((found.version for found in metadata.distributions(name=package)), None)
