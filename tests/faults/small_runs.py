"""Small runs of both domains: the real loops and records, with policies that answer by rule.

Nothing is trained and no model is loaded, so a run takes milliseconds. Every text depends on the
prompt, the seed, the adapter and the policy, so that a wrong record shows in the results.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from arc.method import few_shot_table
from arc.method.configurations import Configuration, to_json
from arc.method.knobs import read_knobs
from arc.method.open_run import RECORDS as ARC_RECORDS
from arc.method.outer_loop import TaskDomain
from arc.method.self_edits import given_self_edits
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.rendering import answer_text
from arc.settings import ORACLE, SAMPLED
from arc.settings import RestEmSettings as ArcSettings
from arc.settings import TableSettings as ArcTableSettings
from knowledge.data.passages import Passage, Question
from knowledge.experiments.entigraph import write_entigraph
from knowledge.judging.judges import Grade
from knowledge.judging.replies import ProxyScores
from knowledge.method import single_passage_table
from knowledge.method.open_run import RECORDS as KNOWLEDGE_RECORDS
from knowledge.method.outer_loop import PassageDomain
from knowledge.method.proxy_reward import rate_self_edits
from knowledge.method.reward import measure_rewards
from knowledge.method.self_edits import SelfEdit, write_self_edits
from knowledge.method.writers import report_missing
from knowledge.settings import EntiGraphSettings, RestEmSettings, SelfEditSettings, TableSettings
from seal.chat.client import Reply
from seal.loop.inner_loops import seconds_per_adapter
from seal.loop.rest_em import rest_em
from seal.models.untrained import train_tokenizer
from seal.records import write_jsonl, write_text
from seal.run import Run
from seal.sampling import Completion
from tests.arc.policies import FERRY, MOTH, chat_tokenizer, query_of, recolor

SEED = 7
PASSAGES = [
    Passage(name, name.title(), f"About {name}.", (Question(f"When {name}?", "May"),))
    for name in ("moth", "ferry", "bee", "fern", "owl")
]
KNOWLEDGE_TOKENIZER = train_tokenizer([passage.context for passage in PASSAGES], 300)


@dataclass(frozen=True)
class Config:
    """What every run of this module was asked."""

    run_dir: Path


def number_of(*values: object) -> int:
    """A number that depends on all that is given."""
    return int(hashlib.sha256(repr(values).encode()).hexdigest()[:8], 16)


class ByRule:
    """A policy, and its sampler; `name` may be a folder that the M-step wrote."""

    settings = SimpleNamespace(sampler="transformers", sampling_batch=4)
    model = None

    def __init__(self, name: str, tokenizer: object, write: Callable[..., str]) -> None:
        weights = Path(name) / "weights.txt"
        self._weights = weights.read_text() if weights.exists() else name
        self.name, self.tokenizer, self.sampler, self._write = name, tokenizer, self, write

    def complete(self, requests, parameters):
        """By the prompt, what chance there is, and the weights."""
        done = []
        for request in requests:
            adapter = request.adapter and request.adapter.name
            seed = request.seed if parameters.temperature else 0
            number = number_of(request.prompt, seed, adapter, self._weights)
            text = self._write(request.prompt, number, parameters.temperature > 0)
            done.append(Completion(text, ("stop", "length")[number % 2], (number % 9, 1)))
        return done


def knowledge_text(prompt: str, number: int, sampled: bool) -> str:
    if sampled:
        return f"1. Fact {number}.\n2. It is May."
    return ("May", "", "June")[number % 3]


VARIANTS = [
    to_json(Configuration(Augmentations(on, False, False, False), on, 1e-3, epochs))
    for on in (True, False)
    for epochs in (1, 2)
]


def arc_text(prompt: list[int], number: int, sampled: bool) -> str:
    if sampled:
        return [*VARIANTS, "[]", VARIANTS[0].replace("1", "0")][number % 6]
    grid = query_of(prompt)
    grids = (grid, recolor(grid))
    return answer_text(grids[number % 2]) if number % 5 else "I do not know"


class Judge:
    """Grades by the answer's words; some answers it cannot grade."""

    name = "by rule"

    def grade(self, items):
        grades = []
        for item in items:
            number = number_of(item.question, item.answer)
            if number % 11 == 0:
                grades.append(Grade(None, None, "status 500"))
            else:
                right = item.answer == item.gold
                grades.append(Grade(right, (0.75 if right else 0.25) + number % 9 / 100))
        return grades


