"""Many inner loops: what is trained when, who examines it, and what a killed run leaves behind."""

import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from seal.loop.inner_loops import GROUP_PER_SLOT, pending_groups, run_inner_loops
from seal.lora.files import WEIGHTS_FILE
from seal.records import read_jsonl
from seal.run import Run
from tests.support.runs import lines_of
from tests.support.small_jobs import VOCABULARY, random_job
from tests.support.small_models import small_qwen2


@dataclass(frozen=True)
class Trial:
    """An inner loop of so many optimizer steps; without any the bare policy is examined."""

    id: str
    steps: int = 1


class Domain:
    """Makes jobs, and examines by reading each adapter's weights; notes what it was asked."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.events: list[tuple[str, str]] = []
        self.calls: list[list[str]] = []
        self.threads: set[threading.Thread] = set()

    def make_job(self, trial):
        self.events.append(("job", trial.id))
        seed = int(trial.id.rpartition("/")[2])
        return random_job(seed, (3,), epochs=trial.steps) if trial.steps else None

    def examine(self, asked):
        self.threads.add(threading.current_thread())
        self.calls.append([trial.id for trial, _ in asked])
        for trial, adapter in asked:
            self.events.append(("examine", trial.id))
            assert (adapter is None) == (trial.steps == 0)
            size = adapter and (adapter / WEIGHTS_FILE).stat().st_size
            self.run.append("found", {"id": trial.id, "bytes": size})


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def loops(run, trials, domain, kind="transformers", slots=2, **changes):
    policy = SimpleNamespace(
        settings=SimpleNamespace(sampler=kind), model=small_qwen2(VOCABULARY) if trials else None
    )
    functions = {"make_job": domain.make_job, "examine": domain.examine} | changes
    run_inner_loops(
        run,
        policy,
        trials,
        **functions,
        records="found",
        slots=slots,
        target_modules=["q_proj"],
        label="inner loops",
    )


def trials_of(*steps):
    return [Trial(f"moth/{number}", count) for number, count in enumerate(steps)]


def metrics(run, event):
    return [line for line in read_jsonl(run.path("metrics.jsonl")) if line["event"] == event]


@pytest.mark.parametrize("kind", ["transformers", "vllm"])
def test_every_trial_is_examined_once_and_its_adapter_removed(run, kind):
    trials, domain = trials_of(1, 0, 3, 2, 1, 0, 1, 1, 2, 0), Domain(run)
    loops(run, trials, domain, kind)
    found = {record["id"]: record["bytes"] for record in lines_of(run, "found")}
    assert len(lines_of(run, "found")) == len(trials)
    assert all((found[trial.id] is None) == (trial.steps == 0) for trial in trials)
    assert not run.path("adapters").exists()
    assert threading.current_thread() not in domain.threads

    again = Domain(run)
    loops(Run(run.folder), trials, again, kind)
    assert again.events == []


def test_an_in_process_model_is_asked_in_calls_that_timing_does_not_change(run):
    trials, domain = trials_of(1, 0, 3, 2, 1, 0, 2, 1, 2, 0, 1), Domain(run)
    loops(run, trials, domain, slots=2)
    # A group of 8, first those without adapter; then as they are finished, most steps first, two a
    # call; then the next group
    assert domain.calls == [
        ["moth/1", "moth/5"],
        ["moth/3", "moth/2"],
        ["moth/0", "moth/6"],
        ["moth/4", "moth/7"],
        ["moth/9"],
        ["moth/10", "moth/8"],
    ]
    assert len(domain.threads) == 1


def test_a_server_is_asked_by_several_threads_one_adapter_at_a_time(run):
    both = threading.Barrier(2, timeout=60)
    domain = Domain(run)

    def examine(asked):
        both.wait()  # passed only by two at once
        domain.examine(asked)

    loops(run, trials_of(2, 2, 1, 1), domain, "vllm", slots=2, examine=examine)
    assert sorted(domain.calls) == [[f"moth/{number}"] for number in range(4)]


def test_jobs_are_made_when_their_group_is_next(run):
    trials, domain = trials_of(*[1] * 2 * GROUP_PER_SLOT), Domain(run)
    loops(run, trials, domain, slots=1)
    first = [trial.id for trial in trials[:GROUP_PER_SLOT]]
    assert domain.events[:GROUP_PER_SLOT] == [("job", name) for name in first]
    before = domain.events[: domain.events.index(("job", trials[GROUP_PER_SLOT].id))]
    # One adapter a call, and at most three may wait: one has been examined by then
    assert ("examine", first[0]) in before
    assert [name for what, name in domain.events if what == "job"] == [t.id for t in trials]


def test_the_most_steps_come_first(run):
    trials = trials_of(1, 4, 2, 3)
    loops(run, trials, Domain(run), slots=1)
    assert [line["id"] for line in metrics(run, "adapter")] == [
        f"moth/{number}" for number in (1, 3, 2, 0)
    ]


def test_metrics_say_what_training_took(run):
    loops(run, trials_of(4, 0, 2), Domain(run))
    adapters = {line["id"]: line for line in metrics(run, "adapter")}
    assert adapters.keys() == {"moth/0", "moth/2"}
    for name, steps in (("moth/0", 4), ("moth/2", 2)):
        line = adapters[name]
        assert (line["steps"], line["tokens"]) == (steps, 3 * steps)
        assert line["last_loss"] < line["first_loss"]
        assert line["seconds"] > 0
    (training,) = metrics(run, "training")
    assert training["adapters"] == 2
    assert training["seconds"] > 0


def test_a_model_is_not_loaded_for_trials_without_jobs(run):
    domain = Domain(run)
    policy = SimpleNamespace(settings=SimpleNamespace(sampler="transformers"))  # it has no model
    run_inner_loops(
        run,
        policy,
        trials_of(0, 0),
        domain.make_job,
        domain.examine,
        records="found",
        slots=1,
        target_modules=["q_proj"],
        label="no update",
    )
    assert domain.calls == [["moth/0", "moth/1"]]


@pytest.mark.parametrize("kind", ["transformers", "vllm"])
@pytest.mark.parametrize("steps", [0, 1])
def test_errors_of_the_examination_reach_the_caller(run, kind, steps):
    def examine(asked):
        raise RuntimeError("the server is gone")

    with pytest.raises(RuntimeError, match="the server is gone"):
        loops(run, trials_of(*[steps] * 20), Domain(run), kind, examine=examine)
    assert not run.path("found.jsonl").exists()


def test_a_killed_run_is_resumed_by_whole_groups_and_what_it_left_is_removed(run):
    trials = trials_of(*[1] * 10)
    # Killed before the last was examined: of two groups the first is whole
    run.append("found", *({"id": trial.id, "bytes": -1} for trial in trials[:9]))
    for leftover in ("moth--9", "moth--3"):
        folder = run.path("adapters") / leftover
        folder.mkdir(parents=True)
        (folder / "half").write_text("of an adapter")
    domain = Domain(run)
    assert pending_groups(run, trials, "found", slots=2) == [trials[8:]]
    loops(run, trials, domain)
    assert [name for what, name in domain.events if what == "job"] == ["moth/8", "moth/9"]
    assert [record["bytes"] for record in lines_of(run, "found")][:9] == [-1] * 9
    assert [record["id"] for record in lines_of(run, "found")] == [trial.id for trial in trials]
    assert not run.path("adapters").exists()


def test_no_trials_are_no_work(run):
    loops(run, [], Domain(run))
    assert not run.path("found.jsonl").exists()
