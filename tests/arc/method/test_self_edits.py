"""Self-edits: drawn until they are JSON, once per run, read back with file and row of a mistake."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arc.method.configurations import Configuration, Rejection, load_oracle, to_json
from arc.method.prompts import self_edit_prompt
from arc.method.self_edits import (
    ORACLE,
    SelfEdit,
    given_self_edits,
    sample_self_edits,
)
from arc.puzzles.augmenters import Augmentations
from arc.settings import OracleSettings, SelfEditSettings
from seal.errors import UserError
from seal.records import read_jsonl, write_jsonl
from seal.run import Run
from seal.sampling import Completion, SamplingParameters
from tests.arc.policies import FERRY, MOTH, chat_tokenizer, policy_of, task_of
from tests.support.runs import lines_of

BEE = task_of("bee-0", ((1, 2),), ((3, 1),), ((2, 2),))
TASKS = [MOTH, FERRY, BEE]


def valid(epochs: float) -> str:
    return to_json(Configuration(Augmentations(True, False, False, False), True, 1e-4, epochs))


class Script:
    """Answers a task's prompt with the next of its texts; keeps (task id, seed) of all requests."""

    def __init__(self, **texts: list[str]) -> None:
        self._texts = {f"{name}-0": iter(script) for name, script in texts.items()}
        self._task = {
            tuple(self_edit_prompt(task, SelfEditSettings(), chat_tokenizer())): task.id
            for task in TASKS
        }
        self.calls: list[list[tuple[str, int]]] = []
        self.parameters: list[SamplingParameters] = []

    def complete(self, requests, parameters):
        asked = [(self._task[tuple(request.prompt)], request.seed) for request in requests]
        self.calls.append(asked)
        self.parameters.append(parameters)
        assert all(request.adapter is None for request in requests)
        return [Completion(next(self._texts[task]), "stop", (1, 2)) for task, _ in asked]

    @property
    def asked_tasks(self) -> list[list[str]]:
        return [[task for task, _ in call] for call in self.calls]


def sample(run, script, tasks=TASKS, seed=0, sampling_batch=64, **flags):
    policy = policy_of(script, sampling_batch=sampling_batch)
    return sample_self_edits(run, tasks, policy, SelfEditSettings(**flags), seed)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


# Sampling


def test_k_per_task_in_order(run):
    script = Script(moth=[valid(1), valid(2)], ferry=[valid(3)] * 2, bee=[valid(4), valid(5)])
    found = sample(run, script, k=2, temperature=0.7, max_new_tokens=99, top_p=0.5)
    assert [(s.id, s.task_id, s.parsed.epochs, s.repeat) for s in found] == [
        ("moth-0/0", "moth-0", 1, 0),
        ("moth-0/1", "moth-0", 2, 0),
        ("ferry-0/0", "ferry-0", 3, 0),
        ("ferry-0/1", "ferry-0", 3, 0),
        ("bee-0/0", "bee-0", 4, 0),
        ("bee-0/1", "bee-0", 5, 0),
    ]
    assert script.parameters == [SamplingParameters(99, 0.7, 0.5)]
    assert lines_of(run, "self_edits") == [asdict(self_edit) for self_edit in found]


def test_what_is_no_json_is_drawn_again_with_another_seed(run):
    script = Script(
        moth=["Sure! {", valid(1), "", valid(2)], ferry=[valid(3), valid(4)], bee=["```"] * 2
    )
    found = sample(run, script, tasks=TASKS[:2], k=2)
    assert [s.text for s in found] == [valid(1), valid(2), valid(3), valid(4)]
    assert script.asked_tasks == [["moth-0"] * 2 + ["ferry-0"] * 2, ["moth-0"], ["moth-0"]]
    seeds = [seed for call in script.calls for _, seed in call]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("text", ["null", "[]", "{}", '"text"', valid(1).replace("1", "0")])
