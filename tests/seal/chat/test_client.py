"""Calls are retried where that can help, kept on disk, and never give a secret away."""

import logging
import socket
import threading
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest

from seal.chat.client import MAX_ATTEMPTS, ChatClient
from seal.chat.connection import LOST_AFTER, MAX_PAUSE
from seal.chat.replies import Reply
from seal.errors import UserError
from tests.support.chat_stub import completion, refusal, running_stub

KEY = "sk-very-secret"


@pytest.fixture
def stub():
    with running_stub() as running:
        yield running


@pytest.fixture
def pauses(monkeypatch):
    """The seconds that the SDK would sleep between attempts; all of them, none drawn shorter."""
    taken = []

    async def sleep(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr("openai._base_client.anyio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr("openai._base_client.random", lambda: 0.0)
    return taken


@pytest.fixture
def client(stub, pauses):
    return ChatClient("judge", stub.url, api_key=KEY, parameters={"temperature": 0.0})


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def chats(*texts: str) -> list[list[dict[str, str]]]:
    return [chat(text) for text in texts]


def refuse_all(stub, *response, **headers) -> None:
    stub.reply = lambda prompt: refusal(*response, **headers)


# What is sent and what comes back


def test_replies_come_in_the_order_of_the_conversations(client, stub):
    stub.reply = lambda prompt: completion(prompt.upper())
    assert client.complete(chats(*"abcdefgh")) == [Reply(letter) for letter in "ABCDEFGH"]
    assert sorted(stub.prompts) == list("abcdefgh")
    assert client.complete([]) == []


def test_model_parameters_and_key_are_sent(client, stub):
    client.complete(chats("a"))
    assert stub.bodies == [{"model": "judge", "temperature": 0.0, "messages": chat("a")}]
    assert stub.keys == [f"Bearer {KEY}"]


def test_calls_overlap_up_to_the_concurrency(stub):
    both = threading.Barrier(2, timeout=30)

    def together(prompt):
        both.wait()
        return completion(prompt)

    stub.reply = together
    ChatClient("judge", stub.url, concurrency=2).complete(chats(*"abcdef"))
    assert stub.most_in_flight == 2


@pytest.mark.parametrize("finish_reason", ["content_filter", "length"])
def test_a_reply_without_text_has_a_reason(client, stub, pauses, finish_reason):
    stub.script = [completion(None, finish_reason)]
    assert client.complete(chats("a")) == [Reply(None, f"no text ({finish_reason})")]
    assert (len(stub.bodies), pauses) == (1, [])


# Trying again


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_passing_faults_are_tried_again_with_doubling_pauses(client, stub, pauses, status):
    stub.script = [refusal(status)] * 3
    assert client.complete(chats("a")) == [Reply("Yes.")]
    assert pauses == [0.5, 1, 2]


@pytest.mark.parametrize("content", ["<html>busy</html>", "{", '{"choices": []}', "{}", "null"])
def test_malformed_responses_are_tried_again(client, stub, pauses, content):
    stub.script = [(200, content, {})]
    assert client.complete(chats("a")) == [Reply("Yes.")]
    assert pauses == [0.5]


@pytest.mark.parametrize(
    ("asked", "taken"),
    [("7", 7), ("0.5", 0.5), ("100000", MAX_PAUSE), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.5)],
)
def test_the_pause_that_is_asked_for_is_kept_within_bounds(client, stub, pauses, asked, taken):
    stub.script = [refusal(429, retry_after=asked)]
    client.complete(chats("a"))
    assert pauses == [taken]


def test_attempts_are_bounded(client, stub, pauses):
    refuse_all(stub, 503, "overloaded")
    assert client.complete(chats("a")) == [Reply(None, "status 503: overloaded")]
    assert len(stub.bodies) == MAX_ATTEMPTS
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8]


def test_a_refused_call_is_not_tried_again_and_harms_no_other(client, stub, pauses):
    stub.reply = lambda prompt: refusal(400, "too long") if prompt == "b" else completion("no")
    replies = client.complete(chats("a", "b", "c"))
    assert replies == [Reply("no"), Reply(None, "status 400: too long"), Reply("no")]
    assert (len(stub.bodies), pauses) == (3, [])


