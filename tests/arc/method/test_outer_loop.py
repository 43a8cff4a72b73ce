"""Rewards of self-edits: exact grids, shared inner loops, and what could not be trained."""

from collections import Counter
from dataclasses import asdict, replace

import pytest

from arc.method.configurations import Configuration, Rejection, to_json
from arc.method.outer_loop import (
    Reward,
    describe_round,
    describe_selection,
    inner_loop_trials,
    measure_rewards,
    rewards_of,
    select_self_edits,
    sft_rows,
    summarize,
)
from arc.method.prediction import Outcome
from arc.method.prompts import self_edit_prompt
from arc.method.self_edits import ORACLE, SelfEdit, given_self_edits
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.rendering import answer_text
from arc.puzzles.tasks import Task
from arc.settings import InnerLoopSettings, OracleSettings
from seal.records import read_jsonl
from seal.run import Run
from seal.training.sft import SftRow
from tests.arc.policies import (
    FERRY,
    MOTH,
    SWAP,
    RuleSampler,
    by_the_rule,
    chat_tokenizer,
    policy_of,
    real_policy,
    recolor,
    small_model,
    task_of,
    unreadable,
)

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
    trials = inner_loop_trials([MOTH, FERRY], found)
    outcomes = [outcome("moth-0/0", MOTH, True), outcome("ferry-0/0", FERRY, False)]
    assert rewards_of(found, trials, outcomes) == [
        Reward("moth-0/0", "moth-0", 1.0, "moth-0/0", None),
        Reward("moth-0/1", "moth-0", 1.0, "moth-0/0", None),
        Reward("ferry-0/0", "ferry-0", 0.0, "ferry-0/0", None),
    ]


def test_what_cannot_be_trained_earns_nothing_and_says_why():
    found = self_edits_of(MOTH, "no JSON", "[]", NO_EPOCH_TEXT, TOO_LONG_TEXT)
    trials = inner_loop_trials([MOTH], found)
    assert rewards_of(found, trials, [rejected("moth-0/3", MOTH)]) == [
        Reward("moth-0/0", "moth-0", 0.0, None, "not JSON"),
        Reward("moth-0/1", "moth-0", 0.0, None, "not a JSON object"),
        Reward("moth-0/2", "moth-0", 0.0, None, "num_train_epochs is not above 0"),
        Reward("moth-0/3", "moth-0", 0.0, "moth-0/3", "more than 60 steps"),
    ]


@pytest.mark.parametrize("solved", [False, True])
def test_dummies_may_be_rewarded_as_the_bare_policy_is(solved):
    found = self_edits_of(MOTH, "no JSON", "[]", NO_EPOCH_TEXT, TOO_LONG_TEXT)
    found += self_edits_of(FERRY, NO_EPOCH_TEXT)
    trials = inner_loop_trials([MOTH, FERRY], found)
    bare = [outcome("moth-0/in-context", MOTH, solved), outcome("f", FERRY, False)]
    rewards = rewards_of(found, trials, [rejected("moth-0/3", MOTH)], bare)
    assert [reward.reward for reward in rewards] == [0, 0, float(solved), float(solved), 0]
    # They were not trained all the same
    assert all(reward.rejected for reward in rewards)
    invalid = rewards_of(found, trials, [rejected("moth-0/3", MOTH, "invalid")], bare)
    assert invalid[3].reward == 0


# Rewards that are measured


def test_a_trained_policy_is_rewarded_for_what_it_learned(run):
    learning = to_json(replace(ONE_STEP, epochs=20))
    texts = [learning, "no JSON", f" {learning}\n", ONE_STEP_TEXT, TOO_LONG_TEXT, NO_EPOCH_TEXT]
    found = self_edits_of(CONSTANT, *texts)
    rewards, figures = measure_rewards(run, [CONSTANT], found, real_policy(), SETTINGS, seed=0)
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
    assert run.records("rewards") == [asdict(reward) for reward in rewards]
    assert (figures["n_self_edits"], figures["n_inner_loops"], figures["n_rewarded"]) == (6, 2, 2)
    assert figures["rejected"] == {
        "more than 60 steps": 1,
        "not JSON": 1,
        "num_train_epochs is not above 0": 1,
    }
    assert figures["in_context_success_rate"] == 0


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
    (measured,), figures = measure(run, [MOTH], found, after_training(answer))
    assert measured.reward == figures["success_rate"] == reward
    assert figures["in_context_success_rate"] == 0


def test_the_second_attempt_counts(run):
    # Of MOTH's views two are turned, so there the input is higher than it is wide
    def answer(query, request):
        return (by_the_rule if len(query) > len(query[0]) else near_miss)(query, request)

    (reward,), _ = measure(run, [MOTH], self_edits_of(MOTH, ONE_STEP_TEXT), after_training(answer))
    assert reward.reward == 1.0
    record = next(r for r in run.records("predictions") if r["id"] == "moth-0/0")
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
    rewards, figures = measure(run, [MOTH, small], found, RuleSampler(answer), settings)
    lucky = float(release_bugs)
    assert [reward.reward for reward in rewards] == [lucky, lucky, 0, 0, 0, 0]
    assert figures["in_context_success_rate"] == 0.5


def test_a_run_that_has_them_asks_nothing(run):
    found = self_edits_of(MOTH, ONE_STEP_TEXT, "x", TOO_LONG_TEXT)
    first = measure(run, [MOTH], found, after_training(by_the_rule))
    again = RuleSampler(unreadable)
    assert measure(Run(run.folder), [MOTH], found, again) == first
    assert again.calls == []
    assert len(run.records("rewards")) == 3


# Figures


def test_figures_of_a_round():
    rewards = [
        Reward("moth-0/0", "moth-0", 1.0, "moth-0/0", None),
        Reward("moth-0/1", "moth-0", 1.0, "moth-0/0", None),
        Reward("moth-0/2", "moth-0", 0.0, None, "not JSON"),
        Reward("ferry-0/0", "ferry-0", 0.0, "ferry-0/0", "more than 60 steps"),
        Reward("ferry-0/1", "ferry-0", 0.0, None, "not JSON"),
        Reward("ferry-0/2", "ferry-0", 0.0, "ferry-0/2", None),
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
    assert describe_round(summarize(rewards, outcomes, bare)) == (
        "in context 0.500, with self-edits 0.333; 2 of 6 rewarded, 3 invalid"
    )


# The M-step's examples


def rewards_for(self_edits: list[SelfEdit], *earned: float | None) -> list[Reward]:
    """None: it was rejected."""
    return [
        Reward(s.id, s.task_id, float(value or 0), None, "why" if value is None else None)
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
    described = describe_selection(found, found[:1])
    assert described["n_selected"] == 1
    assert described["knobs"]["epochs"] == {"1e-09": 0.5, "1e+09": 0.5}
    assert described["selected_knobs"]["epochs"] == {"1e-09": 1.0}
    assert describe_selection(found, [])["selected_knobs"] == {}
