"""One policy in use: its weights to be updated, and a sampler that continues prompts with it."""

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from seal.models.load import check_files_finite, check_model, load_model
from seal.sampling import Sampler
from seal.settings import ModelSettings


class Policy:
    """A language model that writes self-edits and is updated on them.

    `sampler` answers for the same weights as `model`, which is loaded when a program asks for it:
    vLLM holds its own copy in another process.
    """

    sampler: Sampler

    def __init__(self, name: str, settings: ModelSettings) -> None:
        self.name = name
        self.settings = settings
        self.tokenizer: PreTrainedTokenizerBase
        _, self.tokenizer = check_model(name, trust_remote_code=settings.trust_remote_code)

    @cached_property
    def model(self) -> PreTrainedModel:
        """The frozen weights, on the device where LoRA updates run."""
        settings = self.settings
        return load_model(self.name, settings.dtype, settings.device, settings.trust_remote_code)


@contextmanager
def open_policy(
    name: str, settings: ModelSettings, log: Path, rank: int = 1, adapters: int = 1
) -> Iterator[Policy]:
    """Load or serve the model `name`; on leaving, the server is gone and the memory is free.

    `rank` and `adapters`: the largest LoRA rank, and how many adapters are asked side by side;
    `log` gets a server's output. Raises UserError if the model or the server does not start.
    """
    policy = Policy(name, settings)
    with ExitStack() as stack:
        if settings.sampler == "vllm":
            from seal.samplers.vllm import open_vllm

            check_files_finite(name)
            policy.sampler = stack.enter_context(open_vllm(name, settings, log, rank, adapters))
        else:
            from seal.samplers.in_process import TransformersSampler, share_weights

            # Modules of its own over the same weights: it answers while adapters are trained
            model, batch = share_weights(policy.model), settings.sampling_batch
            policy.sampler = TransformersSampler(model, policy.tokenizer, max_batch=batch)
        try:
            yield policy
        finally:
            policy.__dict__.pop("model", None)
            del policy.sampler
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
