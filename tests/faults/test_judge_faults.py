"""Whatever a judge's endpoint does, an answer has the verdict that it clearly gave, or none."""

import gzip
import json
import os
import socket
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from knowledge.data.passages import Passage
from knowledge.judging.judges import GradingItem, OpenAIJudge, open_judge
from knowledge.judging.replies import parse_proxy_scores
from knowledge.method.proxy_reward import Rater
from knowledge.settings import PROMPTS, JudgeSettings
from seal.chat.client import ChatClient
from seal.errors import UserError
from tests.support.chat_stub import Response, completion, refusal, running_stub

KEY = "sk-proj-Very+Secret/0123456789=="
ITEM = GradingItem("When does the moth fly?", "in May", "It flies in May.")
PASSAGE = Passage("moth", "Moth", "It flies in May.", ())
OVER = Event()
"""What hangs is let go."""


def said(content: object = "Yes", reason: object = "stop", **message: object) -> dict:
    """The body of a response, with a message of any kind."""
    body = completion("Yes")[1]
    body["choices"][0] |= {"finish_reason": reason}
    body["choices"][0]["message"] |= {"content": content, **message}
    return body


def with_(name: str, value: object) -> dict:
    return {**said(), name: value}


def choice(name: str, value: object) -> dict:
    body = said()
    body["choices"][0][name] = value
    return body


def without(*path: object) -> dict:
    body = inner = said()
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return body


YES = json.dumps(said())


def lines(*parts: bytes, hang: bool = False) -> Callable:
    """Answer with these bytes as they are, then hang or close."""

    def answer(handler) -> None:
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()
        if hang:
            OVER.wait(20)
        handler.close_connection = True

    return answer


