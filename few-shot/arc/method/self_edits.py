"""Self-edits: how the policy wants to be trained on a task, as a JSON object (section 4.2).

An answer that is no JSON is drawn again, as in the release; every other one counts, valid or not.
"""

from collections.abc import Sequence
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
from arc.method.prompts import self_edit_prompt
from arc.puzzles.tasks import Task
from arc.settings import ORACLE, OracleSettings, SelfEditSettings
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.records import Record, read_jsonl
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

    @property
    def parsed(self) -> Configuration | Rejection:
        """What it says, or why nothing can be done with it."""
        return parse_self_edit(self.text)


def sample_self_edits(
    run: Run, tasks: Sequence[Task], policy: Policy, settings: SelfEditSettings, seed: int
) -> list[SelfEdit]:
    """The E-step's samples: k self-edits per task, appended to RUN/self_edits.jsonl.

    Tasks whose samples the run holds are not asked again. Returns all, task by task.
    """
    size = max(1, policy.settings.sampling_batch // settings.k)

    def last_id(task: Task) -> str:
        return f"{task.id}/{settings.k - 1}"

    # Groups of fixed composition: see `Run.pending_groups`
    groups = list(run.pending_groups("self_edits", tasks, size, key=last_id))
    with run.progress(sum(map(len, groups)), "self-edits") as bar:
        for group in groups:
            run.append("self_edits", *map(asdict, _sample(group, policy, settings, seed)))
            bar.update(len(group))
    sampled = {record["id"]: SelfEdit(**record) for record in run.records("self_edits")}
    return [sampled[f"{task.id}/{number}"] for task in tasks for number in range(settings.k)]


def _sample(
    tasks: Sequence[Task], policy: Policy, settings: SelfEditSettings, seed: int
) -> list[SelfEdit]:
    """Draw for all tasks at once, again and again, until each has its k or no attempt is left."""
    parameters = SamplingParameters(
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
    )
    prompts = {task.id: self_edit_prompt(task, settings, policy.tokenizer) for task in tasks}
    found = {task.id: Acceptance(settings.k, settings.skip_repeated_configs) for task in tasks}
    refused: dict[str, list[str]] = {task.id: [] for task in tasks}
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
            if not found[task_id].offer(completion.text):
                refused[task_id].append(completion.text)
    return [
        SelfEdit(f"{task.id}/{number}", task.id, text)
        for task in tasks
        for number, text in enumerate(
            _filled_up(found[task.id].accepted, refused[task.id], settings.k)
        )
    ]


def _filled_up(accepted: Sequence[str], refused: Sequence[str], k: int) -> list[str]:
    """Where attempts ran out, what was refused last stands in and earns what it is worth."""
    missing = k - len(accepted)
    return [*accepted, *refused[len(refused) - missing :]]


def given_self_edits(
    source: str, tasks: Sequence[Task], k: int, settings: OracleSettings
) -> list[SelfEdit]:
    """k self-edits per task: the hand-made ones ("oracle") or those of the file `source`.

    Raises UserError as `load_oracle` and `read_self_edits` do.
    """
    if source == ORACLE:
        return oracle_self_edits(load_oracle(settings.oracle_path), tasks, k)
    return read_self_edits(Path(source), tasks, k)


def oracle_self_edits(oracle: Configuration, tasks: Sequence[Task], k: int) -> list[SelfEdit]:
    """The hand-made configuration k times per task, each time with seeds of its own."""
    text = to_json(oracle)
    return [
        SelfEdit(f"{task.id}/{number}", task.id, text, repeat=number)
        for task in tasks
        for number in range(k)
    ]


def read_self_edits(path: Path, tasks: Sequence[Task], k: int) -> list[SelfEdit]:
    """The first k self-edits per task of a file that `sample_self_edits` wrote.

    Raises UserError naming the file and the row that is no self-edit or repeats an id, or the task
    that has fewer than k.
    """
    by_task: dict[str, list[SelfEdit]] = {}
    ids: set[str] = set()
    for row, record in enumerate(read_jsonl(path), start=1):
        self_edit = _read_self_edit(record, f"{path} row {row}")
        if self_edit.id in ids:
            # An id names a record and an adapter's folder, so one of the two would be lost
            raise UserError(f"{path} row {row}: id {self_edit.id} occurs before; make it unique")
        ids.add(self_edit.id)
        by_task.setdefault(self_edit.task_id, []).append(self_edit)
    for task in tasks:
        found = len(by_task.get(task.id, []))
        if found < k:
            raise UserError(
                f"{path}: task {task.id} has {found} self-edits, {k} are wanted; check --task_ids,"
                " --n_tasks, --seed and --k"
            )
    return [self_edit for task in tasks for self_edit in by_task[task.id][:k]]


def _read_self_edit(record: Record, where: str) -> SelfEdit:
    try:
        self_edit = SelfEdit(**record)
        for name in ("id", "task_id", "text"):
            if not isinstance(getattr(self_edit, name), str):
                raise TypeError(f"its {name} is no string")
        if not isinstance(self_edit.repeat, int):
            raise TypeError("its repeat is no integer")
    except TypeError as error:
        raise UserError(
            f"{where} is no self-edit ({error}); use a self_edits.jsonl written by"
            " generate_self_edits.py"
        ) from None
    return self_edit
