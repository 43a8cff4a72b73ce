"""What flags may say: labels that can name folders, forms of texts, ranges of numbers."""

import pytest

from seal.errors import UserError
from seal.flag_values import labelled


def test_labels():
    assert labelled("--policies", ["seal-1=a/b", "c=d=e"]) == {"seal-1": "a/b", "c": "d=e"}


@pytest.mark.parametrize(
    "words", [["x"], ["=x"], ["a="], ["a/b=c"], ["a=b", "a=c"], ["self-edits=x"]]
)
def test_bad_labels_are_refused(words):
    with pytest.raises(UserError, match="--policies"):
        labelled("--policies", words, taken=["self-edits"])