def drip(handler) -> None:
    """A byte each tenth of a second, which is within each timeout of a read."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not OVER.wait(0.1):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def reset(handler) -> None:
    linger = b"\1\0\0\0\0\0\0\0"
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DIGITS = "9" * 6000
DEEP = "[" * 200_000 + "]" * 200_000
CHUNK = {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "Yes"}}]}

# Bodies of status 200 that are no chat completion: tried again, then ungraded
MALFORMED = {
    "empty": "",
    "blank": " \n",
    "html": "<html>yes</html>",
    "a word": "yes",
    "a JSON text": '"yes"',
    "a number": "7",
    "null": "null",
    "true": "true",
    "a list": f"[{YES}]",
    "an object": "{}",
    "cut JSON": YES[:-20],
    "two values": YES + YES,
    "single quotes": YES.replace('"', "'"),
    "no UTF-8": YES.replace("Yes", "Yes\xff").encode("latin-1"),
    "UTF-8 cut within a character": YES.replace("Yes", "é").encode().replace(b"\xa9", b""),
    "NUL bytes": b"\0" * 300,
    "6,000 digits": YES.replace("1,", f"{DIGITS},"),
    "6,000 digits of usage": f'{YES[:-1]}, "usage": {{"completion_tokens": {DIGITS}}}}}',
    "deep lists": DEEP,
    "deep lists within": f'{YES[:-1]}, "x": {DEEP}}}',
    "events": f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n",
    "an event of a whole reply": f"data: {YES}\n\n",
    "a chunk": CHUNK,
    "lines of JSON": f"{YES}\n{YES}",
    "an error": {"error": {"message": "overloaded"}},
    "an error as a text": {"error": "overloaded"},
    "an error beside a reply": with_("error", {"message": "overloaded"}),
    "an error in a choice": choice("error", {"message": "overloaded"}),
    "no choices": without("choices"),
    "choices null": with_("choices", None),
    "choices empty": with_("choices", []),
    "choices a text": with_("choices", "Yes"),
    "choices a number": with_("choices", 1),
    "choices an object": with_("choices", said()["choices"][0]),
    "choices an object of 0": with_("choices", {"0": said()["choices"][0]}),
    "choices of null": with_("choices", [None]),
    "choices of texts": with_("choices", ["Yes"]),
    "choices of lists": with_("choices", [said()["choices"]]),
    "no message": without("choices", 0, "message"),
    "message null": choice("message", None),
    "message a text": choice("message", "Yes"),
    "message a list": choice("message", [{"content": "Yes"}]),
    "a delta": {"choices": [{"delta": {"content": "Yes"}, "finish_reason": "stop"}]},
    "a completion's text": {"choices": [{"text": "Yes", "finish_reason": "stop"}]},
    "content a number": said(1),
    "content true": said(True),
    "content a list": said([]),
    "content of parts": said([{"type": "text", "text": "Yes"}]),
    "content an object": said({"text": "Yes"}),
    "end a number": said(reason=0),
    "end a list": said(reason=["stop"]),
    "end an object": said(reason={"type": "stop"}),
    "end true": said(reason=True),
    "refusal an object": said(refusal={"text": "no"}),
    "refusal true": said(refusal=True),
    "usage a text": with_("usage", "8"),
    "usage a list": with_("usage", [8]),
    "usage a number": with_("usage", 8),
    "tokens a text": with_("usage", {"completion_tokens": "8"}),
    "tokens below 0": with_("usage", {"completion_tokens": -1}),
    "tokens a fraction": with_("usage", {"completion_tokens": 0.5}),
    "tokens true": with_("usage", {"completion_tokens": True}),
    "tokens NaN": YES[:-1] + ', "usage": {"completion_tokens": NaN}}',
    "tokens without end": YES[:-1] + ', "usage": {"completion_tokens": 1e999}}',
    "tokens of 4,000 digits": with_("usage", {"completion_tokens": 10**4000}),
    "too large": YES + " " * 300_000,
}
# Other faults that may pass, each as a response
PASSING: dict[str, Response] = {
    **{name: (200, body, {}) for name, body in MALFORMED.items()},
    **{f"status {n}": refusal(n) for n in (408, 409, 429, 500, 501, 502, 503, 504, 529, 599)},
    **{f"status {n} with a reply": (n, YES, {}) for n in (429, 500, 503)},
    **{f"redirect {n}": (n, "", {"Location": "/v1/other"}) for n in (301, 302, 303, 307, 308)},
    "redirect with a reply": (307, YES, {"Location": "/v1"}),
    "redirect to nowhere": (302, "", {"Location": "http://"}),
    "redirect without an address": (304, "", {}),
    "no gzip": (200, YES, {"Content-Encoding": "gzip"}),
    "gzip cut off": (200, gzip.compress(YES.encode())[:-30], {"Content-Encoding": "gzip"}),
    "gzip of much": (200, gzip.compress(b" " * 10**7), {"Content-Encoding": "gzip"}),
    "gzip of no text": (200, gzip.compress(b"\xff"), {"Content-Encoding": "gzip"}),
    "hangs": (200, lines(hang=True), {}),
    "hangs after its headers": (200, lines(OK, b"Content-Length: 9\r\n\r\n", hang=True), {}),
    "hangs within its body": (
        200,
        lines(OK, b"Content-Length: 99\r\n\r\n", YES[:20].encode(), hang=True),
        {},
    ),
    "a slow drip": (200, drip, {}),
    "closes": (200, lines(), {}),
    "resets": (200, reset, {}),
    "a body cut off": (200, lines(OK, b"Content-Length: 999\r\n\r\n", YES.encode()), {}),
    "chunks cut off": (
        200,
        lines(OK, b"Transfer-Encoding: chunked\r\n\r\nfff\r\n", YES.encode()),
        {},
    ),
    "chunks of no size": (200, lines(OK, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), {}),
    "no HTTP": (200, lines(b"SSH-2.0-OpenSSH_9.0\r\n"), {}),
    "headers without end": (200, lines(OK + b"X: " + b"x" * 200_000, hang=True), {}),
    "a length that is none": (200, lines(OK, b"Content-Length: x\r\n\r\n", YES.encode()), {}),
    "an error in no charset": (500, "x", {"Content-Type": "text/plain; charset=hex"}),
    "an error no UTF-8": (500, b"\xff\xfe", {}),
    "an error of deep lists": (500, DEEP, {}),
    "an error of 6,000 digits": (500, DIGITS, {}),
    "a pause that is none": refusal(429, retry_after="soon"),
    "a pause NaN": refusal(503, retry_after="nan"),
    "a pause below 0": refusal(503, retry_after="-5"),
    "a pause of a past date": refusal(503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
    "a pause of no date": refusal(503, retry_after="Wed, 99 Oct 99999 07:28:00 GMT"),
}
HANGING = [name for name in PASSING if name.startswith(("hang", "a slow"))]
# What stays: no verdict, and the call is not repeated
UNGRADED: dict[str, Response] = {
    **{f"status {n}": refusal(n) for n in (400, 402, 405, 410, 413, 415, 418, 422, 451)},
    "an error of a list": (400, {"error": ["Yes"]}, {}),
    "an error of a list of errors": (400, [{"error": "Yes"}], {}),
    "an error of a number": (422, {"error": {"message": 5, "code": ["x"]}}, {}),
    "an error of half a pair": (400, '{"error": {"message": "\\ud800"}}', {}),
    **{
        f"{text!r} ended by {reason}": (200, said(text, reason), {})
        for reason in ("length", "content_filter", "tool_calls", "function_call", "error", "abort")
        for text in ("<think> ... There is no", "Yes, that is", "no doubt", None, "")
    },
    **{
        f"a bare word ended by {reason}": (200, said("Yes", reason), {})
        for reason in (
            "content_filter",
            "tool_calls",
            "function_call",
            "error",
            "\ud800",
            "x" * 999,
        )
    },
    "two words cut off": (200, said("yes. no", "length"), {}),
    "refused": (200, said("No, I cannot help", refusal="I cannot help"), {}),
    "refused with a bare word": (200, said("No", refusal="I cannot help"), {}),
    "refused without a text": (200, said(None, refusal="I cannot help"), {}),
    "refused and cut off": (200, said("No", "length", refusal="I"), {}),
    "no content": (200, without("choices", 0, "message", "content"), {}),
    "content null": (200, said(None), {}),
    "content empty": (200, said(""), {}),
    "both": (200, said("yes or no"), {}),
    "neither": (200, said("It is right."), {}),
    "within words": (200, said("Yesterday, nobody"), {}),
    "half a pair": (200, said("\ud800"), {}),
    "NULs": (200, said("\0\0"), {}),
    "the key": (200, said(f"right, {KEY}"), {}),
}
# Odd, but clear and complete
CLEAR: dict[str, Response] = {
    "a bare word cut off": (200, said("Yes", "length"), {}),
    "a bare word with a mark cut off": (200, said("**YES.**\n", "length"), {}),
    "no end": (200, without("choices", 0, "finish_reason"), {}),
    "end null": (200, said(reason=None), {}),
    "an end of another server": (200, said("Yes, it is.", "eos_token"), {}),
    "refusal null": (200, said(refusal=None), {}),
    "refusal empty": (200, said(refusal=""), {}),
    "error null": (200, with_("error", None), {}),
    "usage null": (200, with_("usage", None), {}),
    "tokens null": (200, with_("usage", {"completion_tokens": None}), {}),
    "two choices": (200, with_("choices", said()["choices"] * 2), {}),
    "more than is known": (200, {**said(), "x": [1, {"y": None}], "id": 5, "created": "x"}, {}),
    "half a pair": (200, said("yes \udfff"), {}),
    "plain text": (200, YES, {"Content-Type": "text/plain"}),
    "a type that is none": (200, YES, {"Content-Type": "\x7f;;charset=hex"}),
    "status 201": (201, YES, {}),
    "gzip": (200, gzip.compress(YES.encode()), {"Content-Encoding": "gzip"}),
    "deflate": (200, zlib.compress(YES.encode()), {"Content-Encoding": "deflate"}),
    "UTF-8 with a mark": (200, b"\xef\xbb\xbf" + YES.encode(), {}),
}
# What every further call would meet
HOPELESS: dict[str, Response] = {
    "401": refusal(401, f"Incorrect API key provided: {KEY}"),
    "403": refusal(403, "no"),
    "404": refusal(404, f"no model for {KEY}"),
    "used up": refusal(429, "pay", "insufficient_quota"),
}


@pytest.fixture(scope="module")
def stub():
    with running_stub() as running:
        yield running
        OVER.set()


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 1e-4)
        patch.setattr("seal.chat.connection.LARGEST_BODY", 200_000)
        patch.setattr("seal.chat.connection.MAX_PAUSE", 1e-4)
        patch.setattr("seal.chat.client.MAX_ATTEMPTS", 2)
        patch.delenv("OPENAI_API_KEY", raising=False)
        yield


@pytest.fixture(scope="module")
def shared(stub, tmp_path_factory, quick):
    """A judge that has been reached already, with its cache."""
    path = tmp_path_factory.mktemp("judge") / "cache"
    client = ChatClient("judge", stub.url, api_key=KEY, cache=path)
    client.check()
    yield OpenAIJudge(client), path
    client.close()


@pytest.fixture
def grade(shared, stub, request):
    """Have the judge grade an answer of this test's own; its grade, and whether it was kept."""
    stub.script, stub.bodies = [], []
    judge, path = shared

    def run():
        size = path.stat().st_size if path.exists() else 0
        (given,) = judge.grade([replace(ITEM, question=request.node.name)])
        assert given.probability == (None if given.verdict is None else float(given.verdict))
        return given, path.exists() and path.stat().st_size > size

    return run


