"""Solving a task: every view is asked and undone, the readable ones vote, runs resume."""

import pytest

from arc.method.configurations import Rejection
from arc.method.prediction import (
    SHOWN,
    Outcome,
    Try,
    predict_in_context,
    read_outcomes,
    record_of,
    shorten,
    solution_of,
    solve,
    task_views,
)
from arc.method.prompts import prediction_prompt
from arc.puzzles.grids import Grid
from arc.puzzles.rendering import answer_text, longest_answer
from arc.puzzles.views import Prediction, views
from arc.settings import PredictionSettings
from seal.errors import UserError
from seal.records import typed
from seal.run import Run
from seal.sampling import SamplingParameters
from seal.seeds import derive_seed
from tests.arc.policies import (
    FERRY,
    MOTH,
    RuleSampler,
    by_the_rule,
    chat_tokenizer,
    policy_of,
    recolor,
    unreadable,
)
from tests.support.runs import lines_of

SETTINGS = PredictionSettings()
BUGS = PredictionSettings(release_bugs=True)
NEAR_MISS: Grid = ((*MOTH.target[0][:-1], 9), *MOTH.target[1:])


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def view_answers(grid: Grid) -> list[str]:
    """What to answer in each view of MOTH so that it means `grid` once the view is undone."""
    return [
        answer_text(grid if view.inverter is None else view.inverter.inverse(grid))
        for view in task_views(MOTH, SETTINGS, 0)
    ]


def outcome(*attempts: Grid, task=MOTH) -> Outcome:
    return Outcome("moth-0/0", task, attempts, None, 14, 14)


# Views and votes


def test_answers_that_follow_the_rule_agree_in_every_view(run):
    sampler = RuleSampler(by_the_rule)
    (found,) = solve(policy_of(sampler), [(MOTH, None)], SETTINGS, seed=3)
    assert found.n_views == len(found.predictions) == len(sampler.calls[0])
    assert {prediction.grid for prediction in found.predictions} == {MOTH.target}
    assert found.attempts == (MOTH.target, MOTH.target)
    inverters = {prediction.inverter for prediction in found.predictions}
    assert inverters == {None, "Transpose()", "Flip(0)", "Flip(1)", "Rotate(270)", "Rotate(180)"}


def test_every_view_is_asked_greedily_in_the_words_of_its_own(run):
    sampler = RuleSampler(by_the_rule)
    solve(policy_of(sampler), [(MOTH, None), (FERRY, run.folder)], SETTINGS, seed=3)
    asked = [(task_views(task, SETTINGS, 3), task) for task in (MOTH, FERRY)]
    (call,) = sampler.calls
    assert [(request.prompt, request.adapter) for request in call] == [
        (
            prediction_prompt(view.demonstrations, view.input, SETTINGS, chat_tokenizer()),
            None if task is MOTH else run.folder,
        )
        for task_view, task in asked
        for view in task_view
    ]
    assert sampler.parameters == [SamplingParameters(longest_answer(), 0.0)]


def test_the_target_is_in_no_prompt():
    sampler = RuleSampler(by_the_rule)
    solve(policy_of(sampler), [(MOTH, None)], SETTINGS, seed=3)
    for request in sampler.calls[0]:
        assert answer_text(MOTH.target)[1:-2] not in chat_tokenizer().decode(request.prompt)


def test_views_depend_on_task_and_seed_and_on_the_flag():
    def of(task, seed, n):
        return task_views(task, PredictionSettings(n_permutations=n), seed)

    assert of(MOTH, 1, 2) == of(MOTH, 1, 2)
    assert of(MOTH, 1, 2) == views(
        MOTH.demonstrations, MOTH.test_input, derive_seed(1, "moth-0/views"), 2
    )
    assert len({tuple(of(MOTH, seed, 2)) for seed in range(5)}) == 5
    assert len(of(MOTH, 1, 0)) == 3 + 5


def test_a_limit_for_answers_is_passed_on():
    sampler = RuleSampler(by_the_rule)
    limited = PredictionSettings(max_answer_tokens=7)
    solve(policy_of(sampler), [(MOTH, None)], limited, seed=0)
    assert sampler.parameters == [SamplingParameters(7)]


