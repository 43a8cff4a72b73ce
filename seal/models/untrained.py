"""Untrained small models as complete folders: the real loading code, without a download.

They know nothing. What is measured with them says how fast and how soundly the programs work, never
how well.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2ForCausalLM,
)

from seal.models.load import hide_progress_in_logs

END_OF_TEXT = "<|endoftext|>"

# Two narrow layers: an adapter trains in milliseconds on one CPU core
SIZE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    # Heads of 32: the narrowest that vLLM serves on a CPU
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 4096,
    "initializer_range": 0.2,
    "tie_word_embeddings": True,
}


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int = 512,
    pre_tokenizer: pre_tokenizers.PreTokenizer | None = None,
    special_tokens: Sequence[str] = (END_OF_TEXT,),
    chat_template: str | None = None,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on `texts`: any text survives encoding and decoding.

    A `pre_tokenizer` decides what no token spans; it must end in bytes (ByteLevel). The first of
    `special_tokens` ends a text and pads.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    end_of_text, *others = special_tokens
    special = {"additional_special_tokens": others, "chat_template": chat_template}
    return wrap_tokenizer(tokenizer, end_of_text, **special)


def wrap_tokenizer(
    tokenizer: Tokenizer, end_of_text: str, **options: Any
) -> PreTrainedTokenizerFast:
    """As transformers has tokenizers; `end_of_text` ends a text and pads."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=end_of_text,
        pad_token=end_of_text,
        clean_up_tokenization_spaces=False,
        **options,
    )


def random_model(
    architecture: type[PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
    **configuration: Any,
) -> PreTrainedModel:
    """A model with random weights for the tokenizer's vocabulary and its end-of-text token.

    `configuration` are fields of the architecture's config.
    """
    end = tokenizer.eos_token_id
    special = {"vocab_size": len(tokenizer), "eos_token_id": end, "pad_token_id": end}
    config = architecture.config_class(**special | configuration, bos_token_id=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = architecture(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=end)
    return model


def save_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Path:
    """Write a folder that `from_pretrained` reads; returns it."""
    hide_progress_in_logs()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_untrained_model(
    folder: Path, texts: Iterable[str], seed: int = 0, vocab_size: int = 512
) -> Path:
    """Write a Qwen2 with random weights and a tokenizer trained on `texts` as a model folder.

    Equal arguments give equal folders.
    """
    tokenizer = train_tokenizer(texts, vocab_size)
    return save_model(folder, random_model(Qwen2ForCausalLM, tokenizer, seed, **SIZE), tokenizer)
