"""The vLLM sampler against a stub of the server: batches, adapters, concurrency, failures."""

import asyncio
import json
import os
import signal
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from seal.errors import UserError
from seal.samplers import vllm as vllm_sampler
from seal.samplers.vllm import VllmError, VllmSampler, check_adapter, open_vllm
from seal.sampling import Completion, SampleRequest, SamplingParameters
from seal.settings import ModelSettings
from tests.seal.vllm_stub import KEY, Stub

GREEDY = SamplingParameters(max_new_tokens=5)
SAMPLED = SamplingParameters(max_new_tokens=5, temperature=1.0, top_p=0.9)
WAIT = 60
"""Seconds after which a test that waits for another thread has failed."""


@pytest.fixture
def stub():
    with Stub() as stub:
        thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield stub
        stub.shutdown()
        thread.join()


@contextmanager
def sampler_of(stub: Stub, **options):
    with VllmSampler(stub.url, "base", api_key=KEY, timeout=WAIT, **options) as sampler:
        yield sampler


@pytest.fixture
def sampler(stub):
    with sampler_of(stub) as sampler:
        yield sampler


def save_adapter(folder: Path, weights: str = "weights", **config) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8} | config))
    (folder / "adapter_model.safetensors").write_text(weights)
    return folder


def texts(completions: list[Completion]) -> list[str]:
    return [completion.text for completion in completions]


def once(fault, times: int = 1):
    """A fault for the first `times` posts only."""
    left = [fault] * times
    return lambda body: left.pop() if left else None


# Requests and completions


def test_nothing_asked_is_nothing_sent(sampler, stub):
    assert sampler.complete([], GREEDY) == []
    assert stub.posts == []


def test_a_completion_has_its_own_tokens_and_reason(sampler):
    requests = [SampleRequest("ab"), SampleRequest("abcde"), SampleRequest([1, 2, 3])]
    assert sampler.complete(requests, GREEDY) == [
        Completion("bare:ab:0", "stop", (0, 1)),
        Completion("bare:abcde:0", "length", (0, 1, 2, 3, 4)),
        Completion("bare:[1, 2, 3]:0", "stop", (0, 1, 2)),
    ]


def test_greedy_requests_share_http_requests_by_kind(stub, monkeypatch):
    monkeypatch.setattr(vllm_sampler, "_BATCH", 2)
    prompts = ["a", [1], "b", [2, 3], "c", "d", "e", [4]]
    with sampler_of(stub) as sampler:
        completions = sampler.complete([SampleRequest(prompt) for prompt in prompts], GREEDY)
    assert texts(completions) == [f"bare:{prompt}:0" for prompt in prompts]
    sent = [body["prompt"] for body in stub.bodies("completions")]
    assert sorted(map(str, sent)) == sorted(
        map(str, [["a", "b"], ["c", "d"], ["e"], [[1], [2, 3]], [[4]]])
    )


def test_sampled_requests_travel_alone_with_their_seeds(sampler, stub):
    requests = [SampleRequest("same", seed=seed) for seed in (3, 1, 2)]
    assert texts(sampler.complete(requests, SAMPLED)) == [f"bare:same:{seed}" for seed in (3, 1, 2)]
    assert [len(body["prompt"]) for body in stub.bodies("completions")] == [1, 1, 1]


def test_every_decoding_setting_is_sent(sampler, stub):
    sampler.complete([SampleRequest("a", seed=4)], SAMPLED)
    assert stub.bodies("completions") == [
        {
            "model": "base",
            "prompt": ["a"],
            "max_tokens": 5,
            "temperature": 1.0,
            "top_p": 0.9,
            "seed": 4,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "frequency_penalty": 0.0,
            "presence_penalty": 0.0,
            "return_token_ids": True,
        }
    ]


def test_choices_are_sorted_by_their_index(sampler, stub):
    stub.choices = lambda choices: choices[::-1]
    completions = sampler.complete([SampleRequest(prompt) for prompt in "abc"], GREEDY)
    assert texts(completions) == ["bare:a:0", "bare:b:0", "bare:c:0"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda choices: choices[:-1],
        lambda choices: [*choices, choices[0]],
        lambda choices: [choice | {"index": 0} for choice in choices],
    ],
)
def test_missing_and_surplus_choices_are_errors(sampler, stub, spoil):
    stub.choices = spoil
    with pytest.raises(VllmError, match="answered 2 prompts with"):
        sampler.complete([SampleRequest("a"), SampleRequest("b")], GREEDY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"finish_reason": "abort"}, "'abort'"),
        ({"finish_reason": None}, "None"),
        ({"token_ids": None}, "no token ids"),
    ],
)
def test_completions_that_are_none_are_errors(sampler, stub, change, message):
    stub.choices = lambda choices: [choice | change for choice in choices]
    with pytest.raises(VllmError, match=message):
        sampler.complete([SampleRequest("a")], GREEDY)