def ensure_harmless(text: str) -> None:
    assert text and "\n" not in text and len(text) < 500
    text.encode()
    assert not any(KEY[start : start + 8] in text for start in range(len(KEY) - 7))


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again_and_never_a_verdict(grade, shared, stub, name, monkeypatch):
    if name in HANGING:
        monkeypatch.setattr(shared[0]._client._connection, "_seconds", 1.0)
    stub.script = [PASSING[name]] * 2
    given, kept = grade()
    assert given.verdict is None and not kept
    ensure_harmless(given.reason)
    assert ("malformed" in given.reason) >= (name in MALFORMED)
    assert len(stub.bodies) == 2
    stub.script = [PASSING[name], completion("No")]
    assert grade()[0].verdict is False
    assert len(stub.bodies) == 4


@pytest.mark.parametrize("name", UNGRADED)
def test_what_is_no_clear_and_whole_reply_is_ungraded(grade, stub, name):
    stub.reply = lambda prompt: UNGRADED[name]
    given, kept = grade()
    assert given.verdict is None and not kept
    ensure_harmless(given.reason)
    assert len(stub.bodies) == 1


@pytest.mark.parametrize("name", CLEAR)
def test_what_is_odd_but_clear_is_a_verdict(grade, stub, name):
    stub.reply = lambda prompt: CLEAR[name]
    assert [grade()[0].verdict for _ in range(2)] == [True, True]
    assert len(stub.bodies) == 1, "kept"


