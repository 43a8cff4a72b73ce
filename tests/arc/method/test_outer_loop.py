"""Which self-edits of ARC tasks are imitated, and as what rows."""

from collections import Counter
from dataclasses import replace

from arc.method.outer_loop import TaskDomain, select_self_edits, sft_rows
from arc.method.prompts import self_edit_prompt
from arc.method.reward import Reward
from arc.method.self_edits import SelfEdit
from arc.settings import RestEmSettings
from seal.training.sft import SftRow
from tests.arc.method.test_reward import (
    NO_EPOCH_TEXT,
    ONE_STEP_TEXT,
    SETTINGS,
    TOO_LONG_TEXT,
    self_edits_of,
)
from tests.arc.policies import FERRY, MOTH, chat_tokenizer, policy_of


def rewards_for(self_edits: list[SelfEdit], *earned: float | None) -> list[Reward]:
    """None: it was rejected."""
    return [
        Reward(s.id, s.task_id, bool(value), value or 0.0, None, "why" if value is None else None)
        for s, value in zip(self_edits, earned, strict=True)
    ]


def test_self_edits_are_imitated_after_their_own_prompt():
    found = [
        *self_edits_of(MOTH, f"\n {ONE_STEP_TEXT} \n", ONE_STEP_TEXT),
        *self_edits_of(FERRY, NO_EPOCH_TEXT),
    ]
    moth, ferry = (self_edit_prompt(t, SETTINGS, chat_tokenizer()) for t in (MOTH, FERRY))
    assert sft_rows([FERRY, MOTH], found, SETTINGS, chat_tokenizer()) == [
        SftRow(moth, ONE_STEP_TEXT),
        SftRow(moth, ONE_STEP_TEXT),
        SftRow(ferry, NO_EPOCH_TEXT),
    ]
    assert sft_rows([FERRY, MOTH], [], SETTINGS, chat_tokenizer()) == []


def test_every_rewarded_self_edit_is_selected():
    found = [*self_edits_of(MOTH, *"abc"), *self_edits_of(FERRY, *"de")]
    rewards = rewards_for(found, 1, 0, 1, None, 1)
    for seed in range(3):
        selected = select_self_edits(found, rewards, "rewarded", seed)
        assert selected == [found[0], found[2], found[4]]
    assert select_self_edits(found, rewards_for(found, 0, 0, 0, None, 0), "rewarded", 0) == []
    # A dummy, which the release rewards by luck, is imitated there too
    lucky = [replace(rewards[3], reward=1.0)]
    assert select_self_edits(found, lucky, "rewarded", 0) == [found[3]]


def test_all_that_could_be_trained_on_are_a_control():
    found = self_edits_of(MOTH, *"abcd")
    rewards = rewards_for(found, 0, None, 1, 0)
    assert select_self_edits(found, rewards, "all", 0) == [found[0], found[2], found[3]]


def test_random_ones_are_as_many_as_were_rewarded_and_any_that_could_be_trained_on():
    found = self_edits_of(MOTH, *"abcdef")
    rewards = rewards_for(found, 1, None, 0, 1, 0, 0)
    chosen = [select_self_edits(found, rewards, "random", seed) for seed in range(100)]
    assert all(len(each) == 2 for each in chosen)
    assert all(each == sorted(each, key=found.index) for each in chosen)
    drawn = Counter(self_edit.text for each in chosen for self_edit in each)
    # 40 each on average, rewarded or not
    assert drawn.keys() == {*"acdef"} and all(20 < n < 60 for n in drawn.values())
    assert select_self_edits(found, rewards, "random", 7) == chosen[7]
    # What was rewarded without training (see above) can be more than all that were trained
    lucky = rewards_for(found, None, None, None, None, None, 0)
    lucky = [replace(reward, reward=1.0) for reward in lucky]
    assert select_self_edits(found, lucky, "random", 0) == [found[5]]


def test_a_selection_is_described_beside_what_was_sampled():
    found = self_edits_of(MOTH, ONE_STEP_TEXT, "x", TOO_LONG_TEXT)
    domain = TaskDomain([MOTH], RestEmSettings())
    policy = policy_of(None)
    rows, described = domain.select([MOTH], found, rewards_for(found, 1, None, 0), policy, 0)
    assert len(rows) == described["n_selected"] == 1
    assert described["knobs"]["epochs"] == {"1e-09": 0.5, "1e+09": 0.5}
    assert described["selected_knobs"]["epochs"] == {"1e-09": 1.0}
    rows, described = domain.select([MOTH], found, rewards_for(found, 0, None, 0), policy, 0)
    assert (rows, described["n_selected"], described["selected_knobs"]) == ([], 0, {})


def test_shuffled_rewards_go_to_any_that_could_be_trained_on():
    found = self_edits_of(MOTH, *"abcdef")
    rewards = rewards_for(found, 1, None, 0, 1, 0, 0)
    chosen = [select_self_edits(found, rewards, "shuffled", seed) for seed in range(100)]
    drawn = Counter(self_edit.text for each in chosen for self_edit in each)
    assert all(len(each) == 2 for each in chosen)
    assert drawn.keys() == {*"acdef"} and all(20 < n < 60 for n in drawn.values())


def test_selection_goes_by_the_reward_whatever_the_success():
    found = self_edits_of(MOTH, *"ab")
    rewards = [
        replace(reward, reward=value)
        for reward, value in zip(rewards_for(found, 1, 0), (0.0, 0.3), strict=True)
    ]
    assert select_self_edits(found, rewards, "rewarded", 0) == [found[1]]
