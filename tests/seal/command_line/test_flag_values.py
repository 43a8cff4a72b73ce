"""What flags may say: labels that can name folders, and runs of a size that ends."""

import pytest

from seal.command_line.flag_values import count, labelled
from seal.errors import UserError


def test_labels():
    assert labelled("--policies", ["seal-1=a/b", "c=d=e"]) == {"seal-1": "a/b", "c": "d=e"}
    assert labelled("--policies", ["round-1=a", "qwen2.5=b", "+x=c", "é=d"], taken=["self-edits"])


@pytest.mark.parametrize(
    "words", [["x"], ["=x"], ["a="], ["a/b=c"], ["a=b", "a=c"], ["self-edits=x"]]
)
def test_bad_labels_are_refused(words):
    with pytest.raises(UserError, match="--policies"):
        labelled("--policies", words, taken=["self-edits"])


def test_the_size_of_a_run():
    assert count("adapters", {"passages": 200, "--k": 5, "--repeats": 1000}) == 1_000_000
    with pytest.raises(UserError) as refused:
        count("adapters", {"--n_passages": 200, "--k": 5001})
    assert str(refused.value) == (
        "--n_passages 200 x --k 5,001: 1,000,200 adapters are too many; lower them to 1,000,000"
    )
