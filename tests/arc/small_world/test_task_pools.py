"""Pools of tasks: what is failed in context and learned at test time, twice, and nothing else."""

import json
from collections import Counter
from pathlib import Path

import pytest

from arc.method.configurations import Configuration
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.rendering import answer_text
from arc.puzzles.tasks import load_tasks
from arc.settings import TREE, InnerLoopSettings
from arc.small_world import task_pools as task_pool
from arc.small_world.task_pools import (
    SmallModelSettings,
    candidate,
    fill_pool,
    make_pools,
    small_model_settings,
    write_tasks,
)
from arc.small_world.tokenizer import small_tokenizer
from seal.command_line.arguments import parse_arguments
from seal.errors import UserError
from seal.models.load import load_tokenizer
from seal.run import Run
from seal.sampling import Completion
from tests.arc.policies import policy_of, query_of, small_model
from tests.programs.programs import load_program
from tests.support.small_models import small_llama

# Batches of 12 candidates
SETTINGS = InnerLoopSettings(
    lora_rank=2, warmup_steps=1, max_items=2, n_permutations=0, max_answer_tokens=30, slots=3
)
ORACLE = Configuration(Augmentations(*[False] * 4), False, 1e-2, 1)
SEED = 5
KINDS = ("passes", "known", "not learned", "known the second time", "learned the first time")


def kind_of(number: int) -> str:
    return KINDS[number % len(KINDS)]


class Learner:
    """Solves candidates as their kinds say, whichever of a task's views keep its test input."""

    def __init__(self, pool: str = "moths", n: int = 48) -> None:
        tasks = [candidate(pool, number, SEED) for number in range(n)]
        self._known = {task.test_input: (number, task) for number, task in enumerate(tasks)}
        self.tries: Counter[tuple[int, bool]] = Counter()
        """How often a candidate was asked, by number and whether after training."""

    def complete(self, requests, parameters):
        asked = [self._candidate_of(request) for request in requests]
        self.tries.update({each for each in asked if each is not None})
        return [Completion(self._answer(each), "stop", (1,)) for each in asked]

    def _candidate_of(self, request) -> tuple[int, bool] | None:
        found = self._known.get(query_of(request.prompt))
        return found and (found[0], request.adapter is not None)

    def _answer(self, asked: tuple[int, bool] | None) -> str:
        if asked is None:
            return "I do not know"
        number, trained = asked
        first = self.tries[asked] == 1
        solved = {
            "passes": trained,
            "known": not trained,
            "not learned": False,
            "known the second time": trained or not first,
            "learned the first time": trained and first,
        }[kind_of(number)]
        task = next(task for each, task in self._known.values() if each == number)
        return answer_text(task.target) if solved else answer_text(((0,),))


class Silent:
    """Nothing is left to be asked."""

    def complete(self, requests, parameters):
        raise AssertionError("asked again")


def filled(run: Run, size: int, sampler=None, name: str = "moths"):
    policy = policy_of(sampler or Learner(), small_model())
    policy.name = "a model"
    return fill_pool(run, name, size, policy, ORACLE, SETTINGS, SEED)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "moths")


def test_tasks_are_those_that_are_failed_and_then_learned_twice(run):
    tasks, counts = filled(run, 3)
    assert tasks == [candidate("moths", number, SEED) for number in (0, 5, 10)]
    assert [task.id for task in tasks] == ["moths-0-0", "moths-5-0", "moths-10-0"]
    kinds = Counter(kind_of(number) for number in range(12))
    first = kinds["passes"] + kinds["known the second time"] + kinds["learned the first time"]
    assert counts == {
        "candidates": 12,
        "failed_in_context_1": 12 - kinds["known"],
        "solved_by_training_1": first,
        "failed_in_context_2": first - kinds["known the second time"],
        "solved_by_training_2": kinds["passes"],
    }


def test_only_what_passed_one_test_is_put_to_the_next(run):
    sampler = Learner()
    filled(run, 3, sampler)
    tried = {kind_of(n): (sampler.tries[n, False], sampler.tries[n, True]) for n in range(5)}
    assert tried == {
        "passes": (2, 2),
        "known": (1, 0),
        "not learned": (1, 1),
        "known the second time": (2, 1),
        "learned the first time": (2, 2),
    }


