"""Rewards, selection, the M-step's rows and curves: what is ungraded is neither good nor bad."""

import pytest

from knowledge.data.passages import Passage, Question
from knowledge.judging.judges import Grade
from knowledge.method import outer_loop
from knowledge.method import reward as reward_module
from knowledge.method.closed_book import Outcome, Trial
from knowledge.method.outer_loop import (
    PassageDomain,
    describe_selection,
    select_self_edits,
    sft_rows,
)
from knowledge.method.reward import inner_loop_trials, rewards_of, summarize_rewards
from knowledge.method.self_edits import SelfEdit
from knowledge.settings import OuterLoopSettings, RewardSettings, SelfEditSettings

PASSAGES = [
    Passage(name, name.title(), f"All about {name}.", (Question("q1", "a1"), Question("q2", "a2")))
    for name in ("moth", "ferry")
]


def self_edit(passage: str, number: int, text: str = "fact") -> SelfEdit:
    return SelfEdit(f"{passage}/implications/{number}", passage, "implications", text, "stop", 3)


def outcome(trial_id: str, *verdicts: bool | None) -> Outcome:
    passage = next(p for p in PASSAGES if trial_id.startswith(p.id))
    grades = tuple(Grade(v, None if v is None else float(v)) for v in verdicts)
    return Outcome(Trial(trial_id, passage), ("x",) * len(verdicts), grades)


SELF_EDITS = [self_edit(p, n, f"fact {n}") for p in ("moth", "ferry") for n in range(2)]
OUTCOMES = [
    outcome("moth/implications/0/0", True, False),
    outcome("moth/implications/0/1", None, None),
    outcome("moth/implications/1/0", True, None),
    outcome("moth/implications/1/1", False, True),
    outcome("ferry/implications/0/0", None, None),
    outcome("ferry/implications/0/1", None, None),
    outcome("ferry/implications/1/0", False, False),
    outcome("ferry/implications/1/1", False, False),
]
BARE = [outcome("moth/no-update", False, False), outcome("ferry/no-update", True, None)]


def test_rewards_leave_out_what_is_ungraded():
    rewards = rewards_of(SELF_EDITS, OUTCOMES, BARE)
    assert [reward.reward for reward in rewards] == [0.5, 0.75, None, 0.0]
    assert rewards[1].accuracies == [1.0, 0.5]


def test_another_reward_leaves_the_accuracies(monkeypatch):
    def gain(self_edit, inner_loops, before):
        return 10 * len(inner_loops) + len(before.verdicts)

    monkeypatch.setattr(reward_module, "reward_of", gain)
    rewards = rewards_of(SELF_EDITS, OUTCOMES, BARE)
    assert [reward.reward for reward in rewards] == [22, 22, 21, 21]
    assert rewards[1].accuracies == [1.0, 0.5]


def test_selection_keeps_the_best_of_each_passage_and_never_an_ungraded_one():
    rewards = rewards_of(SELF_EDITS, OUTCOMES, BARE)
    selected = select_self_edits(SELF_EDITS, rewards, OuterLoopSettings(), seed=0)
    assert [kept.id for kept in selected] == ["moth/implications/1", "ferry/implications/1"]
    assert describe_selection(selected, rewards) == {
        "n_selected": 2,
        "selected_mean_reward": 0.375,
    }
    assert describe_selection([], rewards)["selected_mean_reward"] is None


@pytest.mark.parametrize("selection", ["random", "shuffled"])
def test_a_control_ignores_rewards_but_leaves_out_the_ungraded(selection):
    rewards = rewards_of(SELF_EDITS, OUTCOMES, BARE)
    control = OuterLoopSettings(selection=selection)
    drawn = {
        tuple(kept.id for kept in select_self_edits(SELF_EDITS, rewards, control, seed))
        for seed in range(20)
    }
    ferry = "ferry/implications/1"
    assert drawn == {("moth/implications/0", ferry), ("moth/implications/1", ferry)}


def test_summary_is_over_passages_with_something_graded():
    summary = summarize_rewards(SELF_EDITS, OUTCOMES, BARE)
    assert summary["baseline_mean_accuracy"] == 0.5
    # moth: (0.5 + 0.75) / 2, ferry: 0
    assert summary["adapter_mean_accuracy"] == pytest.approx(0.3125, abs=1e-4)


def test_every_inner_loop_has_its_own_seed_and_the_passage_last():
    trials = inner_loop_trials(PASSAGES, SELF_EDITS, RewardSettings(repeats=3), seed=7)
    assert len(trials) == 12 and len({trial.seed for trial in trials}) == 12
    assert trials[0].id == "moth/implications/0/0"
    assert trials[0].texts == ("Moth\nfact 0", "Moth\nAll about moth.")
    again = inner_loop_trials(PASSAGES, SELF_EDITS, RewardSettings(repeats=3), seed=8)
    assert {trial.seed for trial in trials}.isdisjoint(trial.seed for trial in again)


def test_sft_rows_pair_the_sampling_prompt_with_the_trimmed_self_edit():
    settings = SelfEditSettings()
    (row,) = sft_rows(PASSAGES, [self_edit("ferry", 1, " one\ntwo \n")], settings, tokenizer=None)
    assert row.completion == "one\ntwo"
    assert "All about ferry." in row.prompt and row.prompt.endswith("\n")


def test_validation_names_the_best_round():
    results = [{"adapter_mean_accuracy": value} for value in (0.1, 0.3, 0.2)]
    assert PassageDomain.describe_validation(results).endswith(
        "0.100 -> 0.300 -> 0.200; best after round 1"
    )


# Curves, drawn from results alone

ROUNDS = [
    {
        "round": 1,
        "baseline_mean_accuracy": 0.3,
        "adapter_mean_accuracy": 0.4,
        "selected_mean_reward": 0.5,
    },
    {
        "round": 2,
        "baseline_mean_accuracy": 0.3,
        "adapter_mean_accuracy": 0.5,
        "selected_mean_reward": None,
    },
]


def test_scores_of_the_proxy_are_drawn_as_a_share_of_their_maximum(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(outer_loop, "plot_rounds", lambda curves, *_: drawn.update(curves))
    rounds = [{"mean_proxy_score": 15.0, "selected_mean_reward": value} for value in (18.0, None)]
    PassageDomain.plot(rounds, [{"adapter_mean_accuracy": 0.4}], tmp_path / "rounds.png")
    assert list(drawn.values()) == [[0.75, 0.75], [0.9, None], [0.4]]


def test_a_png_of_the_rounds_appears_under_its_name_alone(tmp_path):
    validation = [{"adapter_mean_accuracy": value} for value in (0.3, 0.4, 0.5)]
    for number, measured in enumerate([[], validation]):
        path = tmp_path / f"{number}.png"
        PassageDomain.plot(ROUNDS, measured, path)
        assert path.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2
