"""Texts by a chat model or the policy: asked for once, again where they fail, never lost."""

import pytest

from knowledge.data.passages import Passage
from knowledge.method.self_edits import read_self_edits, write_self_edits
from knowledge.method.writers import (
    ATTEMPTS,
    Assignment,
    ChatWriter,
    count_characters,
    open_writer,
    report_missing,
    write_texts,
)
from knowledge.settings import SelfEditSettings, WriterSettings
from seal.chat.client import ChatClient
from seal.chat.replies import Reply
from seal.errors import UserError
from seal.records import read_jsonl
from seal.run import Run
from tests.support.chat_stub import completion, refusal, running_stub
from tests.support.runs import lines_of

KEY = "sk-very-secret"
PASSAGES = [Passage(f"p{i}", f"T{i}", f"Context {i}.", ()) for i in range(3)]
SETTINGS = SelfEditSettings(k=2)


@pytest.fixture
def stub():
    with running_stub() as running:
        running.reply = lambda prompt: completion(f"1. About {prompt.split()[0]}")
        yield running


def chat_writer(stub, cache=None, settings=SETTINGS) -> ChatWriter:
    client = ChatClient("writer", stub.url, cache=cache)
    return ChatWriter(client, settings, concurrency=1)


class Scripted:
    """A writer whose replies depend on how often an assignment came before."""

    name, group_size, batched = "scripted", 2, False

    def __init__(self, **replies: list[Reply]):
        self.replies = replies
        self.calls = []

    def write(self, assignments, seeds, keep):
        self.calls.append([item.id for item in assignments])
        return [self.replies[item.id].pop(0) for item in assignments]


def assignments(*names: str) -> list[Assignment]:
    return [Assignment(name, f"passage-{name}", "implications", {}) for name in names]


def write(run, writer, wanted, **options):
    return write_texts(
        run, "texts", wanted, writer, 1, fields=lambda item, _: {}, label="texts", **options
    )


# Chat models


@pytest.mark.parametrize("kind", ["implications", "rewrite", "none"])
def test_a_chat_model_gets_system_and_user_message_without_the_cue(stub, tmp_path, kind):
    settings = SelfEditSettings(k=1, prompt_kind=kind)
    write_self_edits(Run(tmp_path), PASSAGES[:1], chat_writer(stub), settings, seed=1)
    *system, user = stub.bodies[0]["messages"]
    assert [message["role"] for message in system] == ([] if kind == "none" else ["system"])
    assert user["role"] == "user" and user["content"].startswith("T0\n")
    assert "Context 0." in user["content"] and not user["content"].endswith(":")


def test_samples_of_a_passage_have_seeds_of_their_own_and_the_usual_record(stub, tmp_path):
    run = Run(tmp_path)
    self_edits, missing = write_self_edits(run, PASSAGES, chat_writer(stub), SETTINGS, seed=1)
    assert missing == {} and len({body["seed"] for body in stub.bodies}) == 6
    assert [s.id for s in self_edits][:2] == ["p0/implications/0", "p0/implications/1"]
    assert {s.text for s in self_edits if s.passage_id == "p1"} == {"1. About T1"}
    assert read_self_edits(tmp_path / "self_edits.jsonl", PASSAGES, k=2) == self_edits
    again = write_self_edits(run, PASSAGES, chat_writer(stub), SETTINGS, seed=1)
    assert again == (self_edits, {}) and len(stub.bodies) == 6


def test_a_run_resumes_from_what_it_holds_and_from_the_cache(stub, tmp_path):
    cache = tmp_path / "cache.jsonl"
    whole = write_self_edits(Run(tmp_path / "a"), PASSAGES, chat_writer(stub, cache), SETTINGS, 1)
    assert len(stub.bodies) == 6
    lines = (tmp_path / "a/self_edits.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/self_edits.jsonl").write_text("".join(lines[:3]))
    # Without a cache only what the file lacks is asked for; with it, nothing
    assert write_self_edits(Run(tmp_path / "b"), PASSAGES, chat_writer(stub), SETTINGS, 1) == whole
    assert len(stub.bodies) == 9
    other = Run(tmp_path / "c")
    assert write_self_edits(other, PASSAGES, chat_writer(stub, cache), SETTINGS, 1) == whole
    assert len(stub.bodies) == 9


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (completion(None, "content_filter"), "no text (content_filter)"),
        (completion("1. Half", "content_filter"), "no text (content_filter)"),
        (completion("1. Half", refusal="I cannot"), "a refusal"),
        (completion(" \n"), "a blank text"),
        (refusal(400, "not allowed"), "status 400: not allowed"),
    ],
)
def test_what_a_chat_model_refuses_is_missing_with_its_reason(stub, tmp_path, response, reason):
    good = stub.reply
    stub.reply = lambda prompt: response if prompt.startswith("T1") else good(prompt)
    cache = tmp_path / "cache.jsonl"
    run = Run(tmp_path / "run")
    self_edits, missing = write_self_edits(run, PASSAGES, chat_writer(stub, cache), SETTINGS, 1)
    assert [s.passage_id for s in self_edits] == ["p0", "p0", "p2", "p2"]
    assert missing == dict.fromkeys(["p1/implications/0", "p1/implications/1"], reason)
    assert len(stub.bodies) == 4 + 2 * ATTEMPTS
    assert len({body["seed"] for body in stub.bodies}) == 4 + 2 * ATTEMPTS
    with pytest.raises(UserError, match=r"passage p1 has 0 self-edits, 2 are wanted.*missing"):
        read_self_edits(run.path("self_edits.jsonl"), PASSAGES, k=2)
    # Asked again when the run is started again
    stub.reply = good
    self_edits, missing = write_self_edits(run, PASSAGES, chat_writer(stub, cache), SETTINGS, 1)
    assert (len(self_edits), missing) == (6, {})


