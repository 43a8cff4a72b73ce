"""Which self-edits of ARC tasks are imitated, and as what rows; what is drawn of the rounds."""

from collections import Counter
from dataclasses import replace

from arc.method import outer_loop
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


ROUNDS = [
    {"in_context_success_rate": 0.0, "success_rate": 0.2, "n_rewarded": 3},
    {"in_context_success_rate": 0.1, "success_rate": 0.7, "n_rewarded": 9},
]


def test_a_png_of_the_rounds_appears_under_its_name_alone(tmp_path):
    for number in (1, 2):
        path = tmp_path / f"{number}.png"
        TaskDomain.plot(ROUNDS[:number], [], path)
        assert path.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "1.png").read_bytes() != (tmp_path / "2.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_curves_are_the_rounds_numbers(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(outer_loop, "plot_rounds", lambda *arguments: drawn.append(arguments))
    TaskDomain.plot(ROUNDS, [], tmp_path / "rounds.png")
    assert drawn == [
        (
            {"in context, no update": [0.0, 0.1], "after the inner loop": [0.2, 0.7]},
            tmp_path / "rounds.png",
            "success",
        )
    ]
