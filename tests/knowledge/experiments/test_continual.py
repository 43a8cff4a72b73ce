"""Sequential self-edits: steps are merged weights in effect, resume anywhere, and add up right."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from knowledge.data.passages import load_passages
from knowledge.data.prompts import self_edit_prompt
from knowledge.experiments.continual import (
    accuracy_matrix,
    cut_into_sequences,
    format_matrix,
    retention_numbers,
    run_sequences,
    summarize_sequences,
)
from knowledge.judging.judges import Grade
from knowledge.method.closed_book import Outcome, Trial, ask
from knowledge.method.inner_loop import adapter_job, self_edit_texts
from knowledge.settings import SequentialSettings
from seal.errors import UserError
from seal.lora import train_adapters
from seal.lora.files import read_adapter, weight_names
from seal.run import Run
from seal.samplers.in_process import TransformersSampler, share_weights
from seal.sampling import SampleRequest, SamplingParameters
from seal.seeds import derive_seed
from tests.support.data import REPOSITORY
from tests.support.runs import lines_of
from tests.support.small_models import small_qwen2, small_tokenizer

PASSAGES = load_passages(REPOSITORY / "general-knowledge" / "examples" / "passages.json")
SETTINGS = SequentialSettings(
    k=1,
    max_new_tokens=12,
    max_answer_tokens=6,
    epochs=2,
    learning_rate=3e-2,
    lora_rank=4,
    lora_alpha=8,
    slots=2,
)
SEQUENCES = cut_into_sequences(PASSAGES, runs=1, sequences=3, length=2)
TOKENIZER = small_tokenizer([passage.context for passage in PASSAGES])


class Judge:
    """Says yes to long answers; `fails_at`: the call at which it dies, as a killed run does."""

    name = "test"

    def __init__(self, fails_at=None):
        self.calls_left = fails_at

    def grade(self, items):
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise ConnectionError("killed")
        return [Grade(len(item.answer) > 12, 0.5) for item in items]


class Policy:
    """What `open_policy` would load, but in float64; `fails_at`: the sampler call that dies."""

    name = "small"
    settings = SimpleNamespace(sampler="transformers", sampling_batch=64)
    tokenizer = TOKENIZER

    def __init__(self, fails_at=None):
        end = TOKENIZER.eos_token_id
        self.model = small_qwen2(len(TOKENIZER), torch.float64, eos_token_id=end)
        self.sampler = self
        self._real = TransformersSampler(share_weights(self.model), TOKENIZER)
        self.calls_left = fails_at

    def complete(self, requests, parameters):
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise ConnectionError("killed")
        return self._real.complete(requests, parameters)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    policy = Policy()
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    run = Run(tmp_path_factory.mktemp("undisturbed"))
    run_sequences(run, SEQUENCES, policy, Judge(), SETTINGS, seed=0)
    after = policy.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "the base changed"
    return run


def records(run) -> dict[str, dict]:
    names = ("self_edits", "answers", "grades")
    return {name: {record["id"]: record for record in lines_of(run, name)} for name in names}


def test_passages_are_cut_into_sequences_one_after_the_other():
    sequences = cut_into_sequences(PASSAGES, runs=2, sequences=2, length=2)
    assert [s.id for s in sequences] == ["run-0/0", "run-0/1", "run-1/0", "run-1/1"]
    assert [s.run for s in sequences] == [0, 0, 1, 1]
    assert [p for s in sequences for p in s.passages] == PASSAGES[:8]


def test_all_are_asked_before_any_edit_and_those_so_far_after_each():
    sequence = cut_into_sequences(PASSAGES, runs=1, sequences=1, length=3)[0]
    names = [passage.id for passage in PASSAGES[:3]]
    asked = [[trial.passage.id for trial in sequence.trials(edits)] for edits in range(4)]
    assert asked == [names, names[:1], names[:2], names]
    assert sequence.trials(2)[1].id == f"run-0/0/2/{names[1]}"


def test_every_step_equals_merging_into_the_weights(undisturbed):
    """The paper's own procedure, one sequence and one step at a time, says the same words."""
    found = records(undisturbed)
    for sequence in SEQUENCES:
        model = Policy().model
        for edits in range(len(sequence.passages) + 1):
            if edits:
                passage = sequence.passages[edits - 1]
                name = f"{passage.id}/implications/0"
                text = sampled(model, passage, derive_seed(0, name))
                assert found["self_edits"][name]["text"] == text
                seed = derive_seed(0, f"{sequence.id}/{edits}")
                trial = Trial("alone", passage, self_edit_texts(passage, text, SETTINGS), seed)
                model = learned(model, trial, undisturbed.folder / "alone")
            merged = SimpleNamespace(
                sampler=TransformersSampler(share_weights(model), TOKENIZER), tokenizer=TOKENIZER
            )
            for record in ask(merged, [(t, None) for t in sequence.trials(edits)], SETTINGS):
                assert found["answers"].pop(record["id"]) == record
    assert not found["answers"]


