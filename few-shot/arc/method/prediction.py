"""Predict a test grid: greedily from several views, then by vote (paper, section 4.2; A5, A6).

Prompts and decoding are those of training; nothing here knows whether there is an adapter.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path

from arc.method.configurations import Rejection
from arc.method.prompts import prediction_prompt
from arc.puzzles.grids import Grid
from arc.puzzles.rendering import decode_grid, longest_answer
from arc.puzzles.tasks import Task
from arc.puzzles.views import Prediction, View, views, vote
from arc.settings import PredictionSettings
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.records import Record
from seal.run import Run
from seal.sampling import SampleRequest, SamplingParameters
from seal.seeds import derive_seed

SHOWN = 200
"""Characters of an unreadable answer that are kept."""
IN_CONTEXT = "in-context"
"""Ends the ids of tries without an update."""


@dataclass(frozen=True)
class Votes:
    """A grid that was predicted, from which kind of view (`Prediction`), and how often."""

    grid: list[list[int]]
    inverter: str | None
    n: int


@dataclass(frozen=True)
class Try:
    """A line of predictions.jsonl: a try at a task, or why there was none."""

    id: str
    task_id: str
    rejection: Rejection | None = None
    attempts: list[list[list[int]]] | None = None
    votes: list[Votes] | None = None
    n_views: int | None = None
    unreadable: str | None = None

    def __post_init__(self) -> None:
        tried = (self.attempts, self.votes, self.n_views)
        if any((part is None) != (self.rejection is not None) for part in tried):
            raise ValueError("it holds neither a try nor a rejection alone")
        n_unread = 0
        if self.rejection is None:
            predictions = [
                Prediction(_grid(voter.grid), voter.inverter)
                for voter in self.votes
                for _ in range(voter.n)
            ]
            if tuple(map(_grid, self.attempts)) != (vote(predictions) or ()):
                raise ValueError("its attempts are not what its votes say")
            n_unread = self.n_views - len(predictions)
            if n_unread < 0 or self.n_views < 1 or min((v.n for v in self.votes), default=1) < 1:
                raise ValueError("its votes are not of its views")
        if (n_unread > 0) != (self.unreadable is not None):
            raise ValueError("its unreadable answer does not fit its votes")


@dataclass(frozen=True)
class Solution:
    """What a policy, bare or adapted, makes of a task."""

    attempts: tuple[Grid, ...]
    """Two grids; none where no answer could be read as a grid."""
    predictions: tuple[Prediction, ...]
    """What could be read, one per view, as the task itself shows it."""
    unreadable: tuple[str, ...]
    """The other answers, one per view."""

    @property
    def n_views(self) -> int:
        """Views that were asked."""
        return len(self.predictions) + len(self.unreadable)


@dataclass(frozen=True)
class Outcome:
    """The result of one try at a task, as predictions.jsonl holds it."""

    id: str
    task: Task
    attempts: tuple[Grid, ...]
    """Two grids; none without a try, or where no answer could be read."""
    rejection: Rejection | None
    """Why there was no try: what the self-edit asked for cannot be trained."""
    n_views: int
    n_decoded: int
    """Views whose answer could be read as a grid."""

    @property
    def correct(self) -> bool:
        """Whether one of the attempts is the target, cell for cell."""
        return self.task.target in self.attempts


def predict_in_context(
    run: Run, tasks: Sequence[Task], policy: Policy, settings: PredictionSettings, seed: int
) -> list[Outcome]:
    """The bare policy's try at each task, appended to RUN/predictions.jsonl unless it is there."""
    tries = [(f"{task.id}/{IN_CONTEXT}", task) for task in tasks]
    n_views = max(len(task_views(task, settings, seed)) for task in tasks)
    size = max(1, policy.settings.sampling_batch // n_views)
    groups = list(run.pending_groups("predictions", tries, size, key=itemgetter(0)))
    with run.progress(sum(map(len, groups)), "in context") as bar:
        for group in groups:
            solutions = solve(policy, [(task, None) for _, task in group], settings, seed)
            done = zip(group, solutions, strict=True)
            run.append("predictions", *(record_of(id, task, found) for (id, task), found in done))
            bar.update(len(group))
    return read_outcomes(run, tries)


def task_views(task: Task, settings: PredictionSettings, seed: int) -> list[View]:
    """The views of a task; with equal seeds every policy and adapter gets the same."""
    view_seed = derive_seed(seed, f"{task.id}/views")
    return views(task.demonstrations, task.test_input, view_seed, settings.n_permutations)


def solve(
    policy: Policy,
    asked: Sequence[tuple[Task, Path | None]],
    settings: PredictionSettings,
    seed: int,
) -> list[Solution]:
    """Predict each task with its adapter, or the bare policy, all in one call of the sampler."""
    posed = [(task, adapter, task_views(task, settings, seed)) for task, adapter in asked]
    requests = [
        SampleRequest(
            prediction_prompt(view.demonstrations, view.input, settings, policy.tokenizer),
            adapter=adapter,
        )
        for _, adapter, shown in posed
        for view in shown
    ]
    limit = settings.max_answer_tokens or longest_answer()
    completions = iter(policy.sampler.complete(requests, SamplingParameters(limit)))
    return [
        solution_of(shown, [next(completions).text for _ in shown], settings.release_bugs)
        for _, _, shown in posed
    ]


def solution_of(
    shown: Sequence[View], answers: Sequence[str], release_bugs: bool = False
) -> Solution:
    """Decode the answers, undo the views, and vote; an answer without a grid has no vote."""
    predictions, unreadable = [], []
    for view, answer in zip(shown, answers, strict=True):
        grid = decode_grid(answer, release_bugs)
        if grid is None:
            unreadable.append(answer)
        else:
            undo = view.inverter
            predictions.append(
                Prediction(undo(grid), str(undo)) if undo else Prediction(grid, None)
            )
    return Solution(vote(predictions) or (), tuple(predictions), tuple(unreadable))


def record_of(
    id: str, task: Task, solution: Solution | None, rejection: Rejection | None = None
) -> Record:
    """A line of predictions.jsonl: a solution, or why there is none."""
    record: Record = {"id": id, "task_id": task.id}
    if rejection is not None:
        record["rejection"] = asdict(rejection)
    if solution is not None:
        votes = Counter(solution.predictions)
        record["attempts"] = solution.attempts
        record["votes"] = [voter._asdict() | {"n": n} for voter, n in votes.items()]
        record["n_views"] = solution.n_views
        if solution.unreadable:
            record["unreadable"] = shorten(solution.unreadable[0])
    return record


def shorten(answer: str) -> str:
    """The beginning of an answer, enough to see why it is not a grid."""
    return answer if len(answer) <= SHOWN else f"{answer[:SHOWN]} ..."


def _grid(rows: list[list[int]]) -> Grid:
    return tuple(map(tuple, rows))


def read_outcomes(run: Run, wanted: Sequence[tuple[str, Task]]) -> list[Outcome]:
    """What predictions.jsonl says of the tries with these ids, in their order.

    Raises UserError for one that is missing or belongs to another task.
    """
    tries = {found.id: found for found in run.records("predictions", Try)}
    outcomes = []
    for id, task in wanted:
        found = tries.get(id)
        if found is None or found.task_id != task.id:
            problem = f"{id} is missing or belongs to another task"
            fix = "delete its row, if any, and run the same command again"
            raise UserError(f"{run.path('predictions.jsonl')}: {problem}; {fix}")
        attempts = tuple(map(_grid, found.attempts or []))
        n_decoded = sum(voter.n for voter in found.votes or [])
        outcomes.append(Outcome(id, task, attempts, found.rejection, found.n_views or 0, n_decoded))
    return outcomes
