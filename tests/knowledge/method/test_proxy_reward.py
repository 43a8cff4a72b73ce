"""The proxy reward: marks of a chat model; what could not be rated is neither good nor bad."""

import re

import pytest

from knowledge.data.passages import Passage
from knowledge.judging.replies import read_proxy_scores
from knowledge.method.outer_loop import (
    PassageDomain,
    describe_selection,
    open_reward,
    select_self_edits,
)
from knowledge.method.proxy_reward import Rater, open_rater, rate_self_edits
from knowledge.method.reward import measure_rewards
from knowledge.method.self_edits import SelfEdit
from knowledge.settings import PROMPTS, OuterLoopSettings
from seal.chat.client import ChatClient
from seal.errors import UserError
from seal.records import read_jsonl
from seal.run import Run
from tests.support.chat_stub import completion, refusal, running_stub
from tests.support.runs import lines_of

PASSAGES = [Passage(name, name.title(), f"All about the {name}.", ()) for name in ("moth", "ferry")]
MARKS = "Length: {0}\nDiversity: {1}\nQuality: {2}\nCorrectness: {3}"


def self_edits(*texts: str) -> list[SelfEdit]:
    return [
        SelfEdit(f"{p.id}/implications/{n}", p.id, "implications", text, "stop", 1)
        for p in PASSAGES
        for n, text in enumerate(texts)
    ]


def marks_as_written(prompt: str):
    """The notes hold the marks that they are to get."""
    return completion(
        MARKS.format(*re.search(r"^marks (\d) (\d) (\d) (\d)", prompt, re.M).groups())
    )


@pytest.fixture
def stub():
    with running_stub() as running:
        running.reply = marks_as_written
        yield running


@pytest.fixture
def rater(stub):
    client = ChatClient("judge", stub.url)
    return Rater(client, PROMPTS / "proxy-rubric.txt")


def rate(run, rater, edits, **settings):
    return rate_self_edits(
        run, PASSAGES, edits, None, 0, rater=rater, settings=OuterLoopSettings(**settings)
    )


def test_all_four_marks_are_needed():
    whole = read_proxy_scores(MARKS.format(3, 4, 2, 5))
    assert (whole.length, whole.diversity, whole.quality, whole.correctness) == (3, 4, 2, 5)
    assert whole.final == 14
    assert read_proxy_scores(MARKS.format(9, 1, 1, 1)).final == 8
    lines = MARKS.format(3, 4, 2, 5).splitlines()
    for left_out in range(4):
        partial = "\n".join(lines[:left_out] + lines[left_out + 1 :])
        assert read_proxy_scores(partial) is None
        assert read_proxy_scores(f"{partial}\nFinal score: 17") is None
    assert read_proxy_scores("") is None


def test_the_model_sees_passage_and_self_edit_and_is_asked_greedily(stub, rater):
    moth = Passage("a", "Moth", "All about {title}.", ())
    rater.rate([(moth, " marks 1 2 3 4 {passage}\n")])
    system, user = stub.bodies[0]["messages"]
    assert system["role"] == "system"
    assert '"Moth":\nAll about {title}.\n' in user["content"]
    assert "\nmarks 1 2 3 4 {passage}\n\n" in user["content"]


def test_rewards_are_the_sums_and_select_the_best_of_each_passage(stub, rater, tmp_path):
    edits = self_edits("marks 3 3 3 3", "marks 5 4 5 4", "marks 4 5 4 5")
    rewards, figures = rate(Run(tmp_path), rater, edits)
    assert [reward.reward for reward in rewards] == [12.0, 18.0, 18.0] * 2
    selected = select_self_edits(edits, rewards, OuterLoopSettings(), seed=0)
    assert [kept.id for kept in selected] == ["moth/implications/1", "ferry/implications/1"]
    assert figures == {
        "reward": "proxy",
        "rater": f"judge at {stub.url}",
        "mean_proxy_score": 16.0,
        "n_passages": 2,
        "n_self_edits": 6,
        "n_unrated": 0,
    }
    said = PassageDomain.describe_round(figures | describe_selection(selected, rewards))
    assert "16.00 of 20" in said and "the 2 selected 18.00" in said
    marks = {"length": 5, "diversity": 4, "quality": 5, "correctness": 4, "final": 18}
    assert {"id": "moth/implications/1", "scores": marks} in read_jsonl(tmp_path / "ratings.jsonl")
    # Nothing is asked twice
    asked = len(stub.bodies)
    assert rate(Run(tmp_path), rater, edits) == (rewards, figures) and len(stub.bodies) == asked


