"""Checks against the release's own files, its records as ours, and its prompt wording."""

import json

import pytest

from knowledge.data.passages import load_passages
from knowledge.data.prompts import self_edit_prompt
from knowledge.judging.answer_files import read_answers
from knowledge.method.self_edits import read_self_edits
from knowledge.release.export import export_prompts, exported, prompt_wordings, unfilled
from knowledge.release.records import Dataset, Examinations
from knowledge.release.row_of_file import prompt_kind
from knowledge.release.scan import read_release
from knowledge.release.verify import check_selection, check_statistics
from knowledge.settings import SelfEditSettings
from seal.records import write_jsonl
from tests.knowledge.release_folder import (
    dataset,
    examinations,
    passages,
    pretraining,
    prompt_for,
    write,
)
from tests.support.data import shared_data

ENTRIES = passages(6)
RANKED = examinations(ENTRIES, k=4, repeats=2)


def best_rows(ranked) -> list[dict[str, str]]:
    """The first of the best self-edits of each passage."""
    rows = []
    for article in ranked["articles"]:
        best = max(article["completions"], key=lambda c: c["stats"]["adapter_mean"])
        rows.append({"prompt": article["prompt"], "completion": best["text"].strip()})
    return rows


def test_selection_is_found_among_several_rankings(tmp_path):
    others = {f"rank_{n}.json": examinations(ENTRIES, k=4, seed=n) for n in (1, 2)}
    write(tmp_path, {"sft.jsonl": best_rows(RANKED), "train/rank_iter0.json": RANKED, **others})
    [check] = check_selection(read_release(tmp_path))
    assert str(check.rewards_file) == "train/rank_iter0.json"
    assert (check.n_rows, check.n_equal) == (6, 6)


def test_proxy_scores_are_not_what_accuracy_selected(tmp_path):
    proxy = json.loads(json.dumps(RANKED))
    proxy["overall"]["mean_proxy_score"] = 10.0
    for article in proxy["articles"]:
        for number, completion in enumerate(article["completions"]):
            completion["stats"]["proxy_mean"] = float(number)
    last = [
        {"prompt": a["prompt"], "completion": a["completions"][-1]["text"].strip()}
        for a in proxy["articles"]
    ]
    write(tmp_path, {"sft.jsonl": best_rows(RANKED), "sft_proxy.jsonl": last, "rank.json": proxy})
    by_accuracy, by_proxy = check_selection(read_release(tmp_path))
    assert by_accuracy.rewards_file is None
    assert (str(by_proxy.rewards_file), by_proxy.n_equal) == ("rank.json", 6)


def test_a_different_row_is_counted(tmp_path):
    rows = best_rows(RANKED)
    others = RANKED["articles"][2]["completions"]
    rows[2]["completion"] = next(
        text for c in others if (text := c["text"].strip()) != rows[2]["completion"]
    )
    write(tmp_path, {"sft.jsonl": rows, "rank_iter0.json": RANKED})
    [check] = check_selection(read_release(tmp_path))
    assert (check.n_rows, check.n_equal) == (6, 5)


def test_rows_without_rewards(tmp_path):
    rows = best_rows(RANKED)
    rows[0]["completion"] += " by another model"
    write(tmp_path, {"sft.jsonl": rows, "rank_iter0.json": RANKED})
    [check] = check_selection(read_release(tmp_path))
    assert (check.rewards_file, check.n_equal) == (None, 0)


def test_statistics_that_differ_are_told(tmp_path):
    changed = json.loads(json.dumps(RANKED))
    changed["overall"]["mean_gain"] += 0.001
    write(tmp_path, {"a.json": RANKED, "b.json": changed})
    checks = {
        str(check.file): check.differing for check in check_statistics(read_release(tmp_path))
    }
    assert checks["a.json"] == {}
    assert list(checks["b.json"]) == ["mean_gain"]


def test_statistics_without_records(tmp_path):
    write(tmp_path, {"a.json": examinations(ENTRIES, k=3, repeats=2, records=False)})
    assert [check.differing for check in check_statistics(read_release(tmp_path))] == [{}]


def test_the_released_files_are_reproduced():
    release = read_release(shared_data("seal-release"))
    checks = check_selection(release)
    assert checks
    for check in checks:
        assert check.rewards_file is None or check.n_equal == check.n_rows, check.sft_file
    statistics = check_statistics(release)
    assert statistics
    assert [check for check in statistics if check.differing] == []


# Records


@pytest.fixture
def written(tmp_path):
    """A release of every kind, its records in a folder, and the paths that were written."""
    folder = write(
        tmp_path / "release",
        {
            "eval/base_val_prompt-rewrite.json": dataset(ENTRIES, k=2),
            "eval/base.json": examinations(ENTRIES),
            "train/rank_iter0.json": RANKED,
            "cpt/base_6.json": pretraining(ENTRIES, limit=10),
        },
    )
    paths = {}
    for path, records in exported(read_release(folder)):
        write_jsonl(tmp_path / "out" / path, records)
        paths[str(path)] = len(records)
    return tmp_path, paths


