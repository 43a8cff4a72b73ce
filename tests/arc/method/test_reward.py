"""Rewards of self-edits: exact grids, shared inner loops, and what could not be trained."""

from dataclasses import asdict, replace

import pytest

from arc.method import reward as reward_module
from arc.method.configurations import Configuration, Rejection, to_json
from arc.method.outer_loop import TaskDomain
from arc.method.prediction import Outcome
from arc.method.reward import Reward, inner_loop_trials, measure_rewards, rewards_of, summarize
from arc.method.self_edits import ORACLE, SelfEdit, given_self_edits
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.rendering import answer_text
from arc.puzzles.tasks import Task
from arc.settings import InnerLoopSettings, OracleSettings
from seal.records import read_jsonl
from seal.run import Run
from tests.arc.policies import (
    FERRY,
    MOTH,
    SWAP,
    RuleSampler,
    by_the_rule,
    policy_of,
    real_policy,
    recolor,
    small_model,
    task_of,
    unreadable,
)
from tests.support.runs import lines_of

SETTINGS = InnerLoopSettings(
    lora_rank=8, warmup_steps=2, max_answer_tokens=30, n_permutations=0, max_steps=60
)
CONSTANT = task_of("bee-0", ((1, 2),), ((3, 1, 2),), ((2, 2), (1, 3)), rule=lambda grid: ((7,),))
ONE_STEP = Configuration(Augmentations(*[False] * 4), False, 1e-2, 1e-9)
ONE_STEP_TEXT = to_json(ONE_STEP)
NO_EPOCH_TEXT = to_json(replace(ONE_STEP, epochs=0))
TOO_LONG_TEXT = to_json(replace(ONE_STEP, epochs=1e9))


def self_edits_of(task: Task, *texts: str) -> list[SelfEdit]:
    return [SelfEdit(f"{task.id}/{n}", task.id, text) for n, text in enumerate(texts)]


def outcome(id: str, task: Task, correct: bool, n_views=8, n_decoded=6, **changes) -> Outcome:
    attempts = (task.test_input, task.target if correct else task.test_input)
    return replace(Outcome(id, task, attempts, None, n_views, n_decoded), **changes)


def rejected(id: str, task: Task, kind="dummy") -> Outcome:
    return Outcome(id, task, (), Rejection("more than 60 steps", kind), 0, 0)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def measure(run, tasks, self_edits, sampler, settings=SETTINGS):
    policy = policy_of(sampler, small_model())
    return measure_rewards(run, tasks, self_edits, policy, settings, seed=0)


def after_training(answer):
    """A sampler that is lost without an adapter."""
    return RuleSampler(
        lambda query, request: (answer if request.adapter else unreadable)(query, request)
    )


# Which inner loops


def test_self_edits_of_a_task_that_say_the_same_share_an_inner_loop():
    spaced = ONE_STEP_TEXT.replace(",", " ,\n")
    other = to_json(replace(ONE_STEP, loss_on_all_tokens=True))
    found = [*self_edits_of(MOTH, "x", ONE_STEP_TEXT, spaced, other, "{}")]
    found += self_edits_of(FERRY, spaced, ONE_STEP_TEXT)
    trials = inner_loop_trials([FERRY, MOTH], found)
    assert [(t.id, t.task, t.configuration, t.repeat) for t in trials] == [
        ("moth-0/1", MOTH, ONE_STEP, 0),
        ("moth-0/3", MOTH, replace(ONE_STEP, loss_on_all_tokens=True), 0),
        ("ferry-0/0", FERRY, ONE_STEP, 0),
    ]


def test_repeats_of_the_oracle_are_inner_loops_of_their_own():
    trials = inner_loop_trials([MOTH], given_self_edits(ORACLE, [MOTH], 3, OracleSettings()))
    assert [(trial.id, trial.repeat) for trial in trials] == [(f"moth-0/{n}", n) for n in range(3)]


# Rewards of outcomes