def test_a_blank_self_edit_has_the_lowest_score_unasked(stub, rater, tmp_path):
    rewards, _ = rate(Run(tmp_path), rater, self_edits(" \n", "marks 2 2 2 2"))
    assert [reward.reward for reward in rewards] == [4.0, 8.0] * 2
    assert len(stub.bodies) == 2


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (completion("Length: 3"), "a reply without all four marks"),
        (completion(None, "content_filter"), "no text (content_filter)"),
        (refusal(400, "too long"), "status 400: too long"),
    ],
)
def test_a_missing_rating_is_no_low_score(stub, rater, tmp_path, response, reason):
    stub.reply = lambda p: response if "odd" in p else marks_as_written(p)
    edits = self_edits("odd", "marks 1 1 1 1")
    run = Run(tmp_path)
    with pytest.raises(
        UserError, match=re.escape(f"2 of 4 self-edits could not be rated (mostly: {reason}")
    ):
        rate(run, rater, edits)
    assert len(read_jsonl(run.path("ratings.jsonl"))) == 2 and lines_of(run, "rewards") == []
    # Asked again, it gets its marks
    stub.reply = lambda p: marks_as_written(p.replace("odd", "marks 5 5 5 5"))
    rewards, _ = rate(run, rater, edits)
    assert [reward.reward for reward in rewards] == [20.0, 4.0] * 2


def test_a_tolerated_share_stays_unrated_and_is_never_selected(stub, rater, tmp_path):
    stub.reply = lambda p: completion("?") if "odd" in p else marks_as_written(p)
    edits = self_edits("odd", "marks 1 1 1 1")
    rewards, figures = rate(Run(tmp_path), rater, edits, max_ungraded=0.5)
    assert [reward.reward for reward in rewards] == [None, 4.0] * 2
    assert (figures["mean_proxy_score"], figures["n_unrated"]) == (4.0, 2)
    assert [
        kept.text for kept in select_self_edits(edits, rewards, OuterLoopSettings(), seed=0)
    ] == ["marks 1 1 1 1"] * 2
    stub.reply = marks_as_written
    assert rate(Run(tmp_path), rater, edits, max_ungraded=0.5) == (rewards, figures)


def test_the_offline_judge_rates_nothing():
    with pytest.raises(UserError, match=r"--reward proxy needs a chat model.*--judge openai"):
        open_rater(OuterLoopSettings(reward="proxy"))


def test_the_judges_flags_name_the_rater(stub, tmp_path):
    settings = OuterLoopSettings(
        reward="proxy",
        judge="openai",
        judge_model="judge",
        judge_url=stub.url,
        judge_cache=tmp_path / "cache.jsonl",
    )
    stub.reply = lambda prompt: completion("yes")
    assert open_rater(settings).client.name == f"judge at {stub.url}"
    assert stub.bodies[0]["temperature"] == 0.0
    (tmp_path / "proxy-rubric.txt").write_text("{title} {passage}")
    with pytest.raises(UserError, match=r"proxy-rubric\.txt: the prompt lacks \{self_edit\}"):
        open_rater(OuterLoopSettings(reward="proxy", judge="openai", prompts=tmp_path))
    assert open_reward(settings, None).func is rate_self_edits
    assert open_reward(OuterLoopSettings(), None).func is measure_rewards