class Rater:
    """Marks by the text; some texts it cannot mark."""

    client = SimpleNamespace(name="by rule")

    def rate(self, items):
        marks = [[1 + number_of(text, mark) % 5 for mark in range(4)] for _, text in items]
        return [
            (None, "no marks") if number_of(text) % 5 == 0 else (ProxyScores(*of, sum(of)), None)
            for (_, text), of in zip(items, marks, strict=True)
        ]


class Writer:
    """A chat model that writes by the seed, and refuses some texts."""

    name, group_size, batched = "by rule", 3, False

    def write(self, items, seeds, keep):
        return [self._reply(item.id, item.prompt) for item in items]

    def _reply(self, id_: str, prompt: str) -> Reply:
        number = number_of(id_)
        if number % 5 == 0:
            return Reply(None, "status 400: no")
        text = '["Anna", "Berg", "Cove"]' if prompt.endswith("entities") else f"Fact {number}."
        return Reply(text, None, ("stop", "length")[number % 2], number % 9)


def finetune(policy: str, rows, folder: Path, seed: int) -> None:
    """The M-step: a model folder that tells what it learned; a whole one stays."""
    if not (folder / "model").exists():
        write_jsonl(folder / "rows.jsonl", map(asdict, rows))
        write_text(folder / "model" / "weights.txt", str(number_of(policy[-9:], rows, seed)))


def train_adapters(model, jobs, folders, target_modules, slots, on_done) -> None:
    """What stands for `seal.lora.train_adapters`."""
    for index, folder in enumerate(folders):
        folder.mkdir(parents=True)
        on_done(index, SimpleNamespace(numbers={"seconds": 0.5, "steps": jobs[index].steps}))


def _policies(tokenizer: object, write: Callable[..., str]):
    return lambda name, log: nullcontext(ByRule(name, tokenizer, write))


_knowledge = _policies(KNOWLEDGE_TOKENIZER, knowledge_text)
_arc = _policies(chat_tokenizer(), arc_text)


def knowledge_rest_em(run: Run) -> None:
    settings = RestEmSettings(k=2, repeats=2, slots=1, epochs=1, max_ungraded=1.0)
    reward = partial(measure_rewards, judge=Judge(), settings=settings)
    rounds = [PASSAGES[:2], PASSAGES[2:4]]
    domain = PassageDomain(rounds, Judge(), reward, settings, PASSAGES[4:], SEED)
    rest_em(run, domain, finetune, _knowledge, model="base", rounds=2, seed=SEED)


def knowledge_table(run: Run) -> None:
    settings = TableSettings(k=2, repeats=1, slots=1, epochs=1, max_ungraded=1.0)
    given = [SelfEdit(f"{p.id}/given/0", p.id, "given", "It is May.", "stop", 3) for p in PASSAGES]
    outcomes = {}
    for label in (*single_passage_table.ROWS, "given"):
        with _knowledge("base", run.path("log")) as policy:
            outcomes[label] = single_passage_table.fill_row(
                *(run, label, PASSAGES[:3], [given[:3], None][label != "given"]),
                *(policy, Judge(), settings, SEED),
            )
    layout = single_passage_table.SINGLE_PASSAGE
    seconds_per_adapter(run)
    rows = single_passage_table.summarize_rows(outcomes, layout, SEED)
    run.write_results({"n_passages": 3, "rows": rows})


