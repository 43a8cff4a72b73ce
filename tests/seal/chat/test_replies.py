"""What an endpoint sends is read strictly; more of this is in tests/faults/test_judge_faults.py."""

import json

import pytest

from seal.chat.replies import Reply, parse_refusal, parse_response
from tests.support.chat_stub import completion


def body(*completed, **more) -> bytes:
    return json.dumps({**completion(*completed)[1], **more}).encode()


def test_a_reply_with_its_end_and_tokens():
    assert parse_response(body("é")) == Reply("é")
    cut = body("a", "length", usage={"completion_tokens": 8, "prompt_tokens": 1})
    assert parse_response(cut) == Reply("a", None, "length", 8)


def test_what_holds_no_text_has_the_reason():
    assert parse_response(body(None, "tool_calls")) == Reply(None, "no text (tool_calls)")
    assert parse_response(body("a", "content_filter")) == Reply(None, "no text (content_filter)")


def test_what_is_no_completion_is_none():
    for data in (b"", b"{}", b"\xff", b"[" * 10**6, body("a")[:-1], body("a", error="busy")):
        assert parse_response(data) is None


@pytest.mark.parametrize(
    ("reply", "finished"),
    [
        (Reply("a"), True),
        (Reply("a", finish_reason="STOP"), True),
        (Reply("a", finish_reason="eos_token"), True),
        (Reply("a", finish_reason="length"), False),
        (Reply("a", finish_reason="tool_calls"), False),
        (Reply(None, "status 500"), False),
    ],
)
def test_which_replies_are_whole(reply, finished):
    assert reply.finished is finished


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b'{"error": {"message": "no", "code": "bad"}}', ("no", "bad")),
        (b'{"message": "no"}', ("no", "")),
        (b'{"error": {"message": 5, "code": null}}', ("", "")),
        (b'{"error": "no"}', ("", "")),
        (b'{"error": {"message": "\\ud800"}}', ("\ufffd", "")),
        (b"<html>", ("", "")),
        (b"[" * 10**6, ("", "")),
    ],
)
def test_message_and_code_of_a_refusal(data, read):
    assert parse_refusal(data) == read
