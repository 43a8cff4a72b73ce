"""Replies of chat models on disk, so that none is paid for twice."""

import json
import os
import threading
from pathlib import Path

from seal.chat.replies import Reply, is_count
from seal.errors import UserError
from seal.records import append_jsonl, read_growing

_START = b'{"key": "'  # of each line


class ReplyCache:
    """Replies in a JSONL file, by the SHA-256 of everything that a reply depends on.

    The file is only ever appended to, so several processes may share it. What is no whole and valid
    line is ignored, and so is a key under which different replies lie. Safe for threads.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError if the file holds something else, or cannot be read and appended to."""
        self._path = path
        self._writing = threading.Lock()
        # The device that keeps nothing is no regular file
        data = b"" if path == Path(os.devnull) else read_growing(path)
        *lines, last = data.split(b"\n")
        self._unfinished_line = bool(last)
        self._replies: dict[str, Reply] = {}
        conflicting = set()
        for key, reply in filter(None, map(_parse_kept, lines)):
            if self._replies.setdefault(key, reply) != reply:
                conflicting.add(key)
        ours = self._replies or not (lines or last) or (not lines and last.startswith(_START))
        if not ours:
            problem = "does not hold replies of a chat model; name another cache file"
            raise UserError(f"{path} {problem}")
        for key in conflicting:
            del self._replies[key]

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


def _parse_kept(line: bytes) -> tuple[str, Reply] | None:
    try:
        match json.loads(line.decode()):
            case {"key": str(key), "reply": str(text), **end}:
                reason, n_tokens = end.get("finish_reason", "stop"), end.get("n_tokens", 0)
                if isinstance(reason, str) and is_count(n_tokens):
                    (text + reason).encode()  # ValueError for half of a surrogate pair
                    return key, Reply(text, finish_reason=reason, n_tokens=n_tokens)
    except (ValueError, RecursionError):
        pass
    return None
