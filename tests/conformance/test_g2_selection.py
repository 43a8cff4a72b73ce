"""Best-of-k selection agrees with the release on every record of G2 and on its released files."""

import hashlib

import pytest

from knowledge.method.selection import best_indices, select_best
from seal.records import read_json, read_jsonl
from tests.conformance.golden import golden
from tests.support.data import shared_data

RELEASE = "seal-release/general-knowledge"


def rewards_of(scores: list) -> list[float]:
    """The release counts a missing score as 0; ours would leave such a self-edit out."""
    return [0.0 if score is None else score for score in scores]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("k_best", [1, 2, 3])
def test_every_record(k_best):
    wrong = [
        record["id"]
        for record in golden("g2_selection")
        if best_indices(record["completions"], rewards_of(record["scores"]), k_best)
        != record[f"selected_top{k_best}"]
    ]
    assert wrong == []


def test_selected_texts_and_the_released_ones():
    for record in golden("g2_selection"):
        selected = select_best(record["completions"], rewards_of(record["scores"]))
        digests = [sha256(text) for text in selected]
        assert digests == record["selected_text_sha256"], record["id"]
        if record["matches_release"]:
            assert digests == record["released_completion_sha256"], record["id"]


def test_tied_best():
    for record in golden("g2_selection"):
        rewards = rewards_of(record["scores"])
        tied = [index for index, reward in enumerate(rewards) if reward == max(rewards)]
        assert tied == record["tied_best_indices"], record["id"]
        texts = ["text"] * len(rewards)
        assert best_indices(texts, rewards) == tied[:1], record["id"]


def test_synthetic():
    for record in golden("g2_selection_synthetic"):
        texts = [completion["text"] for completion in record["completions"]]
        scores = [(c.get("stats") or {}).get(record["metric"]) for c in record["completions"]]
        selected = select_best(texts, rewards_of(scores), record["k_best"])
        assert selected == record["expected"], record["id"]


@pytest.mark.parametrize(
    ("ranked", "sft"),
    [
        ("train/rank_iter0.json", "sft_best1of5_iter0.jsonl"),
        ("train/rank_iter1.json", "sft_best1of5_iter1.jsonl"),
        (
            "alternate_prompts/train/rank_iter0_prompt-rewrite.json",
            "alternate_prompts/sft_best1of5_iter0_prompt-rewrite.jsonl",
        ),
    ],
)
def test_released_finetuning_file_row_for_row(ranked, sft):
    articles = read_json(shared_data(f"{RELEASE}/results/query_server/{ranked}"))["articles"]
    rows = [
        {"prompt": article["prompt"], "completion": text}
        for article in articles
        for text in select_best(
            [completion["text"] for completion in article["completions"]],
            [completion["stats"]["adapter_mean"] for completion in article["completions"]],
        )
    ]
    assert rows == read_jsonl(shared_data(f"{RELEASE}/data/synthetic_data/EM_SFT/{sft}"))