# Concurrency


def test_sampled_requests_are_in_flight_together_up_to_the_bound(stub, monkeypatch):
    monkeypatch.setattr(vllm_sampler, "_CONCURRENCY", 4)
    together = threading.Barrier(4)
    stub.faults["completions"] = lambda body: together.wait(WAIT) and None
    with sampler_of(stub) as sampler:
        sampler.complete([SampleRequest("a", seed=seed) for seed in range(12)], SAMPLED)
    assert stub.most_in_flight["completions"] == 4


def test_adapters_are_in_use_together_up_to_the_bound_over_all_threads(stub, tmp_path):
    together = threading.Barrier(2)
    stub.faults["completions"] = lambda body: together.wait(WAIT) and None
    adapters = [save_adapter(tmp_path / str(index), str(index)) for index in range(8)]
    with sampler_of(stub, max_loras=2) as sampler, ThreadPoolExecutor(4) as threads:
        halves = [
            threads.submit(
                sampler.complete, [SampleRequest("a", adapter=path) for path in half], GREEDY
            )
            for half in (adapters[:4], adapters[4:])
        ]
        answers = [text for half in halves for text in texts(half.result(WAIT))]
    assert answers == [f"{index}:a:0" for index in range(8)]
    assert stub.most_in_flight["adapters"] == 2


def test_the_bare_model_and_adapters_are_never_asked_side_by_side(stub, tmp_path):
    meeting, asked, mixed = threading.Barrier(2), [], []

    def fault(body):
        asked.append(body["model"] == "base")
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.2)  # long enough for the other to come, if it is let in
        mixed.append(len(set(asked)) == 2 and stub.in_flight["completions"] > 1)

    stub.faults["completions"] = fault
    adapter = save_adapter(tmp_path / "adapter", "adapted")
    requests = [SampleRequest("a"), SampleRequest("a", adapter=adapter)]
    with sampler_of(stub) as sampler:
        assert texts(sampler.complete(requests, GREEDY)) == ["bare:a:0", "adapted:a:0"]
    assert sorted(asked) == [False, True]
    assert not any(mixed)


def test_kinds_of_tasks_take_turns_in_the_order_of_their_coming():
    entered = []

    async def task(turns, kind, enter, leave):
        async with turns.take(kind):
            entered.append(kind)
            enter.set()
            await leave.wait()

    async def main():
        turns = vllm_sampler._Turns()
        kinds = ["A", "A", "B", "A", "B", "B"]
        enters, leaves = ([asyncio.Event() for _ in kinds] for _ in range(2))
        async with asyncio.TaskGroup() as group:
            for kind, enter, leave in zip(kinds, enters, leaves, strict=True):
                group.create_task(task(turns, kind, enter, leave))
            for size, members in ((2, [0, 1]), (3, [2]), (4, [3]), (6, [4, 5])):
                for member in members:
                    await enters[member].wait()
                assert entered == kinds[:size]
                for member in members:
                    leaves[member].set()

    asyncio.run(asyncio.wait_for(main(), WAIT))


# Adapters


def test_requests_are_answered_by_their_adapters_in_order(stub, tmp_path):
    one, two = save_adapter(tmp_path / "one", "one"), save_adapter(tmp_path / "two", "two")
    requests = [SampleRequest(str(n), adapter=(None, one, two)[n % 3]) for n in range(9)]
    with sampler_of(stub, max_loras=2) as sampler:
        completions = sampler.complete(requests, GREEDY)
    assert texts(completions) == [f"{('bare', 'one', 'two')[n % 3]}:{n}:0" for n in range(9)]
    assert len(stub.bodies("load_lora_adapter")) == 2
    assert stub.adapters == {}


def test_a_rewritten_folder_is_answered_from_its_new_contents(sampler, stub, tmp_path):
    for contents in ("old", "new", "newer"):
        adapter = save_adapter(tmp_path / "adapter", contents)
        completions = sampler.complete([SampleRequest("a", adapter=adapter)], GREEDY)
        assert texts(completions) == [f"{contents}:a:0"]
    names = [body["lora_name"] for body in stub.bodies("load_lora_adapter")]
    assert len(set(names)) == 3


def test_an_adapter_is_unloaded_after_an_error(sampler, stub, tmp_path):
    adapter = save_adapter(tmp_path / "adapter")
    stub.faults["completions"] = lambda body: (400, {"error": {"message": "prompt too long"}})
    with pytest.raises(VllmError, match="prompt too long"):
        sampler.complete([SampleRequest("a", adapter=adapter)], GREEDY)
    assert len(stub.bodies("unload_lora_adapter")) == 1
    assert stub.adapters == {}