def test_a_text_that_was_cut_off_is_a_self_edit_that_says_so(stub, tmp_path):
    stub.reply = lambda prompt: completion("1. Half", "length")
    self_edits, _ = write_self_edits(Run(tmp_path), PASSAGES, chat_writer(stub), SETTINGS, 1)
    assert {s.finish_reason for s in self_edits} == {"length"}


# Attempts


def test_unfit_texts_are_tried_again_alone_and_a_bounded_number_of_times(tmp_path):
    bad = Reply("bad")
    writer = Scripted(
        a=[Reply("good")],
        b=[bad, Reply(None, failure="busy"), Reply("good", finish_reason="length", n_tokens=3)],
        c=[bad] * ATTEMPTS,
    )
    run = Run(tmp_path)
    missing = write(
        run,
        writer,
        assignments("a", "b", "c"),
        objection=lambda text: "unfit" if text == "bad" else None,
    )
    assert missing == {"c": "unfit"}
    assert writer.calls == [["a", "b"], ["b"], ["b"], ["c"], ["c"], ["c"]]
    assert lines_of(run, "texts")[1] == {
        "id": "b",
        "passage_id": "passage-b",
        "text": "good",
        "finish_reason": "length",
        "n_tokens": 3,
    }


def test_every_attempt_has_a_seed_of_its_own(tmp_path):
    seen = []

    class Blank(Scripted):
        def write(self, assignments, seeds, keep):
            seen.extend(seeds)
            assert not keep("") and keep("text")
            return [Reply("")] * len(assignments)

    write(Run(tmp_path), Blank(), assignments(*"ab"), objection=lambda t: None if t else "blank")
    assert len(set(seen)) == 2 * ATTEMPTS


def test_a_blank_text_of_the_policy_is_a_text(tmp_path):
    assert write(Run(tmp_path), Scripted(a=[Reply("")]), assignments("a")) == {}


def test_batches_of_a_policy_stay_whole_when_a_run_is_resumed(tmp_path):
    run = Run(tmp_path)
    run.append("texts", {"id": "a"})
    for batched, calls in ((True, [["a", "b"]]), (False, [["b"]])):
        writer = Scripted(a=[Reply("x")], b=[Reply("y")])
        writer.batched = batched
        write(Run(tmp_path / str(batched)), Scripted(a=[Reply("x")]), assignments("a"))
        write(Run(tmp_path / str(batched)), writer, assignments("a", "b"))
        assert writer.calls == calls


# What is missing


def test_missing_texts_are_listed_and_said(tmp_path, capsys):
    run = Run(tmp_path)
    report_missing(run, {}, 10, 0.0, "texts")
    assert capsys.readouterr().out == "" and read_jsonl(run.path("missing.jsonl")) == []
    missing = {"a": "busy", "b": "refused", "c": "busy"}
    report_missing(run, missing, 10, 0.3, "texts")
    assert "3 of 10 texts are missing (mostly: busy)" in capsys.readouterr().out
    assert read_jsonl(run.path("missing.jsonl"))[1] == {"id": "b", "reason": "refused"}
    with pytest.raises(UserError, match=r"3 of 10 texts .*busy.*raise --max_missing"):
        report_missing(run, missing, 10, 0.29, "texts")
    assert len(read_jsonl(run.path("missing.jsonl"))) == 3


# Opening


def writer_settings(stub, **others) -> WriterSettings:
    return WriterSettings(writer="openai", writer_model="w", writer_url=stub.url, **others)


def test_opening_a_chat_model_checks_it_and_sends_the_sampling_flags(stub, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    settings = writer_settings(
        stub, temperature=0.7, top_p=0.9, max_new_tokens=33, writer_cache=tmp_path / "cache"
    )
    with open_writer(settings, tmp_path / "log") as writer:
        assert writer.name == f"w at {stub.url}"
    (body,) = stub.bodies
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == (
        "w",
        0.7,
        0.9,
        33,
    )
    assert stub.keys == [f"Bearer {KEY}"]


def test_what_cannot_be_opened_is_explained(stub, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"OPENAI_API_KEY in \.env, or use --writer policy"):
        open_writer(WriterSettings(writer="openai"), tmp_path / "log")
    stub.reply = lambda prompt: refusal(404)
    with pytest.raises(UserError, match="does not serve w"):
        open_writer(writer_settings(stub), tmp_path / "log")


def test_prompts_are_counted_as_they_are_sent(stub, tmp_path):
    values = {"title": "T", "passage": "Context."}
    counted = count_characters([Assignment("a", "p", "rewrite", values)], SETTINGS)
    write(Run(tmp_path), chat_writer(stub), [Assignment("a", "p", "rewrite", values)])
    assert counted == sum(len(message["content"]) for message in stub.bodies[0]["messages"])
