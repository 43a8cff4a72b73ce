"""The sampler and the server with a real vLLM (CPU suffices): SEAL_VLLM_COMMAND starts it."""

import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from seal.samplers.vllm import VllmError, VllmSampler
from seal.sampling import SampleRequest, SamplingParameters
from tests.vllm.conftest import MAX_RANK, STARTUP_SECONDS, open_descendants, wait_for_exit

PROMPTS = [
    f"{subject} {verb} {thing}"
    for subject in ("The quick fox", "A model", "Who")
    for verb in ("jumps over", "writes", "paid for", "is")
    for thing in ("the lazy dog", "its data")
]
GREEDY = SamplingParameters(max_new_tokens=24)


def requests_of(prompts, adapter=None):
    return [SampleRequest(prompt, adapter=adapter) for prompt in prompts]


@pytest.mark.parametrize("rank", [None, 1, 4, 8, 24, MAX_RANK])
@pytest.mark.parametrize("kind", ["texts", "token ids"])
def test_greedy_completions_are_those_of_transformers_and_peft(
    sampler, reference, write_adapter, tokenizer, tmp_path, rank, kind
):
    adapter = rank and write_adapter(tmp_path / "adapter", seed=rank, rank=rank)
    prompts = PROMPTS if kind == "texts" else tokenizer(PROMPTS).input_ids
    expected = reference.answer(prompts, adapter, GREEDY.max_new_tokens)
    completions = sampler.complete(requests_of(prompts, adapter), GREEDY)
    assert [
        (completion.text, completion.finish_reason, [*completion.token_ids])
        for completion in completions
    ] == [(answer.text, answer.finish_reason, answer.token_ids) for answer in expected]
    if adapter:
        bare = sampler.complete(requests_of(prompts), GREEDY)
        assert not {answer.text for answer in bare} & {answer.text for answer in completions}


def test_both_ends_of_a_completion_occur(sampler, reference, write_adapter, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", seed=8)
    completions = sampler.complete(requests_of(PROMPTS, adapter), GREEDY)
    assert {completion.finish_reason for completion in completions} == {"stop", "length"}
    last = {answer.token_ids[-1] for answer in reference.answer(PROMPTS, adapter, 24)}
    assert set(reference.ends) <= last, "both end-of-text tokens of the generation config"


def test_it_completes_as_the_in_process_sampler_does(
    sampler, model_folder, write_adapter, tokenizer, tmp_path
):
    in_process = pytest.importorskip("seal.samplers.in_process")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    adapters = [None, *(write_adapter(tmp_path / str(r), seed=r, rank=r) for r in (4, 8))]
    prompts = [*PROMPTS[:6], *tokenizer(PROMPTS[6:12]).input_ids]
    requests = [
        SampleRequest(prompt, adapter=adapters[index % 3]) for index, prompt in enumerate(prompts)
    ]
    expected = in_process.TransformersSampler(model, tokenizer).complete(requests, GREEDY)
    assert sampler.complete(requests, GREEDY) == expected


def test_the_bare_model_is_not_answered_with_an_adapters_weights(
    sampler, reference, write_adapter, tmp_path
):
    adapters = [
        None,
        *(write_adapter(tmp_path / str(rank), seed=rank, rank=rank) for rank in (4, 8)),
    ]
    answers = [reference.answer(PROMPTS, adapter, GREEDY.max_new_tokens) for adapter in adapters]
    kinds = [index % len(adapters) for index in range(len(PROMPTS))]
    requests = [
        SampleRequest(prompt, adapter=adapters[kind])
        for kind, prompt in zip(kinds, PROMPTS, strict=True)
    ]
    expected = [answers[kind][index].text for index, kind in enumerate(kinds)]
    # Where they are asked side by side, vLLM on a CPU gives wrong answers in one call of ten
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(sampler.complete, requests, GREEDY) for _ in range(60)]
    for call in calls:
        assert [completion.text for completion in call.result()] == expected