def test_the_first_error_is_told_when_unloading_fails_too(sampler, stub, tmp_path):
    adapter = save_adapter(tmp_path / "adapter")
    stub.faults["completions"] = lambda body: (500, "engine died")
    stub.faults["unload_lora_adapter"] = lambda body: (500, "engine dead")
    with pytest.raises(VllmError, match="engine died"):
        sampler.complete([SampleRequest("a", adapter=adapter)], GREEDY)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda adapter: Path("adapter"), "must be absolute"),
        (lambda adapter: adapter / "absent", "has no adapter_config.json"),
        (
            lambda adapter: (adapter / "adapter_model.safetensors").unlink() or adapter,
            "has no adapter_model.safetensors",
        ),
        (
            lambda adapter: (adapter / "adapter_config.json").write_text("{") and adapter,
            "is not JSON",
        ),
        (lambda adapter: save_adapter(adapter, rank_pattern={"q": 4}), "ignores rank_pattern"),
        (lambda adapter: save_adapter(adapter, alpha_pattern={"q": 4}), "ignores alpha_pattern"),
        (lambda adapter: save_adapter(adapter, lora_bias=True), "ignores lora_bias"),
    ],
)
def test_adapters_that_vllm_cannot_serve_are_refused_unsent(
    sampler, stub, tmp_path, spoil, message
):
    bad = spoil(save_adapter(tmp_path / "bad"))
    good = save_adapter(tmp_path / "good")
    requests = [SampleRequest("a"), SampleRequest("a", adapter=good)]
    with pytest.raises(UserError, match=message):
        sampler.complete([*requests, SampleRequest("a", adapter=bad)], GREEDY)
    assert stub.posts == []


def test_what_peft_writes_by_default_is_served(tmp_path):
    check_adapter(save_adapter(tmp_path / "a", rank_pattern={}, alpha_pattern={}, lora_bias=False))


# Errors


@pytest.mark.parametrize("path", ["load_lora_adapter", "completions", "unload_lora_adapter"])
@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (400, {"error": {"message": "too  long\nby far"}}, r"HTTP 400\): too long by far$"),
        (404, {"error": {"message": "No adapter found"}}, r"HTTP 404\): No adapter found$"),
        (404, {"detail": "Not Found"}, r"HTTP 404\): .*Not Found"),
        (500, {"error": {"message": "rank 64 is greater"}}, r"HTTP 500\): rank 64 is greater$"),
        (503, "plain words", r"HTTP 503\): plain words$"),
    ],
)
def test_what_the_server_refuses_is_quoted_and_not_repeated(
    sampler, stub, tmp_path, path, status, answer, message
):
    stub.faults[path] = lambda body: (status, answer)
    adapter = save_adapter(tmp_path / "adapter")
    with pytest.raises(VllmError, match=message):
        sampler.complete([SampleRequest("a", adapter=adapter)], GREEDY)
    assert len(stub.bodies(path)) == 1


def test_an_unknown_model_is_an_error(stub):
    with (
        VllmSampler(stub.url, "another", api_key=KEY, timeout=WAIT) as sampler,
        pytest.raises(VllmError, match="The model `another` does not exist"),
    ):
        sampler.complete([SampleRequest("a")], GREEDY)


@pytest.mark.parametrize("path", ["load_lora_adapter", "completions", "unload_lora_adapter"])
def test_broken_connections_are_repaired(sampler, stub, tmp_path, path):
    stub.faults[path] = once("hang up", times=2)
    adapter = save_adapter(tmp_path / "adapter")
    assert texts(sampler.complete([SampleRequest("a", adapter=adapter)], GREEDY)) == ["weights:a:0"]
    assert len(stub.bodies(path)) == 3


def test_a_load_whose_answer_was_lost_is_repeated_under_another_name(sampler, stub, tmp_path):
    stub.faults["load_lora_adapter"] = once("hang up")
    sampler.complete([SampleRequest("a", adapter=save_adapter(tmp_path / "adapter"))], GREEDY)
    first, second = (body["lora_name"] for body in stub.bodies("load_lora_adapter"))
    assert first != second


def test_a_server_that_is_gone_is_an_error(sampler, stub):
    stub.faults["completions"] = lambda body: "hang up"
    with pytest.raises(VllmError, match=f"no vLLM server answers at {stub.url}"):
        sampler.complete([SampleRequest("a")], GREEDY)
    assert len(stub.bodies("completions")) == 3


def test_a_slow_answer_is_an_error_and_not_asked_for_again(stub):
    done = threading.Event()
    stub.faults["completions"] = lambda body: done.wait(WAIT) and None
    with (
        VllmSampler(stub.url, "base", api_key=KEY, timeout=0.2) as sampler,
        pytest.raises(VllmError, match="did not answer a completion within 0 s"),
    ):
        sampler.complete([SampleRequest("a")], GREEDY)
    done.set()
    assert len(stub.bodies("completions")) == 1