def test_json_that_cannot_be_trained_counts(run, text):
    script = Script(moth=[text])
    (self_edit,) = sample(run, script, tasks=[MOTH], k=1)
    assert self_edit.text == text and isinstance(self_edit.parsed, Rejection)


def test_where_attempts_run_out_the_last_refused_stand_in(run):
    script = Script(moth=["a", valid(1), "c", "d", "e", "f", "g", "h"], ferry=[valid(2)] * 3)
    found = sample(run, script, tasks=TASKS[:2], k=3, max_attempts=3)
    # Three draws, then two, then two: the first to be JSON, then the last two that were not
    assert [s.text for s in found] == [valid(1), "f", "g", *[valid(2)] * 3]
    assert found[1].parsed.kind == "unparsed"
    assert list(map(len, script.calls)) == [6, 2, 2]


def test_repeated_configurations_are_drawn_again_if_wanted(run):
    reordered = json.dumps(dict(reversed(json.loads(valid(1)).items())))
    texts = [valid(1), reordered, valid(1), valid(2)]
    found = sample(run, Script(moth=texts), tasks=[MOTH], k=2, skip_repeated_configs=True)
    assert [s.text for s in found] == [valid(1), valid(2)]
    found = sample(Run(run.folder / "b"), Script(moth=texts), tasks=[MOTH], k=2)
    assert [s.text for s in found] == [valid(1), reordered]


def test_repetitions_are_counted_within_a_task(run):
    script = Script(moth=[valid(1)], ferry=[valid(1)])
    found = sample(run, script, tasks=TASKS[:2], k=1, skip_repeated_configs=True)
    assert [s.text for s in found] == [valid(1)] * 2


@settings(max_examples=40)
@given(
    texts=st.lists(st.sampled_from(["no JSON", "{}", valid(1), valid(2)]), max_size=12),
    k=st.integers(1, 5),
    skip=st.booleans(),
)
def test_the_first_k_that_may_be_taken_are(tmp_path_factory, texts, k, skip):
    folder = tmp_path_factory.mktemp("run")
    draws = texts + [valid(number) for number in range(3, 3 + k)]
    acceptable = [text for text in draws if text != "no JSON"]
    expected = (list(dict.fromkeys(acceptable)) if skip else acceptable)[:k]
    flags = {"k": k, "skip_repeated_configs": skip, "max_attempts": len(draws)}
    found = sample(Run(folder), Script(moth=draws), tasks=[MOTH], **flags)
    assert [s.text for s in found] == expected


# Seeds, groups, resuming


def test_seeds_depend_on_run_task_number_and_attempt_alone(run):
    def seeds(folder, tasks, seed):
        script = Script(moth=["x", valid(1), valid(1)], ferry=[valid(1)] * 2)
        sample(Run(run.folder / folder), script, tasks=tasks, seed=seed, k=2)
        return [asked for call in script.calls for asked in call]

    together = seeds("a", TASKS[:2], 1)
    assert [asked for asked in together if asked[0] == "moth-0"] == seeds("b", [MOTH], 1)
    assert set(together).isdisjoint(seeds("c", TASKS[:2], 2))


def test_tasks_are_asked_in_groups_that_fill_a_batch(run):
    script = Script(moth=["x", *[valid(1)] * 2], ferry=[valid(1)] * 2, bee=[valid(1)] * 2)
    sample(run, script, k=2, sampling_batch=5)
    moth, ferry, bee = (["moth-0"], ["ferry-0"], ["bee-0"])
    assert script.asked_tasks == [moth * 2 + ferry * 2, moth, bee * 2]
    # A batch smaller than k still holds a task
    script = Script(moth=[valid(1)] * 2, ferry=[valid(1)] * 2, bee=[valid(1)] * 2)
    sample(Run(run.folder / "b"), script, k=2, sampling_batch=1)
    assert script.asked_tasks == [moth * 2, ferry * 2, bee * 2]


def test_a_run_that_has_them_asks_nothing(run):
    first = sample(run, Script(moth=["x"] + [valid(1)] * 2, ferry=["[]", "{}"]), TASKS[:2], k=2)
    script = Script()
    assert sample(Run(run.folder), script, TASKS[:2], k=2) == first
    assert script.calls == []


