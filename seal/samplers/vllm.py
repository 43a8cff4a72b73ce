"""A sampler backed by a vLLM server: adapters are loaded for a call and forgotten after it."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import openai
from openai.types import CompletionChoice

from seal.errors import UserError
from seal.event_loop import EventLoop
from seal.samplers.vllm_server import VllmServer
from seal.sampling import Completion, SampleRequest, SamplingParameters
from seal.settings import ModelSettings

Answer = TypeVar("Answer")

_BATCH = 64  # greedy prompts in one HTTP request
_CONCURRENCY = 256  # HTTP requests in flight at a time

_RETRY_PAUSES = (0.0, 0.2)
"""Seconds before each repetition of a request whose connection broke. The first comes at once: the
server closes idle connections after 5 s, perhaps just when one is used again."""

_NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Sent always, or a model's generation_config.json would set them (Qwen2.5's does)."""

_IGNORED_SETTINGS = ("rank_pattern", "alpha_pattern", "lora_bias")
"""Settings of a PEFT adapter that vLLM 0.31 loads without a word and then computes wrongly."""


class VllmError(UserError):
    """The server refused a request or did not answer; the message quotes it."""


class VllmSampler(AbstractContextManager):
    """Continues prompts through a vLLM server; the Sampler protocol, from any thread.

    Greedy prompts travel in batches. Sampled ones travel alone, since a request to vLLM has one
    seed. At most `max_loras` adapters are in use at once, over all threads. `timeout`: seconds that
    one HTTP request may take.

    Each call loads an adapter under a new name: vLLM caches keys and values by the adapter's name
    and path, and under a used name would answer for a folder's old contents. A folder may thus be
    rewritten between calls, not during one.

    Requests for the bare model and for adapters wait for each other. Side by side, vLLM 0.31 on a
    CPU answers the former with an adapter's weights: its kernels look up the index for "none", -1,
    and find the last adapter (vllm-project/vllm, pull request 48421).

    Where `max_new_tokens` cuts a character in two, vLLM leaves out its first bytes; a tokenizer
    would decode them to a replacement character.
    """

    def __init__(
        self,
        base_url: str,
        model_name: str,
        *,
        api_key: str = "unused",
        max_loras: int = 1,
        timeout: float = 3600.0,
    ) -> None:
        self._model_name = model_name
        self._timeout = timeout
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key,
            timeout=timeout,
            max_retries=0,  # openai's own would also repeat what the server refused
            # A cluster's proxy must not get requests for this machine
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
        )
        self._adapters_in_use = asyncio.Semaphore(max_loras)
        self._requests_in_flight = asyncio.Semaphore(_CONCURRENCY)
        self._turns = _Turns()
        # All threads' calls run on one event loop: an error or Ctrl-C cancels what is in flight
        self._events = EventLoop("vllm-sampler")

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what other threads still wait for and close the connections."""
        self._events.close(self._client.close)

    def complete(
        self, requests: Sequence[SampleRequest], parameters: SamplingParameters
    ) -> list[Completion]:
        """One completion per request, in order.

        Raises UserError for an adapter folder that vLLM cannot serve, before anything is sent, and
        VllmError for every request that the server refuses, fails or leaves unanswered; requests
        still in flight are then cancelled.
        """
        for adapter in {request.adapter for request in requests} - {None}:
            check_adapter(adapter)
        return self._events.run(self._complete(requests, parameters))

    async def _complete(
        self, requests: Sequence[SampleRequest], parameters: SamplingParameters
    ) -> list[Completion]:
        by_adapter: dict[Path | None, list[int]] = {}
        for index, request in enumerate(requests):
            by_adapter.setdefault(request.adapter, []).append(index)
        completions: dict[int, Completion] = {}

        async def answer(model: str, indices: Sequence[int]) -> None:
            batch = [requests[index] for index in indices]
            completions.update(zip(indices, await self._ask(model, batch, parameters), strict=True))

        async def answer_all(adapter: Path | None, indices: Sequence[int]) -> None:
            async with self._loaded(adapter) as model, asyncio.TaskGroup() as tasks:
                for batch in self._batches(requests, indices, greedy=parameters.temperature == 0):
                    tasks.create_task(answer(model, batch))

        async with asyncio.TaskGroup() as tasks:
            for adapter, indices in by_adapter.items():
                tasks.create_task(answer_all(adapter, indices))
        return [completions[index] for index in range(len(requests))]

    def _batches(
        self, requests: Sequence[SampleRequest], indices: Sequence[int], greedy: bool
    ) -> list[list[int]]:
        """Indices that may share an HTTP request: texts or token ids, and one seed."""
        if not greedy:
            return [[index] for index in indices]
        kinds: dict[bool, list[int]] = {True: [], False: []}
        for index in indices:
            kinds[isinstance(requests[index].prompt, str)].append(index)
        return [
            kind[start : start + _BATCH]
            for kind in kinds.values()
            for start in range(0, len(kind), _BATCH)
        ]

    async def _ask(
        self, model: str, batch: Sequence[SampleRequest], parameters: SamplingParameters
    ) -> list[Completion]:
        prompts = [request.prompt for request in batch]
        ask = partial(
            self._client.completions.create,
            model=model,
            prompt=[each if isinstance(each, str) else [*map(int, each)] for each in prompts],
            max_tokens=parameters.max_new_tokens,
            temperature=parameters.temperature,
            top_p=parameters.top_p,
            frequency_penalty=0.0,
            presence_penalty=0.0,
            seed=batch[0].seed,
            extra_body=_NEUTRAL | {"return_token_ids": True},
        )
        async with self._requests_in_flight:
            choices = (await self._send(ask, "a completion")).choices
        by_index = {choice.index: choice for choice in choices}
        if sorted(by_index) != list(range(len(batch))) or len(choices) != len(batch):
            raise VllmError(f"vLLM answered {len(batch)} prompts with {len(choices)} completions")
        return [_to_completion(by_index[index]) for index in range(len(batch))]

    @asynccontextmanager
    async def _loaded(self, adapter: Path | None) -> AsyncIterator[str]:
        """The name under which the server answers with `adapter`, for as long as it is needed."""
        if adapter is None:
            async with self._turns.take("bare"):
                yield self._model_name
            return
        async with self._adapters_in_use, self._turns.take("adapted"):
            name = await self._send(partial(self._load, adapter), f"adapter {adapter}")
            post = partial(self._client.post, cast_to=str, body={"lora_name": name})
            unload = partial(self._send, partial(post, "/unload_lora_adapter"), f"unloading {name}")
            try:
                yield name
            except BaseException:
                with suppress(VllmError):  # the first error tells more
                    await unload()
                raise
            await unload()

    async def _load(self, adapter: Path) -> str:
        # A new name for each attempt: one whose answer was lost may have taken effect
        name = f"adapter-{uuid.uuid4().hex}"
        body = {"lora_name": name, "lora_path": str(adapter)}
        await self._client.post("/load_lora_adapter", cast_to=str, body=body)
        return name

    async def _send(self, send: Callable[[], Awaitable[Answer]], what: str) -> Answer:
        """Await `send()`, again if the connection broke; VllmError says `what` was refused."""
        for pause in (*_RETRY_PAUSES, None):
            try:
                return await send()
            except openai.APIStatusError as error:
                message = error.body.get("message") if isinstance(error.body, dict) else None
                words = " ".join(str(message or error.response.text or error).split())
                refusal = f"vLLM refused {what} (HTTP {error.status_code}): {words}"
                raise VllmError(refusal) from error
            except openai.APITimeoutError as error:
                seconds = f"{self._timeout:.0f} s"
                raise VllmError(f"vLLM did not answer {what} within {seconds}") from error
            except openai.APIConnectionError as error:
                if pause is None:
                    raise VllmError(
                        f"no vLLM server answers at {self._client.base_url}: {error.__cause__}"
                    ) from error
                await asyncio.sleep(pause)


class _Turns:
    """Two kinds of tasks take turns: many of one kind at once, never both, none starved."""

    def __init__(self) -> None:
        # A task that waits for the other kind to finish holds the door, so that no more of it enter
        self._door = asyncio.Lock()
        self._empty = asyncio.Event()
        self._empty.set()
        self._inside = 0
        self._kind: str | None = None

    @asynccontextmanager
    async def take(self, kind: str) -> AsyncIterator[None]:
        async with self._door:
            if kind != self._kind:
                await self._empty.wait()
                self._kind = kind
            self._inside += 1
            self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()


@contextmanager
def open_vllm(
    model: str, settings: ModelSettings, log: Path, rank: int, adapters: int
) -> Iterator[VllmSampler]:
    """A server for `model` and a sampler that asks it; both are gone after the `with` block.

    Takes what VllmServer takes. Raises UserError if the server does not start, and instead of a
    VllmError that the block raises, with what the log says if the server has died.
    """
    server = VllmServer(model, settings, log, rank, adapters)
    key, name = server.api_key, server.model_name
    with server, VllmSampler(server.base_url, name, api_key=key, max_loras=adapters) as sampler:
        try:
            yield sampler
        except VllmError as error:
            server.check_alive()
            raise UserError(f"{error} (server log: {log})") from error


def check_adapter(adapter: Path) -> None:
    """Raise UserError unless vLLM would serve the PEFT folder `adapter` as PEFT means it."""
    if not adapter.is_absolute():
        # vLLM downloads what it does not find under a relative path from the hub
        raise UserError(f"adapter {adapter}: the path must be absolute")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / name).is_file():
            raise UserError(f"adapter {adapter} has no {name}; save it with save_pretrained")
    path = adapter / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it holds no object")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}); save the adapter again") from error
    for key in _IGNORED_SETTINGS:
        if config.get(key):
            raise UserError(f"{path}: vLLM ignores {key}; use one rank and alpha, and no bias")


def _to_completion(choice: CompletionChoice) -> Completion:
    if choice.finish_reason not in ("stop", "length"):
        raise VllmError(f"vLLM ended a completion with {choice.finish_reason!r}; see its log")
    token_ids = getattr(choice, "token_ids", None)
    if token_ids is None:
        raise VllmError("the server returns no token ids; it must be vLLM 0.31 or newer")
    return Completion(choice.text, choice.finish_reason, tuple(token_ids))