def test_all_that_share_an_inner_loop_get_its_reward():
    found = [*self_edits_of(MOTH, *[ONE_STEP_TEXT] * 2), *self_edits_of(FERRY, ONE_STEP_TEXT)]
    outcomes = [outcome("moth-0/0", MOTH, True), outcome("ferry-0/0", FERRY, False)]
    assert rewards_of(found, outcomes) == [
        Reward("moth-0/0", "moth-0", True, 1.0, "moth-0/0", None),
        Reward("moth-0/1", "moth-0", True, 1.0, "moth-0/0", None),
        Reward("ferry-0/0", "ferry-0", False, 0.0, "ferry-0/0", None),
    ]


def test_the_reward_is_what_reward_of_says_and_success_stays(monkeypatch):
    monkeypatch.setattr(reward_module, "reward_of", lambda self_edit, success, outcome: 0.25)
    found = self_edits_of(MOTH, ONE_STEP_TEXT)
    (reward,) = rewards_of(found, [outcome("moth-0/0", MOTH, True)])
    assert (reward.success, reward.reward) == (True, 0.25)


def test_what_cannot_be_trained_earns_nothing_and_says_why():
    found = self_edits_of(MOTH, "no JSON", "[]", NO_EPOCH_TEXT, TOO_LONG_TEXT)
    assert rewards_of(found, [rejected("moth-0/3", MOTH)]) == [
        Reward("moth-0/0", "moth-0", False, 0.0, None, "not JSON"),
        Reward("moth-0/1", "moth-0", False, 0.0, None, "not a JSON object"),
        Reward("moth-0/2", "moth-0", False, 0.0, None, "num_train_epochs is not above 0"),
        Reward("moth-0/3", "moth-0", False, 0.0, "moth-0/3", "more than 60 steps"),
    ]


@pytest.mark.parametrize("solved", [False, True])
def test_dummies_may_be_rewarded_as_the_bare_policy_is(solved):
    found = self_edits_of(MOTH, "no JSON", "[]", NO_EPOCH_TEXT, TOO_LONG_TEXT)
    found += self_edits_of(FERRY, NO_EPOCH_TEXT)
    bare = [outcome("moth-0/in-context", MOTH, solved), outcome("f", FERRY, False)]
    rewards = rewards_of(found, [rejected("moth-0/3", MOTH)], bare)
    assert [reward.reward for reward in rewards] == [0, 0, float(solved), float(solved), 0]
    # They still were not trained
    assert all(reward.rejected for reward in rewards)
    invalid = rewards_of(found, [rejected("moth-0/3", MOTH, "invalid")], bare)
    assert invalid[3].reward == 0


# Rewards that are measured


def test_a_trained_policy_is_rewarded_for_what_it_learned(run):
    learning = to_json(replace(ONE_STEP, epochs=20))
    texts = [learning, "no JSON", f" {learning}\n", ONE_STEP_TEXT, TOO_LONG_TEXT, NO_EPOCH_TEXT]
    found = self_edits_of(CONSTANT, *texts)
    rewards, numbers = measure_rewards(run, [CONSTANT], found, real_policy(), SETTINGS, seed=0)
    assert [(reward.reward, reward.trial_id) for reward in rewards] == [
        (1.0, "bee-0/0"),
        (0.0, None),
        (1.0, "bee-0/0"),
        (0.0, "bee-0/3"),
        (0.0, "bee-0/4"),
        (0.0, None),
    ]
    lines = read_jsonl(run.path("metrics.jsonl"))
    trained = [line["id"] for line in lines if line["event"] == "adapter"]
    assert sorted(trained) == ["bee-0/0", "bee-0/3"]
    assert lines_of(run, "rewards") == [asdict(reward) for reward in rewards]
    assert (numbers["n_self_edits"], numbers["n_inner_loops"], numbers["n_rewarded"]) == (6, 2, 2)
    assert numbers["rejected"] == {
        "more than 60 steps": 1,
        "not JSON": 1,
        "num_train_epochs is not above 0": 1,
    }
    assert numbers["in_context_success_rate"] == 0


def near_miss(query, request):
    """The target with one cell wrong, the same in all views: where the input is 3."""
    return answer_text(recolor(query, SWAP | {3: 9}))


def extra_row(query, request):
    grid = recolor(query)
    return answer_text((*grid, grid[-1]))


