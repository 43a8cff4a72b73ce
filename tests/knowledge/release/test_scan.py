"""Files of the release are known by their content; what is broken is named and left out."""

import json
import random
from pathlib import Path

import pytest

from knowledge.release.export import exported, prompt_wordings
from knowledge.release.records import Dataset, Examinations, Pretraining, Sequences, SftFile
from knowledge.release.row_of_file import is_ranking, rows_filled_by, writer_of
from knowledge.release.scan import read_release
from knowledge.release.verify import check_selection, check_statistics
from knowledge.tables.columns import release_column
from knowledge.tables.compare import mismatches, misstatements
from knowledge.tables.paper import load_paper_tables
from seal.errors import UserError
from tests.knowledge.release_folder import (
    dataset,
    examinations,
    passages,
    pretraining,
    sequences,
    write,
)
from tests.support.data import shared_data

ENTRIES = passages()
EXAMINED = examinations(ENTRIES)
ROWS = {(table.id, row.id) for table in load_paper_tables() for row in table.rows}


def test_kinds_are_told_by_content(tmp_path):
    release = write(
        tmp_path,
        {
            "a/x1.json": dataset(ENTRIES),
            "b.json": EXAMINED,
            "c/c.json": pretraining(ENTRIES, "v1"),
            "d.json": pretraining(ENTRIES, "v2"),
            "e.json": sequences(),
            "f.jsonl": [{"prompt": "p", "completion": "c"}],
            "squad.json": {
                "data": [
                    {
                        "title": "T",
                        "paragraphs": [
                            {
                                "context": "C.",
                                "qas": [{"question": "q", "answers": [{"text": "a"}]}],
                            }
                        ],
                    }
                ]
            },
            "config.json": {"lr": 1},
            "arc.json": {"00d62c1b": {"train": []}},
            "list.json": [1, 2],
            ".git/x.json": dataset(ENTRIES),
            "notes.txt": "not JSON",
        },
    )
    found = {str(file.path): type(file) for file in read_release(release).files}
    assert found == {
        "a/x1.json": Dataset,
        "b.json": Examinations,
        "c/c.json": Pretraining,
        "d.json": Pretraining,
        "e.json": Sequences,
        "f.jsonl": SftFile,
        "squad.json": Dataset,
    }


def broken(change) -> dict:
    copy = json.loads(json.dumps(EXAMINED))
    change(copy)
    return copy


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", '{"overall": ', "malformed JSON"),
        ("a.jsonl", '{"prompt": "p"}\n{', "malformed JSON"),
        ("a.jsonl", '{"prompt": "p", "completion": "c"}\n{"prompt": "p"}\n', "completion"),
        ("a.json", broken(lambda f: f["articles"][0].pop("completions")), "completions"),
        ("a.json", broken(lambda f: f["articles"][1].pop("title")), "title"),
        (
            "a.json",
            broken(lambda f: f["articles"][0]["completions"][0].update(text=None)),
            "articles.0.completions.0.text: ",
        ),
        (
            "a.json",
            broken(lambda f: f["articles"][0]["completions"][0]["questions"][0].pop("answer")),
            "answer",
        ),
        (
            "a.json",
            broken(lambda f: f["articles"].append(3)),
            "articles.4: Input should be a valid dictionary",
        ),
        (
            "a.json",
            dataset(ENTRIES, completions=[3]),
            "completions.0: Input should be a valid string",
        ),
        ("a.json", [*dataset(ENTRIES), {"title": "T"}], "missing"),
        ("a.json", {"metrics": {}, "per_question": 5}, "5 is not an object"),
        (
            "a.json",
            {"metrics": {}, "per_question": {"adapter_texts": ["a"], "adapter_correct": []}},
            "1 answers with 0 verdicts",
        ),
        (
            "a.json",
            {"mean_over_sequences": [[1], []], "std_over_sequences": [[1]], "n_sequences": 8},
            "must be matrices",
        ),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path, name, content, reason):
    write(tmp_path, {f"x/{name}": content, "good.json": EXAMINED})
    release = read_release(tmp_path)
    assert [str(file.path) for file in release.files] == ["good.json"]
    [(path, told)] = release.problems.items()
    assert str(path) == f"x/{name}"
    assert reason in told
    assert str(tmp_path) not in told


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        read_release(tmp_path / "none")


def test_the_newer_version_comes_first(tmp_path):
    write(tmp_path, {"v1/eval/base.json": EXAMINED, "v2/eval/base.json": EXAMINED})
    assert [f.path.parts[0] for f in read_release(tmp_path).files] == ["v2", "v1"]


def file_of(path: str, **settings) -> Examinations:
    return Examinations(path=Path(path), articles=[], **{"overall": {}, **settings})