def test_batches_go_on_until_there_are_enough(run):
    tasks, counts = filled(run, 4)
    assert [task.id for task in tasks] == [f"moths-{number}-0" for number in (0, 5, 10, 15)]
    assert counts["candidates"] == 24 and counts["solved_by_training_2"] == 5
    assert "moths: 5 tasks of 24 candidates, 4 wanted" in run.path("log.txt").read_text()


def test_what_a_run_holds_is_not_tried_again(run):
    before = filled(run, 4)
    assert filled(Run(run.folder), 4, Silent()) == before
    # Nor is anything but what a kill has cost
    path = run.path("try-2/predictions.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))

    class FromThere(Learner):
        def __init__(self) -> None:
            super().__init__()
            self.tries.update({(number, trained): 1 for number in range(48) for trained in (0, 1)})

    assert filled(Run(run.folder), 4, FromThere()) == before


def test_a_model_that_learns_too_little_is_given_up(run, monkeypatch):
    monkeypatch.setattr(task_pool, "_MOST_CANDIDATES", 4)
    message = r"a model: of 24 tasks it can learn 5 at test time, 6 are wanted"
    with pytest.raises(UserError, match=message):
        filled(run, 6)


def test_candidates_are_of_their_pool_and_seed_alone():
    assert candidate("moths", 3, 0) == candidate("moths", 3, 0)
    others = [candidate("moths", 4, 0), candidate("bees", 3, 0), candidate("moths", 3, 1)]
    inputs = [task.test_input for task in (candidate("moths", 3, 0), *others)]
    assert len({*inputs}) == 4


# Files and settings


def test_files_are_read_back_with_their_solutions(tmp_path):
    tasks = [candidate("moths", number, 0) for number in (3, 17)]
    write_tasks(tmp_path, "moths", tasks)
    assert load_tasks(tmp_path / "moths_challenges.json") == tasks
    challenges = (tmp_path / "moths_challenges.json").read_text()
    assert len(challenges.splitlines()) == 2 + len(tasks), "a task a line"
    assert list(json.loads(challenges)) == ["moths-3", "moths-17"]
    assert all("output" not in task["test"][0] for task in json.loads(challenges).values())


def test_settings_are_those_of_the_preset_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = small_model_settings(Path("runs/model"))
    assert settings.model == "runs/model" and settings.sampler == "transformers"
    assert (settings.prompt_folder / "predict.txt").exists()
    words = ["--config", str(TREE / "presets" / "small.yaml")]
    config_class = load_program("few-shot", "rest_em").Config
    config = parse_arguments(config_class, [*words, "--run_dir", "r", "--tasks", "t"])
    for name in SmallModelSettings.__dataclass_fields__.keys() - {"model", "prompts"}:
        assert getattr(settings, name) == getattr(config, name), name


def test_a_pool_of_each_name_is_written(tmp_path, monkeypatch):
    model = tmp_path / "model"
    tokenizer = small_tokenizer()
    tokenizer.save_pretrained(model)
    small_llama(len(tokenizer)).save_pretrained(model)
    asked = []

    def fill(run, name, size, policy, oracle, settings, seed):
        assert policy.name == str(model) and run.folder == tmp_path / name
        assert policy.tokenizer.get_vocab() == load_tokenizer(str(model)).get_vocab()
        asked.append((name, size, oracle.learning_rate, seed))
        return [candidate(name, number, seed) for number in range(size)], {"candidates": 99}

    monkeypatch.setattr(task_pool, "fill_pool", fill)
    sizes = {"moths": 2, "bees": 1}
    figures = make_pools(Run(tmp_path), small_model_settings(model), sizes, SEED)
    assert figures == {"moths": {"candidates": 99}, "bees": {"candidates": 99}}
    assert asked == [("moths", 2, 0.01, SEED), ("bees", 1, 0.01, SEED)]
    assert [len(load_tasks(tmp_path / f"{name}_challenges.json")) for name in sizes] == [2, 1]
