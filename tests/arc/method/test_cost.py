"""What a round will cost, said before it starts."""

import re

from arc.method.cost import estimate_rewards
from arc.method.prediction import task_views
from arc.settings import InnerLoopSettings
from tests.arc.policies import FERRY, MOTH, task_of

BEE = task_of("bee-0", ((1, 2),), ((2, 1),))


def numbers(text: str) -> list[int]:
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", text)]


def test_every_number_of_the_estimate():
    settings = InnerLoopSettings(max_steps=60, n_permutations=0)
    views = sum(len(task_views(task, settings, 7)) for task in (MOTH, FERRY))
    n_tasks, self_edits, adapters, steps, answers = numbers(
        estimate_rewards([MOTH, FERRY], 600, settings)
    )
    assert (n_tasks, self_edits, adapters, steps) == (2, 1200, 1200, 60)
    # Every task is tried in context once, then after each of its self-edits
    assert answers == views * (1 + 600)


def test_answers_are_no_fewer_than_will_be_asked_for():
    tasks = [MOTH, FERRY, BEE]
    for n_permutations in (0, 1, 2):
        settings = InnerLoopSettings(n_permutations=n_permutations)
        *_, answers = numbers(estimate_rewards(tasks, 3, settings))
        for seed in range(20):
            asked = sum(len(task_views(task, settings, seed)) for task in tasks)
            assert asked * (1 + 3) <= answers