def proxy_reward(run: Run) -> None:
    settings = RestEmSettings(k=3, max_ungraded=1.0)
    edits = [
        SelfEdit(f"{p.id}/implications/{n}", p.id, "implications", f"{p.id} {n}", "stop", 3)
        for p in PASSAGES
        for n in range(3)
    ]
    reward = partial(rate_self_edits, rater=Rater(), settings=settings)
    domain = PassageDomain([PASSAGES], Judge(), reward, settings)
    policy = ByRule("base", KNOWLEDGE_TOKENIZER, knowledge_text)
    rewards, numbers = domain.reward(run, PASSAGES, edits, policy, SEED)
    rows, selection = domain.select(PASSAGES, edits, rewards, policy, SEED)
    run.replace("sft", map(asdict, rows))
    run.write_results(numbers | selection)


def written_self_edits(run: Run) -> None:
    settings = SelfEditSettings(k=3)
    edits, missing = write_self_edits(run, PASSAGES, Writer(), settings, SEED)
    report_missing(run, missing, 3 * len(PASSAGES), 1.0, "self-edits")
    run.write_results({"self_edits": [asdict(edit) for edit in edits], "missing": missing})


def entigraph(run: Run) -> None:
    settings = EntiGraphSettings(relations="pairs+triples")
    edits, counts = write_entigraph(run, PASSAGES, Writer(), settings, SEED, 1.0)
    run.write_results({"self_edits": [asdict(edit) for edit in edits], **counts})


def arc_rest_em(run: Run) -> None:
    settings = ArcSettings(k=3, slots=1, n_permutations=0, max_items=4)
    domain = TaskDomain([MOTH, FERRY], settings)
    rest_em(run, domain, finetune, _arc, model="base", rounds=2, seed=SEED)


def arc_table(run: Run) -> None:
    settings = ArcTableSettings(k=2, slots=1, n_permutations=0, max_items=4)
    tasks = [MOTH, FERRY]
    given = given_self_edits(ORACLE, tasks, 2, settings)
    sources = {"in-context": None, "self-edits": SAMPLED, "oracle": given}
    arms = []
    for label, source in sources.items():
        with _arc("base", run.path("log")) as policy:
            arms.append(few_shot_table.fill_row(run, label, source, tasks, policy, settings, SEED))
    rows = [few_shot_table.summarize_arm(arm, None, SEED) for arm in arms]
    seconds_per_adapter(run)
    run.write_results({"rows": rows, "knobs": read_knobs(run.part("self-edits"))})


KINDS = {
    knowledge_rest_em: KNOWLEDGE_RECORDS,
    knowledge_table: KNOWLEDGE_RECORDS,
    proxy_reward: KNOWLEDGE_RECORDS,
    written_self_edits: KNOWLEDGE_RECORDS,
    entigraph: KNOWLEDGE_RECORDS,
    arc_rest_em: ARC_RECORDS,
    arc_table: ARC_RECORDS,
}
"""The runs, each a function that does or resumes all of it, and the records that it writes."""


@contextmanager
def nothing_slow() -> Iterator[None]:
    """Without training, drawing, and asking git and pip about the code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seal.loop.inner_loops.train_adapters", train_adapters)
        patch.setattr(PassageDomain, "plot", staticmethod(lambda *_: None))
        patch.setattr(TaskDomain, "plot", staticmethod(lambda *_: None))
        patch.setattr("seal.environment._git", lambda *_: "")
        patch.setattr("seal.environment._version", lambda package: None)
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


def start(job: Callable[[Run], None], folder: Path) -> dict[str, str]:
    """Do or resume a run as its program would; its results.json files by their place."""
    run = Run.open(folder, Config(folder), {"--inputs": "equal"}, KINDS[job])
    try:
        job(run)
    finally:
        run._lock_file.close()
    return {
        str(path.relative_to(folder)): path.read_text() for path in folder.rglob("results.json")
    }


def unfinish(folder: Path) -> None:
    """The folder as a kill leaves it before the last results were written."""
    for part in [folder, *folder.glob("round-2")]:
        (part / "results.json").unlink()
        (part / "SHA256SUMS").unlink()
    if (folder / "final").exists():
        (folder / "final" / "results.json").unlink()
        (folder / "final" / "SHA256SUMS").unlink()
