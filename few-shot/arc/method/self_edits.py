"""Self-edits: how the policy wants to be trained on a task, as a JSON object (section 4.2).

An answer that is not JSON is drawn again, as in the release; every other one counts, valid or not.
"""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from arc.method.configurations import (
    Acceptance,
    Configuration,
    Rejection,
    load_oracle,
    parse_self_edit,
    to_json,
)
from arc.method.prediction import IN_CONTEXT
from arc.method.prompts import self_edit_prompt
from arc.puzzles.tasks import Task
from arc.settings import ORACLE, OracleSettings, SelfEditSettings
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.loop.self_edit_files import check_id, first_self_edits
from seal.run import Run
from seal.sampling import SampleRequest, SamplingParameters
from seal.seeds import derive_seed


@dataclass(frozen=True)
class SelfEdit:
    """One self-edit; `id` is TASK/NUMBER.

    Inner loops of one task whose `repeat` is equal start from the same seed.
    """

    id: str
    task_id: str
    text: str
    repeat: int = 0
    token_ids: list[int] | None = None
    """What the policy sampled, the end of text included; None for one that it did not write."""

    def __post_init__(self) -> None:
        check_id(self.id, self.task_id)
        if self.id == f"{self.task_id}/{IN_CONTEXT}":
            raise ValueError("its id is that of the try in context")

    @property
    def parsed(self) -> Configuration | Rejection:
        """What it says, or why nothing can be done with it."""
        return parse_self_edit(self.text)

    @property
    def key(self) -> Hashable:
        """Equal where inner loops share all seeds and train on the same, so that they end alike."""
        return self.task_id, self.parsed, self.repeat


def sample_self_edits(
    run: Run, tasks: Sequence[Task], policy: Policy, settings: SelfEditSettings, seed: int
) -> list[SelfEdit]:
    """The E-step's samples: k self-edits per task, appended to RUN/self_edits.jsonl.

    Tasks whose samples the run holds are not asked again. Returns all, task by task.
    """
    # Groups of fixed composition: see `Run.pending_groups`
    size = settings.k * max(1, policy.settings.sampling_batch // settings.k)
    wanted = {f"{task.id}/{number}": task for task in tasks for number in range(settings.k)}
    groups = list(run.pending_groups("self_edits", list(wanted), size, key=str))
    with run.progress(sum(map(len, groups)), "self-edits") as bar:
        for group in groups:
            of_group = list({wanted[id_].id: wanted[id_] for id_ in group}.values())
            run.append("self_edits", *map(asdict, _sample(of_group, policy, settings, seed)))
            bar.update(len(group))
    sampled = {self_edit.id: self_edit for self_edit in run.records("self_edits", SelfEdit)}
    for id_, self_edit in sampled.items():
        if id_ not in wanted or self_edit.task_id != wanted[id_].id:
            problem = f"{id_} is of another run or of task {self_edit.task_id}"
            fix = "delete its row, and the same command has it written again"
            raise UserError(f"{run.path('self_edits.jsonl')}: {problem}; {fix}")
    return [sampled[id_] for id_ in wanted]


def _sample(
    tasks: Sequence[Task], policy: Policy, settings: SelfEditSettings, seed: int
) -> list[SelfEdit]:
    """Draw for all tasks at once, again and again, until each has its k or no attempt is left."""
    parameters = SamplingParameters(settings.max_new_tokens, settings.temperature, settings.top_p)
    prompts = {task.id: self_edit_prompt(task, settings, policy.tokenizer) for task in tasks}
    found = {task.id: Acceptance(settings.k, settings.skip_repeated_configs) for task in tasks}
    token_ids: dict[tuple[str, str], list[int]] = {}
    for attempt in range(settings.max_attempts):
        wanted = [
            (task.id, number)
            for task in tasks
            for number in range(len(found[task.id].accepted), settings.k)
        ]
        if not wanted:
            break
        requests = [
            SampleRequest(prompts[task_id], seed=derive_seed(seed, f"{task_id}/{number}", attempt))
            for task_id, number in wanted
        ]
        completions = policy.sampler.complete(requests, parameters)
        for (task_id, _), completion in zip(wanted, completions, strict=True):
            found[task_id].offer(completion.text)
            token_ids.setdefault((task_id, completion.text), list(completion.token_ids))
    return [
        SelfEdit(f"{task.id}/{number}", task.id, text, token_ids=token_ids[task.id, text])
        for task in tasks
        for number, text in enumerate(found[task.id].filled_up())
    ]


def given_self_edits(
    source: str, tasks: Sequence[Task], k: int, settings: OracleSettings
) -> list[SelfEdit]:
    """k self-edits per task: the hand-made one ("oracle") k times, or those of the file `source`.

    The hand-made ones differ in their seeds. Raises UserError as `load_oracle` and
    `first_self_edits` do.
    """
    if source != ORACLE:
        flags = "--task_ids, --n_tasks, --seed and --k"
        task_ids = [task.id for task in tasks]
        return first_self_edits(Path(source), SelfEdit, "task", task_ids, k, flags)
    text = to_json(load_oracle(settings.oracle_path))
    return [
        SelfEdit(f"{task.id}/{number}", task.id, text, repeat=number)
        for task in tasks
        for number in range(k)
    ]
