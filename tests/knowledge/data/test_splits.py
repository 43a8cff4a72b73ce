"""Splits: disjoint, deterministic, and those of the release."""

import random
from itertools import groupby

import pytest

from knowledge.data.passages import Passage, load_passages
from knowledge.data.splits import (
    evaluation_passages,
    load_round,
    rl_passages,
    shuffled,
    validation_passages,
)
from knowledge.settings import RoundSettings
from seal.errors import UserError
from seal.records import read_json, write_json
from tests.support.data import shared_data

RESULTS = "seal-release/general-knowledge/results/query_server"
PASSAGES = [Passage(f"p{number}", "T", str(number), ()) for number in range(120)]


def released_articles(name: str) -> list[tuple[str, str]]:
    articles = read_json(shared_data(f"{RESULTS}/{name}"))["articles"]
    return [(article["title"], article["context"]) for article in articles]


def articles_of(passages: list[Passage]) -> list[tuple[str, str]]:
    return [(passage.title, passage.context) for passage in passages]


def test_shuffling_is_the_papers_and_leaves_its_input_alone():
    expected = list(range(120))
    random.Random(42).shuffle(expected)
    before = list(PASSAGES)
    assert [int(passage.context) for passage in shuffled(PASSAGES)] == expected
    assert before == PASSAGES
    assert shuffled(PASSAGES, seed=None) == PASSAGES
    assert shuffled(PASSAGES, seed=43) != shuffled(PASSAGES)


@pytest.mark.parametrize("seed", [42, None])
def test_rounds_and_validation_are_disjoint_and_use_all(seed):
    parts = [rl_passages(PASSAGES, index, 50, n_validation=20, seed=seed) for index in range(2)]
    parts.append(validation_passages(PASSAGES, 20, seed=seed))
    ids = [passage.id for part in parts for passage in part]
    assert len(ids) == len(set(ids)) == 120
    assert parts[0] == evaluation_passages(PASSAGES, 50, seed=seed)


@pytest.mark.parametrize(
    "cut",
    [
        lambda: rl_passages(PASSAGES, 2),
        lambda: rl_passages(PASSAGES, 1, n_validation=21),
        lambda: rl_passages(PASSAGES, 0, n_validation=200),
        lambda: rl_passages(PASSAGES, -1),
        lambda: rl_passages(PASSAGES, 0, n=0),
        lambda: evaluation_passages(PASSAGES),
        lambda: validation_passages(PASSAGES, 121),
        lambda: validation_passages(PASSAGES, 0),
    ],
)
def test_too_few_passages_are_refused(cut):
    with pytest.raises(UserError, match="are wanted"):
        cut()


def test_flags_name_a_round_from_one_or_the_evaluation(tmp_path):
    path = tmp_path / "passages.json"
    questions = [{"question": "q", "answer": "a"}]
    entries = [{"title": "T", "context": str(i), "questions": questions} for i in range(9)]
    write_json(path, entries)
    passages = load_passages(path)

    def named_by(**flags):
        return load_round(RoundSettings(passages=str(path), n_passages=4, **flags))

    assert named_by(round=1) == rl_passages(passages, 0, 4)
    assert named_by(round=2) == rl_passages(passages, 1, 4)
    assert named_by(round=2, shuffle=False) == passages[4:8]
    assert named_by(round=0) == evaluation_passages(passages, 4)
    assert named_by(round=0, shuffle=False) == passages[:4]
    for wrong in (3, -1):
        with pytest.raises(UserError, match="of 9 available"):
            named_by(round=wrong)


def test_evaluation_passages_are_the_releases():
    passages = evaluation_passages(load_passages(shared_data("squad/squad_val.json")))
    assert articles_of(passages) == released_articles("eval/base.json")
    assert sum(len(passage.questions) for passage in passages) == 974


def test_first_round_of_the_default_prompt_is_a_file_in_its_own_order():
    passages = load_passages(shared_data("squad/squad_train_100.json"))
    first = rl_passages(passages, 0, seed=None)
    assert articles_of(first) == released_articles("train/rank_iter0.json")


def test_other_rounds_are_cut_from_the_shuffled_training_passages():
    """The training split itself is not at hand, but its articles are runs of paragraphs.

    So if the 100 passages of the two rounds stand at the shuffle's first 100 places, sorting them
    by where they came from must bring every article's passages together.
    """
    rounds = [
        released_articles("alternate_prompts/train/rank_iter0_prompt-rewrite.json"),
        released_articles("train/rank_iter1.json"),
    ]
    titles = [title for articles in rounds for title, _ in articles]

    def runs_of_titles(seed: int) -> int:
        origins = list(range(18_891))
        random.Random(seed).shuffle(origins)
        in_file_order = [title for _, title in sorted(zip(origins, titles, strict=False))]
        return len(list(groupby(in_file_order)))

    assert runs_of_titles(42) == len(set(titles)) < 100
    assert all(runs_of_titles(seed) > len(set(titles)) for seed in range(30, 42))