@pytest.mark.parametrize("name", HOPELESS)
def test_what_every_call_would_meet_ends_in_one_line(grade, stub, name):
    stub.reply = lambda prompt: HOPELESS[name]
    with pytest.raises(UserError) as raised:
        grade()
    assert str(raised.value).startswith(stub.url)
    ensure_harmless(str(raised.value))


@pytest.mark.parametrize(
    "quoted",
    [
        KEY,
        KEY[:12],
        KEY[-9:],
        f"x{KEY[5:20]}y",
        KEY.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
        KEY * 3,
        f"{KEY[:10]}...{KEY[-10:]}",
        "x" * 995 + KEY,
    ],
)
def test_the_key_is_cut_out_of_whatever_is_said(grade, shared, stub, quoted):
    for response in (
        refusal(400, f"bad key {quoted}"),
        (200, said("Yes, but", quoted), {}),
        (200, said(None, quoted), {}),
    ):
        stub.reply = lambda prompt, response=response: response
        ensure_harmless(grade()[0].reason)
    stub.reply = lambda prompt: completion(f"yes {KEY}")
    assert grade()[0].verdict is True
    assert KEY not in shared[1].read_text()


@pytest.mark.parametrize("name", ["hangs", "a slow drip", "closes", "html", "status 500"])
def test_an_endpoint_that_never_works_is_found_at_once(stub, tmp_path, name):
    stub.script, stub.reply = [], lambda prompt: PASSING[name]
    client = ChatClient("judge", stub.url, timeout=0.3)
    with pytest.raises(UserError, match=stub.url) as raised:
        client.check()
    ensure_harmless(str(raised.value))
    client.close()


# Kept replies

KEPT = {"finish_reason": "stop", "n_tokens": 1}
DAMAGED: dict[str, dict] = {
    "cut off": {"reply": "There is no", "finish_reason": "length", "n_tokens": 16},
    "filtered": {"reply": "No", "finish_reason": "content_filter", "n_tokens": 1},
    "no reply": {**KEPT},
    "null": {"reply": None, **KEPT},
    "a list": {"reply": ["no"], **KEPT},
    "an object": {"reply": {"text": "no"}, **KEPT},
    "half a pair": {"reply": "no \ud800", **KEPT},
    "an end of a list": {"reply": "no", "finish_reason": ["stop"]},
    "an end null": {"reply": "no", "finish_reason": None},
    "an end of half a pair": {"reply": "no", "finish_reason": "\ud800"},
    "tokens a text": {"reply": "no", "n_tokens": "1"},
    "tokens true": {"reply": "no", "n_tokens": True},
    "tokens NaN": {"reply": "no", "n_tokens": float("nan")},
    "tokens null": {"reply": "no", "n_tokens": None},
    "tokens below 0": {"reply": "no", "n_tokens": -1},
}
BROKEN = {
    "not UTF-8": lambda line: line.replace(b"no", b"no\xff"),
    "cut": lambda line: line[:-8] + b"\n",
    "deep": lambda line: line[:-2] + b', "x": ' + DEEP.encode() + b"}\n",
    "digits": lambda line: line[:-2] + b', "x": ' + DIGITS.encode() + b"}\n",
    "NULs": lambda line: b"\0" * len(line) + b"\n",
    "within a list": lambda line: b"[" + line[:-1] + b"]\n",
    "two in a line": lambda line: line[:-1] + line,
    "UTF-16": lambda line: line.decode().encode("utf-16"),
    "two replies": lambda line: line + line.replace(b"no", b"yes"),
    "two ends": lambda line: line + line.replace(b"stop", b"length"),
    "unfinished": lambda line: line[:-1],
}


