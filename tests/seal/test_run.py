"""A run folder resumes for the same config, refuses another, and never loses or repeats a line."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from seal.command_line.arguments import arg
from seal.errors import UserError
from seal.records import read_json, read_jsonl, write_json
from seal.run import Run
from seal.usage import read_metrics, read_usage
from tests.support.runs import lines_of


@dataclass(frozen=True)
class Config:
    run_dir: Path = arg("where")
    k: int = arg("how many", 5)
    slots: int = arg("side by side", 15, machine=True)


@pytest.fixture
def config(tmp_path):
    return Config(run_dir=tmp_path / "run")


def reopen(config) -> Run:
    return Run.open(config.run_dir, config)


def close(run: Run) -> None:
    run._lock_file.close()


def test_opening_writes_config_and_environment(config):
    run = reopen(config)
    assert read_json(run.path("config.json"))["k"] == 5
    (start,) = read_json(run.path("environment.json"))
    assert start["packages"]["torch"].startswith("2.")
    assert start["command"] and start["python"]


def test_same_config_resumes_and_another_is_refused_by_key(config):
    close(reopen(config))
    close(reopen(config))
    with pytest.raises(UserError, match="k was 5, now 3"):
        reopen(replace(config, k=3))


@pytest.mark.parametrize(
    ("before", "named"),
    [({"k": 5}, ["seed"]), ({"k": 5, "seed": 0, "rounds": 2, "old": 1}, ["old", "rounds"])],
)
def test_a_folder_of_another_version_is_refused_with_the_flags_that_changed(before, named, config):
    @dataclass(frozen=True)
    class Now(Config):
        seed: int = arg("of chance", 0)

    now = Now(run_dir=config.run_dir)
    close(reopen(now))
    write_json(config.run_dir / "config.json", {"run_dir": "runs/a", "inputs": {}, **before})
    with pytest.raises(UserError, match=f"has no {', '.join(named)}; finish it with the commit"):
        reopen(now)
    write_json(
        config.run_dir / "config.json", {"run_dir": "runs/a", "inputs": {}, "k": 5, "seed": 0}
    )
    close(reopen(now))  # a machine flag may be new


def test_machine_flags_may_change(config):
    close(reopen(config))
    close(reopen(replace(config, slots=2)))


def test_folder_in_use_is_refused(config):
    run = reopen(config)
    with pytest.raises(UserError, match="in use by another process"):
        reopen(config)
    close(run)
    close(reopen(config))


def test_foreign_folder_and_file_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        Run.open(tmp_path, Config(run_dir=tmp_path))
    with pytest.raises(UserError, match="is a file"):
        Run.open(tmp_path / "notes.txt", Config(run_dir=tmp_path / "notes.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_folder_of_a_process_killed_at_once_is_taken(config):
    config.run_dir.mkdir()
    (config.run_dir / "lock").touch()
    (config.run_dir / ".config.json.17.tmp").write_text("{")
    close(reopen(config))


def test_append_skips_known_ids_also_after_reopening(config):
    run = reopen(config)
    run.append("answers", {"id": "a", "n": 1}, {"id": "b", "n": 2})
    run.append("answers", {"id": "a", "n": 3}, {"id": "c", "n": 4})
    close(run)
    run = reopen(config)
    run.append("answers", {"id": "c", "n": 5})
    assert [record["n"] for record in lines_of(run, "answers")] == [1, 2, 4]
    assert run.records("nothing", Config) == []


def test_torn_lines_are_dropped_in_parts_too(config):
    run = reopen(config)
    part = run.part("round-1")
    part.append("answers", {"id": "a"})
    close(run)
    with part.path("answers.jsonl").open("a") as file:
        file.write('{"id": "b", "te')
    part = reopen(config).part("round-1")
    assert part.ids("answers") == {"a"}
    part.append("answers", {"id": "b"})
    assert [record["id"] for record in read_jsonl(part.path("answers.jsonl"))] == ["a", "b"]


def test_pending_groups_keep_their_composition(config):
    run = reopen(config)
    items = list("abcdefg")
    run.append("answers", *({"id": item} for item in "abce"))
    groups = list(run.pending_groups("answers", items, 3, key=str))
    assert groups == [["d", "e", "f"], ["g"]]


def test_metrics_of_parts_lie_in_one_file(config):
    run = reopen(config)
    run.metric("start", n=1)
    run.part("round-2").metric("training", seconds=2.0)
    assert [(event["event"], event["part"]) for event in read_metrics(run.folder)] == [
        ("start", "run"),
        ("training", "round-2"),
    ]


def test_a_finished_run_notes_what_it_took(config):
    run = reopen(config)
    run.part("round-1").write_results({})
    assert not run.path("metrics.jsonl").exists()
    run.write_results({"accuracy": 0.5})
    (event,) = read_metrics(run.folder)
    assert (event["event"], event["part"]) == ("usage", "run")
    assert event["seconds"] > 0 and event["peak_memory_mb"] > 1
    # The clock has no place in what was found
    assert read_json(run.path("results.json")) == {"accuracy": 0.5}


def test_a_resumed_run_adds_to_what_it_took(config):
    for _ in range(2):
        run = reopen(config)
        run.write_results({})
        close(run)
    first, second = read_metrics(run.folder)
    usage = read_usage(config.run_dir)
    assert usage.seconds == first["seconds"] + second["seconds"]
    assert usage.peak_memory_mb == max(first["peak_memory_mb"], second["peak_memory_mb"])


def test_an_adapter_that_diverged_does_not_end_a_run(config):
    run = reopen(config)
    run.metric("adapter", loss=float("nan"), norm=float("inf"), steps=3)
    (event,) = read_metrics(run.folder)
    assert (event["loss"], event["norm"], event["steps"]) == (None, None, 3)


def test_say_prints_and_logs(config, capsys):
    run = reopen(config)
    run.part("round-1").say("hello")
    assert "hello" in capsys.readouterr().out
    assert run.path("log.txt").read_text().endswith("  hello\n")


def test_a_finished_run_is_refused_after_a_change_of_a_rows_records(config):
    run = reopen(config)
    part = run.part("self-edits")
    part.append("answers", {"id": "a", "n": 1})
    run.write_results({"rows": []})
    close(run)
    path = part.path("answers.jsonl")
    path.write_text('{"id": "a", "n": 2}\n')
    with pytest.raises(
        UserError, match=r"self-edits/answers\.jsonl is not what SHA256SUMS says; .*"
    ):
        reopen(config)
    path.write_text('{"id": "a", "n": 1}\n')
    close(reopen(config))


def test_a_finished_run_whose_row_grows_is_not_finished(config):
    run = reopen(config)
    part = run.part("self-edits")
    run.write_results({"rows": []})
    assert run.results() == {"rows": []}
    part.append("answers", {"id": "a", "n": 1})
    assert run.results() is None
    close(run)
    close(reopen(config))


def test_a_finished_part_has_checksums_of_its_own(config):
    run = reopen(config)
    part = run.part("round-1")
    part.append("answers", {"id": "a"})
    part.write_results({})
    run.write_results({})
    assert "answers.jsonl" in part.path("SHA256SUMS").read_text()
    assert "answers.jsonl" not in run.path("SHA256SUMS").read_text()


def test_checksums_that_list_nothing_are_refused(config):
    run = reopen(config)
    run.write_results({})
    close(run)
    run.path("SHA256SUMS").write_text("")
    with pytest.raises(UserError, match="SHA256SUMS lists nothing; restore it, or delete"):
        reopen(config)


def test_rows_are_counted_with_blank_lines(config):
    run = reopen(config)
    run.path("answers.jsonl").write_text('{"id": "a"}\n\n{"id": "a"}\n')
    with pytest.raises(UserError, match=r"answers\.jsonl row 3: its id 'a' occurs before"):
        run.ids("answers")


@pytest.mark.parametrize("name", ["log.txt", "round-1/answers.jsonl", "results.json"])
def test_a_folder_in_the_place_of_a_file_is_refused(name, config):
    close(reopen(config))
    config.run_dir.joinpath(name).unlink(missing_ok=True)
    config.run_dir.joinpath(name).mkdir(parents=True)
    with pytest.raises(UserError, match=rf"{name} is not a file; remove it"):
        reopen(config)
