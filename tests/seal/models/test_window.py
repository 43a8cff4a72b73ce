"""A prompt that does not fit the model's window is named before any work."""

import pytest

from seal.errors import UserError
from seal.models.window import Prompt, check_prompt_lengths
from tests.support.small_models import small_qwen2, small_tokenizer

WINDOW = 32


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer(["aaaa bbbb"] * 4)


def check(tokenizer, sampler: str, *prompts: Prompt) -> None:
    model = small_qwen2(len(tokenizer), max_position_embeddings=WINDOW)
    check_prompt_lengths("--model m", model, tokenizer, sampler, lambda _: prompts)


@pytest.mark.parametrize("sampler", ["transformers", "vllm"])
@pytest.mark.parametrize("new_tokens", [1, 10])
def test_the_longest_prompt_that_fits(tokenizer, sampler, new_tokens):
    follow = new_tokens if sampler == "vllm" else 1
    fits = Prompt("row 1", [1] * (WINDOW - follow), new_tokens, "--max_new_tokens")
    check(tokenizer, sampler, fits)
    longer = fits._replace(where="tasks.json row 2", prompt=[*fits.prompt, 1])
    with pytest.raises(UserError) as refused:
        check(tokenizer, sampler, fits, longer)
    assert str(refused.value) == (
        f"tasks.json row 2: a prompt about it has {WINDOW - follow + 1} tokens and {follow} may"
        f" follow (--max_new_tokens), and --model m takes {WINDOW} in all; leave it out, lower"
        " --max_new_tokens, or choose another model"
    )


def test_texts_are_measured_in_tokens(tokenizer):
    text = "aaaa" * WINDOW
    tokens = len(tokenizer(text)["input_ids"])
    assert len(text) > WINDOW
    prompt = Prompt("row 1", text, 1, "--n")
    if tokens + 1 <= WINDOW:
        check(tokenizer, "vllm", prompt)
    with pytest.raises(UserError, match=f"^row 1: .* has {2 * tokens} tokens"):
        check(tokenizer, "vllm", prompt._replace(prompt=text * 2))
