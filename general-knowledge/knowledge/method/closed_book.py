"""Closed-book examinations: ask an adapter its passage's questions, grade what it says.

Source: paper, section 4.1. Answers are written down before they are graded, so that a judge that
fails costs no inner loop.
"""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from knowledge.data.passages import Passage
from knowledge.data.prompts import answer_prompt
from knowledge.judging.answer_records import Answers, Grades
from knowledge.judging.judges import Grade, GradingItem, Judge, ensure_graded
from knowledge.judging.replies import parse_final_answer
from knowledge.settings import AnswerSettings
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.records import Record
from seal.run import Run
from seal.sampling import SampleRequest, SamplingParameters

ENOUGH_TO_STOP = 200
"""Answers after which a judge that fails too often ends a run; one early failure says nothing."""


@dataclass(frozen=True)
class Trial:
    """A passage's questions, asked of an adapter trained on `texts`; of the bare policy if none."""

    id: str
    passage: Passage
    texts: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """One answer and one grade per question of an examination, in the passage's order."""

    trial: Trial
    answers: tuple[str, ...]
    grades: tuple[Grade, ...]

    @property
    def verdicts(self) -> list[bool]:
        """Of the questions that could be graded."""
        return [grade.verdict for grade in self.grades if grade.verdict is not None]

    @property
    def n_ungraded(self) -> int:
        """Questions that could not be graded."""
        return len(self.grades) - len(self.verdicts)


class Examiner:
    """Asks and grades trials and appends answers.jsonl and grades.jsonl, from any thread."""

    def __init__(self, run: Run, policy: Policy, judge: Judge, settings: AnswerSettings) -> None:
        if orphans := run.ids("grades") - run.ids("answers"):
            raise UserError(
                f"{run.path('grades.jsonl')}: {len(orphans)} rows grade what answers.jsonl lacks,"
                f" such as {min(orphans)}; delete these rows to have both made again"
            )
        self._run = run
        self._policy = policy
        self._judge = judge
        self._settings = settings
        self._graded: list[Grade] = []
        self._counting = threading.Lock()

    def examine(self, asked: Sequence[tuple[Trial, Path | None]]) -> None:
        """Ask trials of their adapters (None: of the bare policy) and grade what they say.

        Raises UserError as soon as more than `max_ungraded` of many answers could not be graded.
        """
        records = ask(self._policy, asked, self._settings)
        self._run.append("answers", *records)
        graded = grade_records(self._judge, records)
        # Those with a gap are graded again by `grade_missing`, now or when the run is resumed
        self._run.append("grades", *(record for record in graded if None not in record["verdicts"]))
        with self._counting:
            self._graded += [grade for record in graded for grade in Grades(**record).grades]
            if len(self._graded) >= ENOUGH_TO_STOP:
                ensure_graded(self._graded, self._settings.max_ungraded)


def ask(
    policy: Policy, asked: Sequence[tuple[Trial, Path | None]], settings: AnswerSettings
) -> list[Record]:
    """Ask each trial's questions closed-book, greedily, in one call of the sampler.

    Returns one record per trial: its answers, as graded ("answer") and as sampled ("text").
    """
    requests = [
        SampleRequest(
            answer_prompt(trial.passage.title, question.question, settings, policy.tokenizer),
            adapter=adapter,
        )
        for trial, adapter in asked
        for question in trial.passage.questions
    ]
    parameters = SamplingParameters(max_new_tokens=settings.max_answer_tokens)
    completions = iter(policy.sampler.complete(requests, parameters))
    read = str if settings.answer_style == "plain" else parse_final_answer
    records = []
    for trial, _ in asked:
        answers = []
        for question, done in zip(trial.passage.questions, completions, strict=False):
            asked_for = {"question": question.question, "gold": question.answer}
            text = done.text.strip()
            said = {"answer": read(text), "text": text, "finish_reason": done.finish_reason}
            answers.append(asked_for | said)
        passage = {"passage_id": trial.passage.id, "title": trial.passage.title}
        records.append({"id": trial.id, **passage, "answers": answers})
    return records


def grade_records(judge: Judge, records: Sequence[Record]) -> list[Record]:
    """Grade the answers of several trials in one call of the judge: a record of grades for each."""
    items = [
        GradingItem(answer["question"], answer["gold"], answer["answer"], record["title"])
        for record in records
        for answer in record["answers"]
    ]
    grades = iter(judge.grade(items))
    graded = []
    for record in records:
        own = [next(grades) for _ in record["answers"]]
        verdicts, probabilities = [g.verdict for g in own], [g.probability for g in own]
        graded.append({"id": record["id"], "verdicts": verdicts, "probabilities": probabilities})
        if None in verdicts:
            graded[-1]["reasons"] = [grade.reason for grade in own]
    return graded


def grade_missing(
    run: Run, trials: Sequence[Trial], judge: Judge, settings: AnswerSettings
) -> None:
    """Grade answers that have no grades yet: the run was killed between, or the judge failed.

    Raises UserError, with the answers kept, if more than `max_ungraded` of them stay ungraded; a
    smaller share is then recorded as ungraded for good.
    """
    wanted = {trial.id for trial in trials} - run.ids("grades")
    missing = [record for record in run.records("answers", Answers) if record.id in wanted]
    if not missing:
        return
    graded = grade_records(judge, list(map(asdict, missing)))
    run.append("grades", *(record for record in graded if None not in record["verdicts"]))
    of_all = [*run.records("grades", Grades), *(Grades(**record) for record in graded)]
    ensure_graded([g for record in of_all for g in record.grades], settings.max_ungraded)
    run.append("grades", *graded)


def read_outcomes(run: Run, trials: Sequence[Trial]) -> list[Outcome]:
    """What answers.jsonl and grades.jsonl say of `trials`, in their order.

    Raises UserError for records that are missing or do not belong to their trial.
    """
    answers = {record.id: record for record in run.records("answers", Answers)}
    grades = {record.id: record for record in run.records("grades", Grades)}
    outcomes = []
    for trial in trials:
        if trial.id not in answers or trial.id not in grades:
            problem = f"answers.jsonl or grades.jsonl lacks {trial.id}"
            raise UserError(f"{run.folder}: {problem}; run the same command again")
        said, found = answers[trial.id], grades[trial.id].grades
        _check_questions(said, trial.passage, run.path("answers.jsonl"))
        if len(found) != len(said.answers):
            raise UserError(
                f"{run.path('grades.jsonl')}: {trial.id} has {len(found)} grades and"
                f" {len(said.answers)} answers; delete its row to have it graded again"
            )
        outcomes.append(Outcome(trial, tuple(each.answer for each in said.answers), tuple(found)))
    return outcomes


def _check_questions(said: Answers, passage: Passage, path: Path) -> None:
    """Raise UserError, with the file's `path`, unless these questions of the passage were asked."""
    asked = [(question.question, question.answer) for question in passage.questions]
    answered = [(answer.question, answer.gold) for answer in said.answers]
    if (said.passage_id, said.title, answered) != (passage.id, passage.title, asked):
        raise UserError(
            f"{path}: the record {said.id} answers other questions than those of passage"
            f" {passage.id}; delete its row to have them asked again"
        )
