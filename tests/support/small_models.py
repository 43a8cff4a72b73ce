"""Small real models and tokenizers, built in milliseconds: tests load what programs would load."""

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from seal.models.untrained import save_untrained_model, train_tokenizer

_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "initializer_range": 0.2,
    # A model without a tokenizer has no special tokens
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}


def small_qwen2(vocab_size: int, dtype=torch.float32, seed: int = 0, **settings) -> PreTrainedModel:
    """A two-layer Qwen2 with random weights and a tied head; `settings` override its config."""
    return _build(
        Qwen2ForCausalLM,
        Qwen2Config(**_SIZES | {"vocab_size": vocab_size, "tie_word_embeddings": True} | settings),
        dtype,
        seed,
    )


def small_llama(vocab_size: int, dtype=torch.float32, seed: int = 0, **settings) -> PreTrainedModel:
    """A two-layer Llama with random weights and an untied head; `settings` override its config."""
    return _build(
        LlamaForCausalLM,
        LlamaConfig(**_SIZES | {"vocab_size": vocab_size, "tie_word_embeddings": False} | settings),
        dtype,
        seed,
    )


def small_qwen3(vocab_size: int, dtype=torch.float32, seed: int = 0, **settings) -> PreTrainedModel:
    """A two-layer Qwen3 with random weights: its heads have norms; `settings` override."""
    own = {"vocab_size": vocab_size, "head_dim": 8, "tie_word_embeddings": True}
    return _build(Qwen3ForCausalLM, Qwen3Config(**_SIZES | own | settings), dtype, seed)


def _build(model_class, config, dtype: torch.dtype, seed: int) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
    model = model.to(dtype).eval()
    if dtype == torch.float64:
        _compute_norms_in_float64(model)
    return model


def _compute_norms_in_float64(model: PreTrainedModel) -> None:
    """transformers' RMS norms round to float32, which would hide errors below 1e-7."""
    for name, module in list(model.named_modules()):
        if type(module).__name__.endswith("RMSNorm"):
            norm = torch.nn.RMSNorm(
                module.weight.shape, eps=module.variance_epsilon, dtype=torch.float64
            )
            norm.weight = module.weight
            model.set_submodule(name, norm)


def small_tokenizer(texts: Iterable[str], vocab_size: int = 512) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on `texts`: it encodes any text and decodes it unchanged."""
    return train_tokenizer(texts, vocab_size)


def save_model_folder(folder: Path, texts: Iterable[str], seed: int = 0) -> Path:
    """Write a small Qwen2 as a complete transformers folder, as `from_pretrained` expects it."""
    return save_untrained_model(folder, texts, seed)