def sampled(model, passage, seed) -> str:
    request = SampleRequest(self_edit_prompt(passage, SETTINGS, TOKENIZER), seed=seed)
    parameters = SamplingParameters(
        SETTINGS.max_new_tokens, temperature=SETTINGS.temperature, top_p=SETTINGS.top_p
    )
    sampler = TransformersSampler(share_weights(model), TOKENIZER)
    return sampler.complete([request], parameters)[0].text


def learned(model, trial, folder):
    """A copy of the model with an adapter merged that was trained on the model itself."""
    number = len(list(folder.parent.glob(f"{folder.name}*")))
    place = folder.with_name(f"{folder.name}-{number}")
    job = adapter_job(trial, TOKENIZER, SETTINGS)
    train_adapters(model, [job], [place], SETTINGS.target_modules, slots=1)
    adapter = read_adapter(place)
    merged = copy.deepcopy(model)
    for module in adapter.modules:
        a, b = (adapter.weights[name] for name in weight_names(module))
        merged.get_submodule(module).weight.data += adapter.scale * (b @ a)
    return merged


def test_edits_change_what_is_said(undisturbed):
    answers = records(undisturbed)["answers"]
    for sequence in SEQUENCES:
        first = sequence.passages[0]
        texts = [
            json.dumps(answers[sequence.trial_id(edits, first)]["answers"]) for edits in range(3)
        ]
        assert len(set(texts)) == 3


def test_adapters_are_removed_and_nothing_is_done_twice(undisturbed):
    assert not undisturbed.path("adapters").exists()
    before = {
        name: undisturbed.path(name).read_bytes() for name in ("answers.jsonl", "grades.jsonl")
    }
    no_calls = Judge(fails_at=0), Policy(fails_at=0)
    run_sequences(Run(undisturbed.folder), SEQUENCES, no_calls[1], no_calls[0], SETTINGS, seed=0)
    assert all(undisturbed.path(name).read_bytes() == data for name, data in before.items())


@pytest.mark.parametrize("dies", ["policy", "judge"])
def test_killed_at_every_call_it_ends_with_the_same_records(undisturbed, tmp_path, dies):
    """Two groups, each asked three times and sampled from twice."""
    calls = {"policy": 10, "judge": 6}[dies]
    for number in range(calls):
        run = Run(tmp_path / str(number))
        policy = Policy(fails_at=number if dies == "policy" else None)
        judge = Judge(fails_at=number if dies == "judge" else None)
        with pytest.raises(ConnectionError):
            run_sequences(run, SEQUENCES, policy, judge, SETTINGS, seed=0)
        run_sequences(Run(run.folder), SEQUENCES, Policy(), Judge(), SETTINGS, seed=0)
        assert records(run) == records(undisturbed), number