def test_a_killed_run_asks_for_the_missing_groups_alone(run):
    texts = [valid(1)] * 2
    sample(run, Script(moth=texts), [MOTH], k=2, sampling_batch=2)
    script = Script(ferry=texts, bee=texts)
    found = sample(Run(run.folder), script, k=2, sampling_batch=2)
    assert script.asked_tasks == [["ferry-0"] * 2, ["bee-0"] * 2]
    assert [s.id for s in found] == [f"{task.id}/{n}" for task in TASKS for n in range(2)]
    assert len(read_jsonl(run.path("self_edits.jsonl"))) == 6


# Given ones


def read(path, tasks, k):
    return given_self_edits(str(path), tasks, k, OracleSettings())


def test_oracles_are_equal_but_for_their_seeds():
    found = given_self_edits(ORACLE, TASKS[:2], 2, OracleSettings())
    assert [(s.id, s.task_id, s.repeat) for s in found] == [
        ("moth-0/0", "moth-0", 0),
        ("moth-0/1", "moth-0", 1),
        ("ferry-0/0", "ferry-0", 0),
        ("ferry-0/1", "ferry-0", 1),
    ]
    assert {s.parsed for s in found} == {load_oracle()}


def test_the_oracle_may_be_of_a_file(tmp_path):
    path = tmp_path / "mine.json"
    with pytest.raises(UserError, match=r"mine\.json: no such file"):
        given_self_edits(ORACLE, TASKS[:2], 1, OracleSettings(oracle_file=path))
    path.write_text(valid(3))
    found = given_self_edits(ORACLE, TASKS[:2], 1, OracleSettings(oracle_file=path))
    assert [self_edit.text for self_edit in found] == [valid(3)] * 2


def test_the_first_k_of_each_task_are_read_in_the_order_of_the_tasks(tmp_path):
    path = tmp_path / "some.jsonl"
    written = [SelfEdit(f"{task.id}/{n}", task.id, valid(n + 1)) for task in TASKS for n in (0, 1)]
    written[3] = replace(written[3], repeat=4)
    write_jsonl(path, map(asdict, reversed(written)))
    assert read(path, [FERRY, MOTH], 1) == [written[3], written[1]]
    assert read(path, [FERRY], 2) == [written[3], written[2]]
    with pytest.raises(UserError, match=r"some\.jsonl: task moth-0 has 2 self-edits, 3 are wanted"):
        read(path, [MOTH], 3)


def test_a_file_need_not_name_the_repeat(tmp_path):
    path = tmp_path / "some.jsonl"
    write_jsonl(path, [{"id": "moth-0/0", "task_id": "moth-0", "text": "{}"}])
    assert read(path, [MOTH], 1) == [SelfEdit("moth-0/0", "moth-0", "{}", 0)]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.jsonl: no such file"):
        given_self_edits(str(tmp_path / "none.jsonl"), [MOTH], 1, OracleSettings())


def test_a_row_of_another_run_is_refused(run):
    sample(run, Script(moth=[valid(1)]), [MOTH], k=1)
    alien = {"id": "owl-0/0", "task_id": "owl-0", "text": "{}"}
    run.append("self_edits", alien)
    with pytest.raises(UserError, match=r"self_edits\.jsonl: owl-0/0 is of another run"):
        sample(run, Script(), [MOTH], k=1)


def test_a_row_that_was_removed_is_written_again(run):
    sample(run, Script(moth=[valid(1), valid(2)], ferry=[valid(3), valid(4)]), [MOTH, FERRY], k=2)
    path = run.path("self_edits.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[1:]))
    again = Script(moth=[valid(1), valid(2)], ferry=[valid(3), valid(4)])
    sample(Run(run.folder), again, [MOTH, FERRY], k=2)
    assert sorted(path.read_text().splitlines(keepends=True)) == sorted(lines)