@pytest.fixture(scope="module")
def line(stub, tmp_path_factory, quick):
    """A line of a cache: the verdict no about ITEM."""
    stub.script, stub.reply = [], lambda prompt: completion("no")
    path = tmp_path_factory.mktemp("line") / "cache"
    assert grade_with(path, stub).verdict is False
    return path.read_bytes()


def grade_with(path: Path, stub):
    client = ChatClient("judge", stub.url, cache=path)
    (given,) = OpenAIJudge(client).grade([ITEM])
    client.close()
    return given


@pytest.mark.parametrize("name", [*DAMAGED, *BROKEN])
def test_a_damaged_cache_gives_no_verdict(line, stub, tmp_path, name):
    record = json.loads(line)
    other = json.dumps({**record, "key": "other"}).encode() + b"\n"
    if name in DAMAGED:
        damaged = json.dumps({"key": record["key"], **DAMAGED[name]}).encode() + b"\n"
    else:
        damaged = BROKEN[name](line)
    path = tmp_path / "cache"
    path.write_bytes(other + damaged)
    stub.reply = lambda prompt: completion("yes")
    assert grade_with(path, stub).verdict is True
    assert path.read_bytes().startswith(other + damaged)


def test_a_long_line_is_passed_over(line, stub, tmp_path):
    path = tmp_path / "cache"
    path.write_bytes(b"x" * 10**7 + b"\n" + line)
    stub.reply = lambda prompt: completion("yes")
    assert grade_with(path, stub).verdict is False


@pytest.mark.parametrize("kind", ["folder", "fifo", "within a file", "a name too long", "NUL"])
def test_a_cache_that_is_no_file_is_refused(stub, tmp_path, kind):
    path = tmp_path / {"a name too long": "x" * 300, "NUL": "a\0b"}.get(kind, "cache")
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "within a file":
        path.write_text("")
        path /= "cache"
    settings = JudgeSettings(judge="openai", judge_url=stub.url, judge_cache=path)
    with pytest.raises(UserError, match="name another") as raised:
        open_judge(settings)
    assert str(raised.value).startswith(str(tmp_path))


def test_a_file_of_something_else_is_no_cache(stub, tmp_path):
    for text in (
        "my thesis",
        "my thesis\n",
        '{"id": 1}\n',
        "[" * 10**5 + "\n",
        "\ud800".encode("utf-8", "surrogatepass"),
    ):
        path = tmp_path / "thesis"
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(data)
        with pytest.raises(UserError, match="thesis does not hold replies"):
            ChatClient("judge", stub.url, cache=path)
        assert path.read_bytes() == data


# Marks

MARKS = "Length: 3\nDiversity: 4\nQuality: 2\nCorrectness: 1"


@pytest.mark.parametrize(
    ("response", "rated"),
    [
        (completion(MARKS), True),
        (completion(MARKS, "length"), False),
        (completion(MARKS, "content_filter"), False),
        ((200, said(MARKS, refusal="no"), {}), False),
        (completion(MARKS[:-4]), False),
        (completion(f"Length: {DIGITS}{MARKS[9:]}"), True),
    ],
)
def test_marks_of_unfinished_replies_rate_nothing(shared, stub, request, response, rated):
    rater = Rater(shared[0]._client, PROMPTS / "proxy-rubric.txt")
    stub.reply = lambda prompt: response
    ((scores, reason),) = rater.rate([(PASSAGE, request.node.name)])
    assert (scores is not None, reason is None) == (rated, rated)
    if scores:
        assert scores == parse_proxy_scores(response[1]["choices"][0]["message"]["content"])