def test_each_task_gets_its_own_answers():
    policy = policy_of(RuleSampler(by_the_rule))
    found = solve(policy, [(FERRY, None), (MOTH, None)], SETTINGS, seed=0)
    assert [solution.attempts[0] for solution in found] == [FERRY.target, MOTH.target]
    assert solve(policy, [], SETTINGS, seed=0) == []


def test_unreadable_answers_have_no_vote():
    task_view = task_views(MOTH, SETTINGS, 0)
    answers = view_answers(NEAR_MISS)
    answers[1:] = ["?"] * (len(answers) - 1)
    found = solution_of(task_view, answers)
    assert found.predictions == (Prediction(NEAR_MISS, None),)
    assert (found.attempts, found.n_views) == ((NEAR_MISS, NEAR_MISS), len(task_view))


def test_without_any_readable_answer_there_is_no_attempt(run):
    (found,) = predict_in_context(run, [MOTH], policy_of(RuleSampler(unreadable)), SETTINGS, 0)
    assert (found.attempts, found.correct, found.n_decoded) == ((), False, 0)
    assert found.n_views == len(task_views(MOTH, SETTINGS, 0))
    (record,) = lines_of(run, "predictions")
    assert record["unreadable"] and record["votes"] == []


def test_only_the_beginning_of_an_unreadable_answer_is_kept():
    assert shorten("5" * SHOWN) == "5" * SHOWN
    assert shorten("5" * SHOWN + "6") == "5" * SHOWN + " ..."


def test_the_majority_leads_and_the_minority_is_the_second_attempt():
    answers = view_answers(MOTH.target)
    answers[:7] = view_answers(NEAR_MISS)[:7]
    task_view = task_views(MOTH, SETTINGS, 0)
    assert set(solution_of(task_view, answers).attempts) == {MOTH.target, NEAR_MISS}


