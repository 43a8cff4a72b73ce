"""Replies are kept whole or not at all, and a file of something else is left alone."""

import json
import threading

import pytest

from seal.chat.cache import ReplyCache
from seal.chat.replies import Reply
from seal.errors import UserError


def test_an_unfinished_line_is_passed_over_and_does_no_harm(tmp_path):
    path = tmp_path / "cache.jsonl"
    ReplyCache(path).put("k1", Reply("é"))
    path.write_bytes(path.read_bytes() + '{"key": "k2", "reply": "é'.encode()[:-1])
    cache = ReplyCache(path)
    assert (cache.get("k1"), cache.get("k2")) == (Reply("é"), None)
    cache.put("k3", Reply("yes"))
    again = ReplyCache(path)
    kept = [again.get(key) for key in ("k1", "k2", "k3")]
    assert kept == [Reply("é"), None, Reply("yes")]


@pytest.mark.parametrize("text", ["my thesis\n", '{"id": 1}\n', "[1]\n", "7\n"])
def test_a_file_of_something_else_is_left_alone(tmp_path, text):
    path = tmp_path / "thesis"
    path.write_text(text)
    with pytest.raises(UserError, match="thesis does not hold replies"):
        ReplyCache(path)
    assert path.read_text() == text


def test_many_threads_share_a_cache(tmp_path):
    path = tmp_path / "cache.jsonl"
    cache = ReplyCache(path)
    threads = [
        threading.Thread(
            target=lambda n=n: [cache.put(f"{n}-{i}", Reply("x" * i)) for i in range(50)]
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert {record["key"] for record in records} == {
        f"{n}-{i}" for n in range(8) for i in range(50)
    }