# Giving up


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (refusal(401, f"Incorrect key {KEY}"), "refuses the key"),
        (refusal(403), "refuses the key"),
        (refusal(404, "no model judge"), "does not serve judge"),
        (refusal(429, "pay", "insufficient_quota"), "credit is used up"),
    ],
)
def test_what_no_call_can_fix_ends_all_at_once(client, stub, pauses, response, message):
    stub.reply = lambda prompt: response
    for act in (client.check, lambda: client.complete(chats(*"ab"))):
        with pytest.raises(UserError, match=message) as raised:
            act()
        assert stub.url in str(raised.value) and "\n" not in str(raised.value)
        assert KEY not in str(raised.value)
    assert pauses == []


def test_an_endpoint_that_was_never_reached_ends_all_at_once(pauses):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        client = ChatClient("judge", url)
        with pytest.raises(UserError, match=f"{url} cannot be reached"):
            client.complete(chats("a"))
    assert pauses == []


def test_an_endpoint_that_goes_away_fails_after_all_attempts(pauses):
    with running_stub() as stub:
        client = ChatClient("judge", stub.url, concurrency=1)
        client.check()
    (reply,) = client.complete(chats("a"))
    assert reply.text is None and reply.failure
    assert len(pauses) == MAX_ATTEMPTS - 1


def test_an_endpoint_that_stays_away_is_given_up(stub, pauses, tmp_path):
    client = ChatClient("judge", stub.url, concurrency=1)
    refuse_all(stub, 500)
    with pytest.raises(UserError, match="stopped answering"):
        client.complete(chats(*map(str, range(3 * LOST_AFTER))))
    assert len(stub.bodies) == LOST_AFTER * MAX_ATTEMPTS


def test_failures_with_replies_between_them_are_no_reason_to_give_up(stub, pauses):
    client = ChatClient("judge", stub.url, concurrency=1)
    stub.reply = lambda prompt: completion("yes") if prompt == "well" else refusal(500)
    texts = ["ill"] * (LOST_AFTER - 1) + ["well"]
    replies = client.complete(chats(*texts, *texts))
    assert [reply.text for reply in replies].count("yes") == 2


def test_check(client, stub, pauses):
    client.check()
    assert len(stub.bodies) == 1
    refuse_all(stub, 400, "unknown parameter")
    with pytest.raises(UserError, match=r"does not answer as judge .*unknown parameter"):
        client.check()


# The cache


def cached(stub, path, model="judge", **parameters) -> ChatClient:
    return ChatClient(model, stub.url, parameters=parameters, cache=path)


def test_a_kept_reply_costs_no_call(stub, tmp_path):
    path = tmp_path / "deep" / "cache.jsonl"
    stub.reply = lambda prompt: completion(f"{prompt} é\n")
    first = cached(stub, path).complete(chats("a", "b"))
    stub.reply = lambda prompt: refusal(500)
    client = cached(stub, path)
    assert client.complete(chats("b", "a")) == first[::-1]
    assert len(stub.bodies) == 2


def test_whatever_a_reply_depends_on_is_in_its_key(stub, tmp_path):
    path = tmp_path / "cache.jsonl"
    cached(stub, path, temperature=0.0).complete(chats("a"))
    cached(stub, path, temperature=1.0).complete(chats("a"))
    cached(stub, path, "other", temperature=0.0).complete(chats("a"))
    cached(stub, path, temperature=0.0).complete(chats("A"))
    assert len(stub.bodies) == 4
    with running_stub() as elsewhere:
        cached(elsewhere, path, temperature=0.0).complete(chats("a"))
        assert len(elsewhere.bodies) == 1


def test_seeds_are_sent_and_tell_equal_conversations_apart(stub, tmp_path):
    path = tmp_path / "cache.jsonl"
    first = cached(stub, path).complete(chats("a", "a"), seeds=[1, 2])
    assert sorted(body["seed"] for body in stub.bodies) == [1, 2]
    assert cached(stub, path).complete(chats("a", "a"), seeds=[2, 1]) == first
    assert len(stub.bodies) == 2
    cached(stub, path).complete(chats("a"))
    assert len(stub.bodies) == 3 and "seed" not in stub.bodies[-1]
    with pytest.raises(ValueError):
        cached(stub, path).complete(chats("a", "b"), seeds=[1])


