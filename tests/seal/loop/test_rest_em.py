"""The outer loop on a domain of a few lines: rounds chain, and a killed one resumes."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from seal.loop.rest_em import rest_em
from seal.records import read_json
from seal.run import Run
from seal.seeds import derive_seed
from seal.training.sft import SftRow


class Killed(Exception):
    """What a kill looks like from inside."""


class NumberDomain:
    """Contexts are numbers; a self-edit is rewarded by its length, of which the best is kept."""

    def __init__(self, validates: bool = False, selects: bool = True) -> None:
        self.validates, self.selects = validates, selects
        self.calls: list[str] = []
        self.fatal: str | None = None

    def _called(self, name: str, policy: SimpleNamespace | None = None) -> None:
        if name == self.fatal:
            self.fatal = None
            raise Killed
        self.calls.append(f"{name} {policy.name}" if policy else name)

    def contexts(self, number):
        return [10 * number, 10 * number + 1]

    def sample(self, run, contexts, policy, seed):
        self._called("sample", policy)
        found = [{"id": f"{context}/{seed}", "text": str(context)} for context in contexts]
        run.append("self_edits", *found)
        return found

    def reward(self, run, contexts, self_edits, policy, seed):
        self._called("reward", policy)
        return [float(edit["text"]) for edit in self_edits], {"n_self_edits": len(self_edits)}

    def select(self, contexts, self_edits, rewards, policy, seed):
        best = [
            edit["text"] for edit, r in zip(self_edits, rewards, strict=True) if r == max(rewards)
        ]
        rows = [SftRow("p", text) for text in best if self.selects]
        return rows, {"n_selected": len(rows)}

    def validate(self, run, policy):
        if not self.validates:
            return None
        self._called("validate", policy)
        return {"accuracy": len(policy.name)}

    def describe_round(self, results):
        return f"selected {results['n_selected']}"

    def describe_validation(self, results):
        return f"validated {len(results)} times"

    def plot(self, rounds, validation, path):
        path.write_text(f"{len(rounds)} {len(validation)}")


@contextmanager
def open_policy(name, log):
    yield SimpleNamespace(name="/".join(name.split("/")[-3:]))


def run_rounds(folder, domain, updates, rounds=2):
    def update(policy, rows, folder, seed):
        domain._called("update")
        updates.append((policy, [row.completion for row in rows], seed))
        (folder / "model").mkdir(parents=True)

    run = Run(folder)
    return rest_em(run, domain, update, open_policy, model="base", rounds=rounds, seed=7)


def test_each_round_starts_from_the_policy_that_the_last_one_left(tmp_path):
    domain, updates = NumberDomain(), []
    last = run_rounds(tmp_path, domain, updates)
    first = str(tmp_path / "round-1" / "sft" / "model")
    assert last == str(tmp_path / "round-2" / "sft" / "model")
    assert updates == [
        ("base", ["11"], derive_seed(7, "round-1")),
        (first, ["21"], derive_seed(7, "round-2")),
    ]
    assert domain.calls == [
        *("sample base", "reward base", "update"),
        *("sample round-1/sft/model", "reward round-1/sft/model", "update"),
    ]
    assert read_json(tmp_path / "results.json") == {
        "rounds": [{"round": number, "n_self_edits": 2, "n_selected": 1} for number in (1, 2)]
    }
    assert (tmp_path / "rounds.png").read_text() == "2 0"
    log = (tmp_path / "log.txt").read_text()
    assert "round 1: finetuning the policy on 1 self-edits" in log
    assert "round 2: selected 1" in log and f"the policy after round 2: {last}" in log


def test_without_a_row_the_policy_stays(tmp_path):
    domain, updates = NumberDomain(selects=False), []
    assert run_rounds(tmp_path, domain, updates) == "base"
    assert updates == [] and domain.calls[2:] == ["sample base", "reward base"]
    assert "no self-edit to imitate" in (tmp_path / "log.txt").read_text()


def test_a_policy_is_validated_before_the_first_round_and_after_each(tmp_path):
    domain = NumberDomain(validates=True)
    run_rounds(tmp_path, domain, [])
    validated = [call for call in domain.calls if call.startswith("validate")]
    assert validated == [
        "validate base",
        "validate round-1/sft/model",
        "validate round-2/sft/model",
    ]
    results = read_json(tmp_path / "results.json")
    assert [entry["accuracy"] for entry in results["validation"]] == [4, 17, 17]
    assert list(results["rounds"][0]) == ["round", "validation", "n_self_edits", "n_selected"]


@pytest.mark.parametrize("fatal", ["validate", "sample", "reward", "update"])
def test_a_killed_run_goes_on_where_it_stopped(tmp_path, fatal):
    undisturbed, domain = NumberDomain(validates=True), NumberDomain(validates=True)
    run_rounds(tmp_path / "whole", undisturbed, [])
    domain.fatal = fatal
    with pytest.raises(Killed):
        run_rounds(tmp_path / "killed", domain, [])
    run_rounds(tmp_path / "killed", domain, [])
    results = [(tmp_path / name / "results.json").read_bytes() for name in ("whole", "killed")]
    assert results[0] == results[1]
    # A third start finds all done
    calls = list(domain.calls)
    run_rounds(tmp_path / "killed", domain, [])
    assert domain.calls == calls