@pytest.mark.parametrize(
    ("answer", "reward"),
    [(by_the_rule, 1.0), (near_miss, 0.0), (extra_row, 0.0), (unreadable, 0.0)],
)
def test_a_reward_takes_the_whole_grid(run, answer, reward):
    found = self_edits_of(MOTH, ONE_STEP_TEXT)
    (measured,), numbers = measure(run, [MOTH], found, after_training(answer))
    assert measured.reward == numbers["success_rate"] == reward
    assert numbers["in_context_success_rate"] == 0


def test_the_second_attempt_counts(run):
    # Of MOTH's views two are turned, so there the input is higher than it is wide
    def answer(query, request):
        return (by_the_rule if len(query) > len(query[0]) else near_miss)(query, request)

    (reward,), _ = measure(run, [MOTH], self_edits_of(MOTH, ONE_STEP_TEXT), after_training(answer))
    assert reward.reward == 1.0
    record = next(r for r in lines_of(run, "predictions") if r["id"] == "moth-0/0")
    target = [list(row) for row in MOTH.target]
    assert target not in record["attempts"][:1] and record["attempts"][1] == target


@pytest.mark.parametrize("release_bugs", [False, True])
def test_dummies_earn_what_the_bare_policy_does_as_a_defect_of_the_release_alone(run, release_bugs):
    def answer(query, request):
        solved = request.adapter is None and len(query) * len(query[0]) == 2 * 3
        return by_the_rule(query, request) if solved else unreadable(query, request)

    small = task_of("bee-0", ((1, 2),), ((2, 1),), ((1, 1),))
    settings = replace(SETTINGS, release_bugs=release_bugs)
    texts = [NO_EPOCH_TEXT, TOO_LONG_TEXT, "[]", "no JSON", ONE_STEP_TEXT]
    found = [*self_edits_of(MOTH, *texts), *self_edits_of(small, NO_EPOCH_TEXT)]
    rewards, numbers = measure(run, [MOTH, small], found, RuleSampler(answer), settings)
    lucky = float(release_bugs)
    assert [reward.reward for reward in rewards] == [lucky, lucky, 0, 0, 0, 0]
    assert numbers["in_context_success_rate"] == 0.5


def test_a_run_that_has_them_asks_nothing(run):
    found = self_edits_of(MOTH, ONE_STEP_TEXT, "x", TOO_LONG_TEXT)
    first = measure(run, [MOTH], found, after_training(by_the_rule))
    again = RuleSampler(unreadable)
    assert measure(Run(run.folder), [MOTH], found, again) == first
    assert again.calls == []
    assert len(lines_of(run, "rewards")) == 3


# Numbers


def test_numbers_of_a_round():
    rewards = [
        Reward("moth-0/0", "moth-0", True, 1.0, "moth-0/0", None),
        Reward("moth-0/1", "moth-0", True, 1.0, "moth-0/0", None),
        Reward("moth-0/2", "moth-0", False, 0.0, None, "not JSON"),
        Reward("ferry-0/0", "ferry-0", False, 0.0, "ferry-0/0", "more than 60 steps"),
        Reward("ferry-0/1", "ferry-0", False, 0.0, None, "not JSON"),
        Reward("ferry-0/2", "ferry-0", False, 0.0, "ferry-0/2", None),
    ]
    outcomes = [
        outcome("moth-0/0", MOTH, True, n_views=8, n_decoded=6),
        rejected("ferry-0/0", FERRY),
        outcome("ferry-0/2", FERRY, False, n_views=4, n_decoded=4),
    ]
    bare = [outcome("m", MOTH, False), outcome("f", FERRY, True)]
    assert summarize(rewards, outcomes, bare) == {
        "n_tasks": 2,
        "n_self_edits": 6,
        "n_inner_loops": 2,
        "n_rejected": 3,
        "rejected": {"more than 60 steps": 1, "not JSON": 2},
        "in_context_success_rate": 0.5,
        "success_rate": 0.3333,
        "n_rewarded": 2,
        "n_tasks_solved": 1,
        "unreadable_answer_rate": 0.1667,
    }
    untrained = summarize(rewards[2:3], [], bare)
    assert untrained["unreadable_answer_rate"] is None and untrained["n_inner_loops"] == 0
    assert TaskDomain.describe_round(summarize(rewards, outcomes, bare)) == (
        "in context 0.500, with self-edits 0.333; 2 of 6 rewarded, 3 invalid"
    )