@pytest.mark.parametrize(
    ("path", "settings", "rows"),
    [
        (
            "eval/base.json",
            {},
            "single-passage/base single-passage/self-edits sizes/base sizes/self-edits"
            " prompts/implications/0",
        ),
        ("eval/renamed.json", {"dataset": "data/eval/naive_val.json"}, "single-passage/passage"),
        (
            "alternate_prompts/eval/iter2_prompt-very-long.json",
            {},
            "prompts/implications-very-long/2",
        ),
        (
            "alternate_prompts/eval/base_prompt-cot.json",
            {},
            "prompts/implications-chain-of-thought/0",
        ),
        ("alternate_prompts/eval/cot-eval.json", {"dataset": "eval/base_val.json"}, ""),
        ("alternate_prompts/eval/openai_prompt-self-qa.json", {}, "writers/self-qa"),
        ("v1/results/gpt4_1.json", {}, "single-passage/gpt-4.1 writers/implications"),
        ("3B/eval/base.json", {}, "sizes/3b/base sizes/3b/self-edits"),
        ("eval/iter2.json", {"model": "Qwen/Qwen2.5-3B"}, "sizes/3b/seal"),
        ("eval/iter2_proxy.json", {}, "proxy/seal"),
        ("train/rank_iter0.json", {"k": 5, "repeats": 3}, ""),
        ("rank_iter0_prompt-none.json", {}, ""),
        ("x.json", {"dataset": "data/train/iter1_train.json"}, ""),
        ("rank_iter1_proxy.json", {"k": 5, "overall": {"mean_proxy_score": 1}}, "proxy/score/1"),
        ("unknown.json", {}, ""),
    ],
)
def test_rows_of_examinations(path, settings, rows):
    filled = {key for key, _ in rows_filled_by(file_of(path, **settings))}
    # a writer is offered to every table that may have it
    assert {"/".join(key) for key in filled & ROWS} == set(rows.split())


def test_the_base_is_the_stage_before():
    stages = dict(rows_filled_by(file_of("eval/base.json")))
    assert stages["single-passage", "base"] == "before"
    assert stages["single-passage", "self-edits"] == "after"
    assert is_ranking(file_of("a.json", k=5))


@pytest.mark.parametrize(
    ("path", "n", "k", "version", "rows"),
    [
        ("cpt/200/base_200.json", 200, 5, "v2", ["cpt-200-v2/base", "cpt-200-v2/self-edits"]),
        (
            "cpt/2067/enti-pair+triple_2067.json",
            2067,
            1,
            "v2",
            ["cpt-2067-v2/entigraph-pairs+triples"],
        ),
        ("cpt/2067/enti-pair_2067.json", 2067, 0, "v2", ["cpt-2067-v2/entigraph-pairs"]),
        ("cpt_entigraph-pairs.json", 200, 1, "v1", ["cpt-200-v1/entigraph-pairs"]),
        ("cpt/old/cpt_gpt4_1.json", 200, 5, "v1", ["cpt-200-v1/gpt-4.1"]),
        ("cpt/anything.json", 200, 0, "v1", ["cpt-200-v1/passage"]),
        ("cpt/generative-adapter.json", 0, 0, "v2", ["cpt-200-v2/generative-adapter"]),
        ("cpt/anything.json", 200, 5, "v2", []),
        ("cpt/gpt4_1_2067.json", 2060, 5, "v2", ["cpt-2067-v2/gpt-4.1"]),
    ],
)
def test_rows_of_pretraining(path, n, k, version, rows):
    file = Pretraining(path=Path(path), version=version, n_passages=n, k=k)
    assert ["/".join(key) for key, _ in rows_filled_by(file)] == rows


def test_the_release_is_read_whole():
    release = read_release(shared_data("seal-release"))
    assert not release.problems
    assert release.of(Dataset) and release.of(Examinations) and release.of(Sequences)
    for file in release.of(Examinations):
        assert writer_of(file) is not None, file.path


JUNK = [None, -1, 1.5, float("nan"), "text", [], {}, [[1]], True]
EVERY_KIND = {
    "eval/base_val.json": dataset(ENTRIES),
    "eval/base.json": EXAMINED,
    "train/rank_iter0.json": examinations(ENTRIES, k=2),
    "cpt/base_200.json": pretraining(ENTRIES) | {"n_articles": 4},
    "cpt/cpt_base.json": pretraining(ENTRIES, "v1", shuffle_seed=None),
    "run0/summary.json": sequences(),
    "sft.jsonl": [{"prompt": "p", "completion": "c"}, {"prompt": "q", "completion": "d"}],
}


def nodes(value, path=()):
    """The path of every part of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in items:
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from nodes(part, (*path, key))


@pytest.mark.parametrize("name", EVERY_KIND)
def test_any_defect_anywhere_is_told_or_harmless(tmp_path, name):
    chance = random.Random(name)
    paths = list(nodes(EVERY_KIND[name]))
    for number in range(15):
        damaged = json.loads(json.dumps(EVERY_KIND[name]))
        *way, last = chance.choice(paths)
        part = damaged
        for key in way:
            part = part[key]
        part[last] = chance.choice(JUNK)
        release = read_release(write(tmp_path / str(number), EVERY_KIND | {name: damaged}))
        column, files = release_column(release)
        mismatches([], column)
        misstatements(column, files)
        assert list(exported(release))
        assert check_selection(release) or name == "sft.jsonl"
        check_statistics(release)
        prompt_wordings(release)
        assert set(map(str, release.problems)) <= {name}
