"""Models of random weights in the shapes of real ones."""

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)


def build_model(preset: str, vocabulary: int, device: torch.device) -> PreTrainedModel:
    """The model of a preset on `device`: real shapes in bfloat16, the others in float32."""
    model_class, config, dtype = {
        "small": _small,
        "qwen2.5-7b": _qwen,
        "llama-3.2-1b": _llama,
        "llama-3.2-1b-layers": _llama_layers,
    }[preset](vocabulary)
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    try:
        # Built where and as it is needed: 7B parameters in float32 would take 30 GB of host memory
        torch.set_default_dtype(dtype)
        with device:
            model = model_class(config)
    finally:
        torch.set_default_dtype(before)
    return model.requires_grad_(False).eval()


def _small(vocabulary: int):
    """About 9.7 million parameters."""
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=976,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return Qwen2ForCausalLM, config, torch.float32


def _qwen(_: int):
    """Qwen2.5-7B's shape; the tokens in use are the first of its vocabulary."""
    config = Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    return Qwen2ForCausalLM, config, torch.bfloat16


_LLAMA = {
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
}


def _llama(_: int):
    """Llama-3.2-1B's shape."""
    config = LlamaConfig(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, head_dim=64, **_LLAMA
    )
    return LlamaForCausalLM, config, torch.bfloat16


def _llama_layers(vocabulary: int):
    """The same operations on hardly any numbers: what is left is the time to start them."""
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=64, head_dim=2, **_LLAMA
    )
    return LlamaForCausalLM, config, torch.float32