def test_how_a_text_ended_and_its_tokens_are_kept(stub, tmp_path):
    path = tmp_path / "cache.jsonl"
    status, body, headers = completion("long", "length")
    usage = {"prompt_tokens": 1, "completion_tokens": 8, "total_tokens": 9}
    stub.script = [(status, {**body, "usage": usage}, headers)]
    for _ in range(2):
        assert cached(stub, path).complete(chats("a")) == [
            Reply("long", finish_reason="length", n_tokens=8)
        ]
    assert len(stub.bodies) == 1


def test_a_text_that_a_filter_cut_off_is_none(client, stub):
    stub.script = [completion("The first", "content_filter")]
    assert client.complete(chats("a")) == [Reply(None, "no text (content_filter)")]


def test_failures_and_unwanted_replies_are_not_kept(stub, tmp_path):
    path = tmp_path / "cache.jsonl"
    stub.script = [refusal(400), completion("perhaps"), completion("yes")]
    client = cached(stub, path)
    texts = [client.complete(chats("a"), keep=lambda r: r.text == "yes")[0].text for _ in range(4)]
    assert texts == [None, "perhaps", "yes", "yes"]
    assert len(path.read_text().splitlines()) == 1


# The key


def test_the_key_is_nowhere_but_in_the_header(stub, tmp_path, caplog, capfd, pauses):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "cache.jsonl"
    client = ChatClient("judge", stub.url, api_key=KEY, cache=path)
    stub.script = [refusal(400, f"key {KEY} may not do this")]
    (reply,) = client.complete(chats("a"))
    assert reply.failure == "status 400: key *** may not do this"
    client.complete(chats("b"))
    assert stub.keys == [f"Bearer {KEY}"] * 2
    shown = capfd.readouterr()
    assert KEY not in caplog.text + shown.out + shown.err + path.read_text() + repr(client)


def test_no_key_is_needed_elsewhere(stub):
    ChatClient("judge", stub.url).check()
    assert stub.keys == ["Bearer none"]


@pytest.mark.parametrize("key", [KEY, None])
def test_no_proxy_gets_what_is_for_this_machine(stub, monkeypatch, key):
    with running_stub() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        for host in ("127.0.0.1", "localhost", "127.1"):
            url = f"http://{host}:{stub.server_port}/v1"
            ChatClient("judge", url, api_key=key).check()
        assert proxy.bodies == [] and len(stub.bodies) == 3
        ChatClient("judge", "http://judge.invalid/v1", api_key=key).check()
        assert len(proxy.bodies) == 1, "others go through it as before"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_proxy", "gopher://here"),
        ("http_proxy", "http://[::1"),
        ("all_proxy", "socks5://127.0.0.1:1"),
        ("SSL_CERT_FILE", "/no/such/file"),
    ],
)
def test_a_proxy_or_certificates_that_cannot_be_used_are_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=rf"^https://host/v1: no connection .*; .*{name}"):
        ChatClient("judge", "https://host/v1")


# Ending


@pytest.mark.parametrize("how", ["hangs", "asks for a pause"])
def test_closing_ends_the_calls_of_other_threads(stub, how):
    asked, done = threading.Event(), threading.Event()

    def reply(prompt):
        asked.set()
        if how == "hangs":
            done.wait(30)
        return refusal(429, retry_after="60")

    stub.reply = reply
    client = ChatClient("judge", stub.url)
    ended = []

    def complete():
        with pytest.raises(CancelledError):
            client.complete(chats("a"))
        ended.append(True)

    waiting = threading.Thread(target=complete)
    waiting.start()
    assert asked.wait(30)
    client.close()
    waiting.join(30)
    assert ended == [True]
    done.set()
    client.close()


def test_an_error_ends_what_else_is_in_flight(stub):
    asked, done = threading.Event(), threading.Event()

    def reply(prompt):
        if prompt == "a":
            asked.set()
            done.wait(30)
        asked.wait(30)
        return refusal(401)

    stub.reply = reply
    client = ChatClient("judge", stub.url)
    with pytest.raises(UserError, match="refuses the key"):
        client.complete(chats("a", "b"))
    done.set()


def test_equal_calls_have_the_reply_that_came_first(stub, tmp_path):
    path = tmp_path / "cache.jsonl"
    both = threading.Barrier(2)
    answers = iter("ab")

    def reply(prompt):
        both.wait(30)
        return completion(next(answers))

    stub.reply = reply
    replies = cached(stub, path).complete(chats("x", "x"))
    assert replies[0] == replies[1] == cached(stub, path).complete(chats("x"))[0]
    assert len(path.read_text().splitlines()) == 1
