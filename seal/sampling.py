"""What a sampler is: requests in, completions out, the same for in-process models and vLLM."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol


@dataclass(frozen=True)
class SamplingParameters:
    """How to decode; one set serves all requests of a call."""

    max_new_tokens: int
    """Where prompt and this exceed the model's window, the in-process sampler stops at the window,
    whereas a vLLM server refuses the request."""
    temperature: float = 0.0
    """0 decodes greedily; seeds are then ignored."""
    top_p: float = 1.0


@dataclass(frozen=True)
class SampleRequest:
    """One prompt to continue.

    `prompt` is a text, tokenized with the tokenizer's defaults, or token ids, taken as they are
    (a rendered chat template must come as ids, or its first special token would be doubled).
    `adapter` is the absolute path of a PEFT adapter folder, or None for the bare model.
    """

    prompt: str | Sequence[int]
    seed: int = 0
    adapter: Path | None = None


@dataclass(frozen=True)
class Completion:
    """The continuation of a prompt. `text` holds no special tokens."""

    text: str
    finish_reason: Literal["stop", "length"]
    """"stop" at an end-of-text token, "length" when `max_new_tokens` were used up."""
    token_ids: tuple[int, ...]
    """The tokens as they were sampled, the end-of-text token included."""


class Sampler(Protocol):
    """A model that continues prompts, bare or under LoRA adapters.

    A call is all or nothing: it returns one completion per request, in order, or raises. With a
    temperature, the text of a request depends on its own seed, not on its place in the batch.
    """

    def complete(
        self, requests: Sequence[SampleRequest], parameters: SamplingParameters
    ) -> list[Completion]: ...
