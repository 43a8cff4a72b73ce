"""Self-edits: sampled once per id, read back with the file and row of what is wrong."""

from types import SimpleNamespace

import pytest

from knowledge.data.passages import Passage, Question
from knowledge.method.self_edits import SelfEdit, read_self_edits, sample_self_edits
from knowledge.settings import SelfEditSettings
from seal.errors import UserError
from seal.records import write_jsonl
from seal.run import Run
from seal.sampling import Completion

PASSAGES = [Passage(f"p{i}", "T", f"Context {i}.", (Question("q", "a"),)) for i in range(3)]


class EchoSampler:
    """Answers with the request's seed, and remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def complete(self, requests, parameters):
        self.calls.append(len(requests))
        return [Completion(f"seed {request.seed}", "stop", (1, 2)) for request in requests]


def policy(sampler, sampling_batch=4):
    settings = SimpleNamespace(sampling_batch=sampling_batch)
    return SimpleNamespace(sampler=sampler, settings=settings, tokenizer=None)


def test_samples_once_in_order_and_resumes(tmp_path):
    run, sampler = Run(tmp_path), EchoSampler()
    settings = SelfEditSettings(k=2)
    first = sample_self_edits(run, PASSAGES, policy(sampler), settings, seed=1)
    assert [(s.passage_id, s.id[-1]) for s in first] == [
        (f"p{i}", str(n)) for i in range(3) for n in range(2)
    ]
    assert len({s.text for s in first}) == 6
    assert sample_self_edits(Run(tmp_path), PASSAGES, policy(sampler), settings, seed=1) == first
    assert sampler.calls == [4, 2]
    other = sample_self_edits(Run(tmp_path / "b"), PASSAGES, policy(sampler), settings, seed=2)
    assert {s.text for s in other}.isdisjoint(s.text for s in first)


def test_read_back(tmp_path):
    run = Run(tmp_path)
    written = sample_self_edits(run, PASSAGES, policy(EchoSampler()), SelfEditSettings(k=2), seed=1)
    path = tmp_path / "self_edits.jsonl"
    assert read_self_edits(path, PASSAGES[1:], k=1) == [written[2], written[4]]
    with pytest.raises(UserError, match="passage p0 has 2 self-edits, 3 are wanted"):
        read_self_edits(path, PASSAGES, k=3)
    write_jsonl(path, [{"id": "p0/implications/0", "text": "x"}])
    with pytest.raises(UserError, match=r"self_edits\.jsonl row 1 is not a self-edit"):
        read_self_edits(path, PASSAGES, k=1)


def test_record_has_what_later_steps_need():
    assert SelfEdit.__dataclass_fields__.keys() == {
        "id",
        "passage_id",
        "kind",
        "text",
        "finish_reason",
        "n_tokens",
        "token_ids",
    }