def test_what_is_written(written):
    assert written[1] == {
        "self_edits/eval/base_val_prompt-rewrite.jsonl": 12,
        "answers/eval/base.before.jsonl": 18,
        "answers/eval/base.after.jsonl": 18,
        "rewards/train/rank_iter0.jsonl": 24,
        "sft/train/rank_iter0.jsonl": 6,
        "answers/train/rank_iter0.before.jsonl": 6 * 4 * 2 * 3,
        "answers/train/rank_iter0.after.jsonl": 6 * 4 * 2 * 3,
        "answers/cpt/base_6.before.jsonl": 10,
        "answers/cpt/base_6.after.jsonl": 10,
    }


def test_self_edits_are_read_by_the_programs(written):
    folder, _ = written
    name = "eval/base_val_prompt-rewrite.json"
    loaded = load_passages(folder / "release" / name)
    self_edits = read_self_edits(folder / "out" / "self_edits" / f"{name}l", loaded, k=2)
    assert [s.text for s in self_edits[:2]] == dataset(ENTRIES, k=2)[0]["completions"]
    assert self_edits[0].kind == "rewrite"


def test_answers_are_read_for_grading(written):
    folder, paths = written
    for name in paths:
        if name.startswith("answers"):
            rows = read_answers(folder / "out" / name)
            assert len({row["id"] for row in rows}) == len(rows)


def test_released_records_are_read_by_the_programs(tmp_path):
    release = read_release(shared_data("seal-release"))
    for path, records in exported(release):
        write_jsonl(tmp_path / path, records)
        if path.parts[0] == "answers":
            assert len(read_answers(tmp_path / path)) == len(records)
    for file in release.of(Dataset):
        counts = [len(entry.self_edits) for entry in file.entries]
        if min(counts):
            path = (tmp_path / "self_edits" / file.path).with_suffix(".jsonl")
            k = min(counts)
            assert len(read_self_edits(path, file.passages, k)) == k * len(file.passages)


# Prompts


@pytest.mark.parametrize(
    ("prompt", "title", "wording"),
    [
        ("Do.\nTarn\nText.\nList:\n", "Tarn", "Do.\n{title}\n{passage}\nList:\n"),
        ("A tarn, Tarn.\nTarn\nText.\n", "Tarn", "A tarn, Tarn.\n{title}\n{passage}\n"),
        ("Title: Tarn\nText.\n", "Tarn", "Title: {title}\n{passage}\n"),
        ("Text.\n", "Tarn", "{passage}\n"),
        ("Other.\n", "Tarn", None),
        ("", "Tarn", None),
        ("a+b\nText.\n", "a+b", "{title}\n{passage}\n"),
    ],
)
def test_what_was_filled_in_is_taken_out(prompt, title, wording):
    assert unfilled(prompt, title, "Text.") == wording


def test_text_around_a_passage_is_kept():
    assert unfilled("Text.\n", "T", "Text. ") == "{passage}\n"
    assert unfilled("Text.\n", "T", "") is None


def test_the_most_frequent_wording_is_written_with_what_programs_need(tmp_path):
    entries = dataset(ENTRIES)
    entries[0]["prompt"] = prompt_for(ENTRIES[0], "Something else.")
    write(tmp_path / "r", {"eval/a_prompt-self-qa.json": entries, "b.json": RANKED})
    release = read_release(tmp_path / "r")
    assert list(prompt_wordings(release)) == ["implications", "self-qa"]
    assert export_prompts(release, tmp_path / "p") == {"implications": "", "self-qa": ""}
    assert {path.name for path in (tmp_path / "p").iterdir()} == {
        "implications.txt",
        "self-qa.txt",
        "answer.txt",
        "answer-chain-of-thought.txt",
    }
    [file] = release.of(Examinations)
    settings = SelfEditSettings(prompts=tmp_path / "p")
    for passage, article in zip(file.passages, file.articles, strict=True):
        assert self_edit_prompt(passage, settings) == article.prompt


def test_a_wording_that_programs_refuse_is_told(tmp_path):
    entries = dataset(ENTRIES)
    for entry in entries:
        entry["prompt"] = f"{entry['context']}\n"
    release = read_release(write(tmp_path / "r", {"a.json": entries}))
    assert "{title}" in export_prompts(release, tmp_path / "p")["implications"]


def test_nothing_is_written_without_prompts(tmp_path):
    release = read_release(write(tmp_path / "r", {"a.json": dataset(ENTRIES, prompt="")}))
    assert export_prompts(release, tmp_path / "p") == {}
    assert not (tmp_path / "p").exists()


def test_released_prompts_come_out_as_they_were(tmp_path):
    release = read_release(shared_data("seal-release"))
    kinds = export_prompts(release, tmp_path)
    assert kinds and set(kinds.values()) == {""}
    for file in release.of(Examinations):
        for passage, article in zip(file.passages, file.articles, strict=True):
            if article.prompt:
                kind = prompt_kind(file.path, file.dataset)
                settings = SelfEditSettings(prompt_kind=kind, prompts=tmp_path)
                assert self_edit_prompt(passage, settings) == article.prompt