@pytest.mark.parametrize("slots", [1, 3])
def test_a_run_goes_on_with_other_slots(undisturbed, tmp_path, slots):
    run = Run(tmp_path)
    with pytest.raises(ConnectionError):  # in the second step of the first group
        run_sequences(run, SEQUENCES, Policy(fails_at=4), Judge(), SETTINGS, seed=0)
    other = SequentialSettings(**{**vars(SETTINGS), "slots": slots})
    run_sequences(Run(tmp_path), SEQUENCES, Policy(), Judge(), other, seed=0)
    assert records(run) == records(undisturbed)


def test_adapters_of_a_killed_training_are_no_adapters(undisturbed, tmp_path):
    run = Run(tmp_path)
    with pytest.raises(ConnectionError):
        run_sequences(run, SEQUENCES, Policy(fails_at=2), Judge(), SETTINGS, seed=0)
    (group,) = run.path("adapters").iterdir()
    assert [folder.name for folder in group.iterdir()] == ["after-1"]
    (group / "after-1").rename(group / "partial")
    run_sequences(Run(tmp_path), SEQUENCES, Policy(), Judge(), SETTINGS, seed=0)
    assert records(run) == records(undisturbed)


def test_several_self_edits_are_learned_together_with_the_passage_once(tmp_path, monkeypatch):
    learned_texts = []

    def spy(trial, tokenizer, settings):
        learned_texts.append(trial.texts)
        return adapter_job(trial, tokenizer, settings)

    monkeypatch.setattr("knowledge.experiments.continual.adapter_job", spy)
    settings = SequentialSettings(**{**vars(SETTINGS), "k": 3})
    run = Run(tmp_path)
    run_sequences(run, SEQUENCES[:1], Policy(), Judge(), settings, seed=0)
    assert len(lines_of(run, "self_edits")) == 6 and len(learned_texts) == 2
    for texts, passage in zip(learned_texts, SEQUENCES[0].passages, strict=True):
        assert texts.count(f"{passage.title}\n{passage.context.strip()}") == 1
        assert len(texts) == len(set(texts)) > 1


def test_nothing_to_learn_leaves_a_sequence_as_it_is(tmp_path):
    class Silent(Policy):
        def complete(self, requests, parameters):
            done = super().complete(requests, parameters)
            if parameters.temperature == 0:
                return done
            blank = SEQUENCES[0].passages[0].title, SEQUENCES[1].passages[1].title
            return [
                type(c)("", "stop", (1,)) if any(f"{t}\n" in r.prompt for t in blank) else c
                for r, c in zip(requests, done, strict=True)
            ]

    settings = SequentialSettings(**{**vars(SETTINGS), "add_context": False})
    run = Run(tmp_path)
    run_sequences(run, SEQUENCES, Silent(), Judge(), settings, seed=0)
    answers = {key: record["answers"] for key, record in records(run)["answers"].items()}
    first, second = SEQUENCES[0], SEQUENCES[1]
    same = first.passages[0]
    assert answers[first.trial_id(0, same)] == answers[first.trial_id(1, same)]
    assert answers[first.trial_id(1, same)] != answers[first.trial_id(2, same)]
    same = second.passages[0]
    assert answers[second.trial_id(0, same)] != answers[second.trial_id(1, same)]
    assert answers[second.trial_id(1, same)] == answers[second.trial_id(2, same)]


# Numbers


def outcomes_of(sequence, verdicts, probability=0.25) -> dict[str, Outcome]:
    """One outcome for each cell; `verdicts(edits, column, question)` is its grade's."""
    found = {}
    for edits in range(len(sequence.passages) + 1):
        for column, trial in enumerate(sequence.trials(edits)):
            own = [verdicts(edits, column, q) for q in range(len(trial.passage.questions))]
            grades = tuple(Grade(v, None if v is None else probability) for v in own)
            found[trial.id] = Outcome(trial, ("x",) * len(own), grades)
    return found


