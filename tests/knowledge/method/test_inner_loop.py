"""The inner loop's bookkeeping: grades that are missing, judges that fail, settings that arrive."""

from types import SimpleNamespace

import pytest

from knowledge.data.passages import Passage, Question
from knowledge.judging.judges import Grade
from knowledge.method.closed_book import Trial, ask, grade_missing, grade_records, read_outcomes
from knowledge.method.inner_loop import adapter_job, run_trials
from knowledge.settings import RewardSettings
from seal.errors import UserError
from seal.models.untrained import train_tokenizer
from seal.run import Run
from seal.sampling import Completion
from tests.support.runs import lines_of

PASSAGE = Passage(
    "moth", "Moth", "It flies in May.", (Question("When?", "May"), Question("Q", "A"))
)
TRIALS = [Trial("moth/no-update", PASSAGE), Trial("moth/other", PASSAGE)]
SETTINGS = RewardSettings(max_answer_tokens=4, max_ungraded=0.3)


class Sampler:
    """Completes a prompt with its question."""

    def complete(self, requests, parameters):
        assert parameters.temperature == 0
        questions = [request.prompt.split("Question: ")[1].split("\n")[0] for request in requests]
        return [Completion(f" {question} ", "stop", (1, 2, 3)) for question in questions]


class Judge:
    """Grades by a rule, and fails as often as `failures` says."""

    name = "test"

    def __init__(self, failures=0):
        self.failures = failures
        self.asked = 0

    def grade(self, items):
        grades = []
        for item in items:
            self.asked += 1
            fails, self.failures = self.failures > 0, self.failures - 1
            verdict = None if fails else item.answer == "When?"
            probability, reason = (None, "status 500") if fails else (float(verdict), None)
            grades.append(Grade(verdict, probability, reason))
        return grades


def policy(kind="transformers"):
    return SimpleNamespace(
        sampler=Sampler(), settings=SimpleNamespace(sampler=kind), tokenizer=None, model=None
    )


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


@pytest.mark.parametrize("kind", ["transformers", "vllm"])
def test_bare_trials_are_asked_and_graded_once(run, kind):
    judge = Judge()
    outcomes = run_trials(run, TRIALS, policy(kind), judge, SETTINGS)
    assert [outcome.verdicts for outcome in outcomes] == [[True, False]] * 2
    assert outcomes[0].answers == ("When?", "Q")
    assert run_trials(Run(run.folder), TRIALS, policy(kind), judge, SETTINGS) == outcomes
    assert judge.asked == 4
    assert [record["id"] for record in lines_of(run, "answers")] == [t.id for t in TRIALS]


def test_answers_without_grades_are_graded_later_and_not_asked_again(run):
    run.append("answers", *ask(policy(), [(trial, None) for trial in TRIALS], SETTINGS))
    grade_missing(run, TRIALS, Judge(), SETTINGS)
    assert [outcome.n_ungraded for outcome in read_outcomes(run, TRIALS)] == [0, 0]


def test_too_many_ungraded_answers_stop_the_run_and_lose_nothing(run):
    with pytest.raises(UserError, match=r"4 of 4 answers .* \(mostly: status 500\)"):
        run_trials(run, TRIALS, policy(), Judge(failures=100), SETTINGS)
    assert len(lines_of(run, "answers")) == 2 and not lines_of(run, "grades")
    outcomes = run_trials(Run(run.folder), TRIALS, policy(), Judge(), SETTINGS)
    assert [outcome.verdicts for outcome in outcomes] == [[True, False]] * 2


def test_a_few_ungraded_answers_are_tried_twice_and_then_left_out(run):
    # The first failure meets the first try, the second the repetition
    judge = Judge(failures=1)
    outcomes = run_trials(run, TRIALS, policy(), judge, SETTINGS)
    assert [outcome.n_ungraded for outcome in outcomes] == [0, 0]
    run.append("answers", *ask(policy(), [(Trial("moth/x", PASSAGE), None)], SETTINGS))
    grade_missing(run, [Trial("moth/x", PASSAGE)], Judge(failures=1), SETTINGS)
    (outcome,) = read_outcomes(run, [Trial("moth/x", PASSAGE)])
    assert outcome.n_ungraded == 1 and outcome.verdicts == [False]


def test_errors_of_the_sampler_reach_the_caller(run):
    class Broken:
        def complete(self, requests, parameters):
            raise UserError("the server is gone")

    broken = policy()
    broken.sampler = Broken()
    with pytest.raises(UserError, match="the server is gone"):
        run_trials(run, TRIALS, broken, Judge(), SETTINGS)


def test_chain_of_thought_answers_are_what_follows_the_marker(run):
    class Thinking:
        def complete(self, requests, parameters):
            return [Completion("It is May.\nFinal answer: May", "stop", (1, 2)) for _ in requests]

    thinking = policy()
    thinking.sampler = Thinking()
    settings = RewardSettings(answer_style="chain-of-thought")
    (record,) = ask(thinking, [(TRIALS[0], None)], settings)
    assert [answer["answer"] for answer in record["answers"]] == ["May", "May"]
    assert record["answers"][0]["text"].startswith("It is May.")


def test_grades_stand_beside_their_questions():
    records = ask(policy(), [(trial, None) for trial in TRIALS], SETTINGS)
    graded = grade_records(Judge(failures=1), records)
    assert graded == [
        {
            "id": "moth/no-update",
            "verdicts": [None, False],
            "probabilities": [None, 0.0],
            "reasons": ["status 500", None],
        },
        {"id": "moth/other", "verdicts": [True, False], "probabilities": [1.0, 0.0]},
    ]


def test_flags_reach_the_adapter_job():
    tokenizer = train_tokenizer(["It flies in May."], 300)
    trial = Trial("moth/0", PASSAGE, ("Moth\nIt flies.",), seed=5)
    settings = RewardSettings(
        lora_rank=4,
        lora_alpha=9,
        learning_rate=0.5,
        epochs=2,
        batch_size=3,
        gradient_accumulation=4,
        max_length=6,
    )
    job = adapter_job(trial, tokenizer, settings)
    assert (job.rank, job.alpha, job.learning_rate, job.epochs) == (4, 9, 0.5, 2)
    assert (job.batch_size, job.gradient_accumulation, job.seed) == (3, 4, 5)
    assert all(len(input_ids) <= 6 for input_ids, _ in job.sequences)
    assert job.padding is None
    padded = adapter_job(trial, tokenizer, RewardSettings(padding_loss="max", max_length=64))
    assert padded.padding.mode == "max" and padded.padding.length == 64
    assert tokenizer.eos_token_id not in padded.sequences[0][0]


def test_grades_without_answers_are_refused_with_their_number(run):
    run_trials(run, TRIALS, policy(), Judge(), SETTINGS)
    run.path("answers.jsonl").unlink()
    with pytest.raises(UserError, match=r"grades\.jsonl: 2 rows grade what answers\.jsonl lacks"):
        run_trials(Run(run.folder), TRIALS, policy(), Judge(), SETTINGS)