def test_two_hundred_adapters_are_never_answered_from_an_earlier_one(
    sampler, reference, write_adapter, tokenizer, tmp_path
):
    # Longer than two blocks of the prefix cache (128 tokens on CPU); shorter ones are not cached
    prompt = random.Random(0).choices(range(2, len(tokenizer)), k=300)
    parameters = SamplingParameters(max_new_tokens=6)
    expected, answers = [], []
    for call in range(20):
        # Of ten adapters five lie where others have lain in every call before
        folders = [
            write_adapter(
                tmp_path / (f"again-{n}" if n < 5 else f"new-{call}-{n}"), seed=10 * call + n
            )
            for n in range(10)
        ]
        requests = [SampleRequest(prompt, adapter=folder) for folder in folders]
        answers += [completion.text for completion in sampler.complete(requests, parameters)]
        expected += [
            answer.text
            for folder in folders
            for answer in reference.answer([prompt], folder, parameters.max_new_tokens)
        ]
    assert answers == expected
    assert len(set(expected)) > 190, "adapters that answer alike would hide a mistake"


def test_a_sampled_completion_depends_on_its_seed_alone(sampler, write_adapter, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", seed=1)
    parameters = SamplingParameters(max_new_tokens=16, temperature=1.0, top_p=0.95)
    for folder in (None, adapter):
        requests = [SampleRequest(PROMPTS[0], seed=seed, adapter=folder) for seed in range(32)]
        together = sampler.complete(requests, parameters)
        assert len({completion.text for completion in together}) == 32
        assert sampler.complete(requests[::-1], parameters) == together[::-1]
        assert sampler.complete(requests[5:6], parameters) == together[5:6]


def test_what_the_server_refuses_is_told_in_its_words(server, sampler, write_adapter, tmp_path):
    too_large = write_adapter(tmp_path / "large", seed=1, rank=MAX_RANK + 1)
    damaged = write_adapter(tmp_path / "damaged", seed=1)
    (damaged / "adapter_model.safetensors").write_bytes(b"not safetensors")
    other = write_adapter(tmp_path / "other", seed=1)
    config = json.loads((other / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    refused = {
        SampleRequest("a", adapter=too_large): r"rank 33 is greater than max_lora_rank 32",
        SampleRequest("a", adapter=damaged): r"HTTP 500.*[Hh]eader",
        SampleRequest("a", adapter=other): r"does not yet support DoRA",
        SampleRequest(""): r"HTTP 400.*empty",
        SampleRequest((9999,)): r"HTTP 400.*out of vocabulary",
        SampleRequest("a " * 5000): r"HTTP 400.*maximum context length is 4096",
    }
    for request, message in refused.items():
        with pytest.raises(VllmError, match=message):
            sampler.complete([SampleRequest("fine"), request], GREEDY)
    with (
        VllmSampler(server.base_url, "another", api_key=server.api_key) as stranger,
        pytest.raises(VllmError, match=r"HTTP 404.*`another` does not exist"),
    ):
        stranger.complete([SampleRequest("a")], GREEDY)
    # The server has survived all of it
    assert sampler.complete([SampleRequest("fine")], GREEDY)[0].token_ids


def test_only_its_key_opens_the_server(server, sampler):
    with (
        VllmSampler(server.base_url, server.model_name, api_key="another") as stranger,
        pytest.raises(VllmError, match="HTTP 401"),
    ):
        stranger.complete([SampleRequest("a")], GREEDY)
    for path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/models"):
        url = f"http://127.0.0.1:{server.port}{path}"
        assert httpx2.post(url, json={}, trust_env=False).status_code == 401
    assert sampler.complete([SampleRequest("fine")], GREEDY)  # so that it has logged requests
    key = server.api_key.encode()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError):  # it has ended meanwhile
            assert key not in command.read_bytes()
    assert key not in server._log_file.read_bytes()


PROGRAM = """
import time
from pathlib import Path
from seal.samplers.vllm_server import VllmServer
from seal.settings import ModelSettings
settings = ModelSettings(
    vllm_command={command!r}, dtype="float32", vllm_startup_timeout={timeout}
)
with VllmServer({model!r}, settings, Path({log!r}), rank=8) as server:
    print(server._process.pid, flush=True)
    time.sleep(600)
"""


def test_no_server_outlives_a_program_that_is_killed(vllm_command, model_folder, tmp_path):
    log = tmp_path / "vllm.log"
    program = PROGRAM.format(
        model=str(model_folder), command=vllm_command, log=str(log), timeout=STARTUP_SECONDS
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    with parent, parent.stdout as output:
        try:
            supervisor = output.readline()
            assert supervisor, "the server did not start"
            processes = open_descendants(int(supervisor))
            assert len(processes) >= 3
        finally:
            parent.kill()
    wait_for_exit(processes)