def test_a_matrix_has_a_row_for_each_number_of_edits():
    sequence = SEQUENCES[0]
    sizes = [len(passage.questions) for passage in sequence.passages]
    outcomes = outcomes_of(sequence, lambda edits, column, question: question < edits)
    matrix = accuracy_matrix(sequence, outcomes)
    expected = [[0, 0], [1 / sizes[0], 0], [2 / sizes[0], 2 / sizes[1]]]
    np.testing.assert_allclose(matrix, expected)
    calibrated = accuracy_matrix(sequence, outcomes, calibrated=True)
    np.testing.assert_allclose(calibrated, [[0.25, 0.25], [0.25, 0], [0.25, 0.25]])


def test_ungraded_answers_are_left_out_and_a_cell_without_any_is_refused():
    sequence = SEQUENCES[0]
    some = outcomes_of(sequence, lambda edits, column, question: None if question else True)
    assert accuracy_matrix(sequence, some)[2].tolist() == [1, 1]
    none = outcomes_of(sequence, lambda edits, column, question: None if edits == 1 else True)
    with pytest.raises(UserError, match=f"{sequence.trials(1)[0].id}.*grades.jsonl"):
        accuracy_matrix(sequence, none)


def test_results_are_those_of_the_sequences_matrices(undisturbed):
    sequences = cut_into_sequences(PASSAGES, runs=3, sequences=1, length=2)
    renamed = dict(zip([s.id for s in sequences], [s.id for s in SEQUENCES], strict=True))
    run = Run(undisturbed.folder / "renamed")
    for name in ("answers", "grades"):
        for record in lines_of(undisturbed, name):
            for new, old in renamed.items():
                if record["id"].startswith(f"{old}/"):
                    run.append(name, record | {"id": record["id"].replace(old, new, 1)})
    one, three = (
        summarize_sequences(r, s, seed=0) for r, s in ((undisturbed, SEQUENCES), (run, sequences))
    )
    # One run of three sequences, or three of one: all sequences together are the same
    assert one["mean"] == three["mean"] and one["pooled_std"] == three["pooled_std"]
    assert np.any(one["pooled_std"]) and one["average_of_stds"] == one["pooled_std"]
    assert not np.any(three["average_of_stds"])
    assert (len(one["runs"]), len(three["runs"])) == (1, 3)
    assert one["runs"][0]["mean_over_sequences"] == one["mean"]
    mean = np.array(one["mean"])
    numbers = {name: found["mean"] for name, found in one["retention"].items()}
    assert numbers == pytest.approx(
        {
            "before_any_edit": mean[0].mean(),
            "after_own_edit": np.diag(mean[1:]).mean(),
            "after_all_edits": mean[-1].mean(),
        },
        abs=1e-4,
    )
    assert one["n_ungraded"] == 0 and one["n_sequences"] == 3 and one["n_passages"] == 2
    questions = [len(p.questions) for s in SEQUENCES for p in s.passages]
    assert one["n_answers"] == 2 * sum(questions) + sum(questions[::2])


def test_intervals_are_over_sequences():
    matrices = {f"run-0/{i}": np.full((3, 2), value) for i, value in enumerate((0.0, 0.5, 1.0))}
    numbers = retention_numbers(matrices, seed=0)
    assert set(numbers) == {"before_any_edit", "after_own_edit", "after_all_edits"}
    for number in numbers.values():
        assert number["mean"] == 0.5 and number["n"] == 3
        assert number["lower"] < 0.5 < number["upper"]


def test_cells_that_were_not_asked_are_blank():
    shown = format_matrix([[0.1, 0.25], [0.5, 0.0], [0.0, 1.0]]).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown]
    assert cells[0] == ["edits", "passage 1", "passage 2"]
    assert cells[2:] == [["0", "10.0", "25.0"], ["1", "50.0", ""], ["2", "0.0", "100.0"]]