ODD_ANSWERS = [
    "", "#", "[]", "[[]]", "[[]\n []]", " \n ", "[[1 2]\n [3]]", "[[1 2 3]\n [4]]", "[[300 -7]]",
    "[[1 2]\n [3 4]]#", "1", "[[1 2 3]]", "```\n\n```", "\n".join(["1 2"] * 40), "x",
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_no_answer_crashes_the_vote_as_the_release_decodes(run, odd):
    task_view = task_views(MOTH, BUGS, 0)
    # Alone, and among others
    for answers in ([odd] * len(task_view), [odd, *ODD_ANSWERS, *[odd] * len(task_view)]):
        found = solution_of(task_view, answers[: len(task_view)], release_bugs=True)
        assert len(found.attempts) in (0, 2)
        # What is not rectangular could be neither counted nor shown
        for grid in (*found.attempts, *(prediction.grid for prediction in found.predictions)):
            assert len({len(row) for row in grid}) <= 1
        run.append("predictions", record_of("moth-0/0", MOTH, found))
        (outcome,) = read_outcomes(run, [("moth-0/0", MOTH)])
        assert (outcome.attempts, outcome.correct) == (found.attempts, False)
        run = Run(run.folder / "again")


def test_ragged_answers_are_read_under_release_bugs_alone():
    def ragged(query, request):
        (first, *others), *rows = recolor(query)
        return "\n".join(" ".join(map(str, row)) for row in [[first], [*others, *sum(rows, ())]])

    lone = PredictionSettings(n_permutations=0)
    (found,) = solve(policy_of(RuleSampler(ragged)), [(MOTH, None)], lone, 0)
    assert found.predictions == ()
    lone = PredictionSettings(n_permutations=0, release_bugs=True)
    (found,) = solve(policy_of(RuleSampler(ragged)), [(MOTH, None)], lone, 0)
    assert Prediction(MOTH.target, None) in found.predictions


# Outcomes


@pytest.mark.parametrize(
    ("attempts", "correct"),
    [
        ((MOTH.target, MOTH.target), True),
        ((NEAR_MISS, MOTH.target), True),
        ((MOTH.target, NEAR_MISS), True),
        ((NEAR_MISS, NEAR_MISS), False),
        ((MOTH.target[:1], MOTH.target[1:]), False),
        ((tuple(zip(*MOTH.target, strict=True)), (*MOTH.target, MOTH.target[0])), False),
        ((), False),
    ],
)
def test_an_outcome_is_correct_if_an_attempt_is_the_target_cell_for_cell(attempts, correct):
    assert outcome(*attempts).correct is correct


def test_records_hold_what_an_outcome_says(run):
    answers = view_answers(MOTH.target)
    answers[0], answers[1] = "?", view_answers(NEAR_MISS)[1]
    found = solution_of(task_views(MOTH, SETTINGS, 0), answers)
    rejection = Rejection("more than 3 steps", "dummy")
    run.append(
        "predictions",
        record_of("moth-0/1", MOTH, None, rejection),
        record_of("moth-0/0", MOTH, found),
    )
    trained, rejected = read_outcomes(Run(run.folder), [("moth-0/0", MOTH), ("moth-0/1", MOTH)])
    assert trained == Outcome(
        "moth-0/0", MOTH, (MOTH.target, found.attempts[1]), None, len(answers), len(answers) - 1
    )
    assert rejected == Outcome("moth-0/1", MOTH, (), rejection, 0, 0)
    assert not rejected.correct
    record = lines_of(run, "predictions")[1]
    assert record["task_id"] == "moth-0"
    assert sum(entry["n"] for entry in record["votes"]) == len(answers) - 1
    assert {"grid": [list(row) for row in NEAR_MISS], "inverter": None, "n": 1} in record["votes"]


# In context


def test_in_context_tries_are_kept_by_task(run):
    sampler = RuleSampler(by_the_rule)
    found = predict_in_context(run, [MOTH, FERRY], policy_of(sampler), SETTINGS, seed=1)
    assert [(o.id, o.task, o.correct) for o in found] == [
        ("moth-0/in-context", MOTH, True),
        ("ferry-0/in-context", FERRY, True),
    ]
    assert all(request.adapter is None for call in sampler.calls for request in call)


def test_a_run_that_has_them_asks_nothing(run):
    policy = policy_of(RuleSampler(by_the_rule))
    found = predict_in_context(run, [MOTH, FERRY], policy, SETTINGS, seed=1)
    again = RuleSampler(unreadable)
    assert (
        predict_in_context(Run(run.folder), [FERRY, MOTH], policy_of(again), SETTINGS, seed=1)
        == found[::-1]
    )
    assert again.calls == []


def test_a_batch_holds_the_views_of_as_many_tasks_as_fit(run):
    largest = max(len(task_views(task, SETTINGS, 1)) for task in (MOTH, FERRY))
    for batch, calls in [(1, 2), (2 * largest - 1, 2), (2 * largest, 1)]:
        sampler = RuleSampler(by_the_rule)
        policy = policy_of(sampler, sampling_batch=batch)
        part = Run(run.folder / str(batch))
        predict_in_context(part, [MOTH, FERRY], policy, SETTINGS, seed=1)
        assert len(sampler.calls) == calls


TRIED = {"id": "moth-0/0", "task_id": "moth-0", "n_views": 3, "attempts": [[[1]], [[2]]]} | {
    "votes": [{"grid": [[1]], "inverter": None, "n": 2}, {"grid": [[2]], "inverter": None, "n": 1}]
}
REJECTED = {"id": "moth-0/0", "task_id": "moth-0", "rejection": {"reason": "x", "kind": "dummy"}}


@pytest.mark.parametrize("record", [TRIED, REJECTED])
def test_a_sound_try_is_read(record):
    assert typed(record, Try, "row 1").id == "moth-0/0"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (TRIED | {"rejection": REJECTED["rejection"]}, "neither a try nor a rejection alone"),
        (REJECTED | {"n_views": 3}, "neither a try nor a rejection alone"),
        (REJECTED | {"unreadable": "x"}, "unreadable answer does not fit its votes"),
        (TRIED | {"attempts": [[[2]], [[1]]]}, "attempts are not what its votes say"),
        (TRIED | {"votes": TRIED["votes"][:1]}, "attempts are not what its votes say"),
        (TRIED | {"n_views": 2}, "votes are not of its views"),
        (TRIED | {"n_views": 4}, "unreadable answer does not fit its votes"),
        (TRIED | {"unreadable": "x"}, "unreadable answer does not fit its votes"),
    ],
)
def test_a_try_that_contradicts_itself_is_refused(record, message):
    with pytest.raises(UserError, match=f"^row 1: .*{message}; fix it$"):
        typed(record, Try, "row 1")