def test_an_error_ends_the_call_while_others_are_in_flight(stub, monkeypatch):
    monkeypatch.setattr(vllm_sampler, "_CONCURRENCY", 2)
    both, done = threading.Barrier(2), threading.Event()

    def fault(body):
        both.wait(WAIT)
        if body["seed"]:
            done.wait(WAIT)
            return None
        return 400, {"error": {"message": "first"}}

    stub.faults["completions"] = fault
    requests = [SampleRequest("a", seed=seed) for seed in range(5)]
    with sampler_of(stub) as sampler:
        with pytest.raises(VllmError, match="first"):
            sampler.complete(requests, SAMPLED)
        assert len(stub.bodies("completions")) == 2  # the other three never left
        done.set()
        stub.faults.clear()
        assert texts(sampler.complete(requests[:1], SAMPLED)) == ["bare:a:0"]


def test_an_interrupted_call_ends_and_its_adapter_is_unloaded(stub, tmp_path):
    done, unloaded = threading.Event(), threading.Event()

    def interrupt(body):
        os.kill(os.getpid(), signal.SIGINT)
        done.wait(WAIT)

    stub.faults["completions"] = interrupt
    stub.faults["unload_lora_adapter"] = lambda body: unloaded.set()
    with sampler_of(stub) as sampler:
        with pytest.raises(KeyboardInterrupt):
            sampler.complete([SampleRequest("a", adapter=save_adapter(tmp_path / "a"))], GREEDY)
        assert unloaded.wait(WAIT)
        done.set()


def test_closing_ends_the_calls_of_other_threads(stub):
    asked, done = threading.Event(), threading.Event()
    stub.faults["completions"] = lambda body: asked.set() or (done.wait(WAIT) and None)
    sampler = VllmSampler(stub.url, "base", api_key=KEY, timeout=WAIT)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(sampler.complete, [SampleRequest("a")], GREEDY)
        assert asked.wait(WAIT)
        sampler.close()
        with pytest.raises(CancelledError):
            call.result(WAIT)
        done.set()


def test_closing_ends_the_samplers_thread_and_may_be_repeated(stub):
    before = threading.active_count()
    sampler = VllmSampler(stub.url, "base", api_key=KEY)
    assert threading.active_count() == before + 1
    sampler.close()
    sampler.close()
    assert threading.active_count() == before


def test_a_clusters_proxy_is_not_asked(stub, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with sampler_of(stub) as sampler:
        assert texts(sampler.complete([SampleRequest("a")], GREEDY)) == ["bare:a:0"]


# Server and sampler together


class FakeServer:
    """In place of a VllmServer: the stub answers, and `obituary` is what it died of."""

    def __init__(self, stub: Stub) -> None:
        self.base_url, self.model_name, self.api_key = stub.url, "base", KEY
        self.obituary: str | None = None

    def __call__(self, *arguments):
        self.arguments = arguments
        return self

    def __enter__(self):
        self.alive = True
        return self

    def __exit__(self, *_):
        self.alive = False

    def check_alive(self):
        if self.obituary:
            raise UserError(self.obituary)


@pytest.fixture
def fake_server(stub, monkeypatch):
    server = FakeServer(stub)
    monkeypatch.setattr(vllm_sampler, "VllmServer", server)
    return server


def test_a_policys_settings_reach_its_server(fake_server):
    settings = ModelSettings(dtype="float32", vllm_gpus="1")
    with open_vllm("org/model", settings, Path("log"), 24, 3) as sampler:
        assert texts(sampler.complete([SampleRequest("a")], GREEDY)) == ["bare:a:0"]
        assert fake_server.alive
    assert not fake_server.alive
    assert fake_server.arguments == ("org/model", settings, Path("log"), 24, 3)


@pytest.mark.parametrize(
    ("obituary", "message"),
    [(None, r"HTTP 500.*EngineDead \(server log: the/log\)"), ("died of X", "^died of X$")],
)
def test_an_error_leads_to_the_log_or_to_the_cause_of_death(fake_server, stub, obituary, message):
    stub.faults["completions"] = lambda body: (500, {"error": {"message": "EngineDead"}})
    fake_server.obituary = obituary
    with (
        pytest.raises(UserError, match=message),
        open_vllm("org/model", ModelSettings(), Path("the/log"), 8, 1) as sampler,
    ):
        sampler.complete([SampleRequest("a")], GREEDY)
    assert not fake_server.alive


def test_errors_of_others_pass_unchanged(fake_server):
    fake_server.obituary = "died of X"
    with (
        pytest.raises(UserError, match=r"^mine$"),
        open_vllm("org/model", ModelSettings(), Path("log"), 8, 1),
    ):
        raise UserError("mine")
