"""Chat models that write self-edits, relate entities and rate, through whole programs."""

import gc
import json
import re
from pathlib import Path

import pytest

from knowledge.data.passages import load_passages
from seal.command_line.program import run_program
from seal.records import read_json, read_jsonl
from tests.programs.programs import flag_words, load_program
from tests.support.chat_stub import completion, refusal, running_stub
from tests.support.data import REPOSITORY

EXAMPLES = REPOSITORY / "general-knowledge" / "examples" / "passages.json"
KEY = "sk-very-secret"
PASSAGES = {"passages": EXAMPLES, "n_passages": 3, "shuffle": False}
MODEL = {"dtype": "float32", "sampler": "transformers"}
TINY = {"max_answer_tokens": 4, "epochs": 1, "repeats": 1}


def run(program: str, **flags: object) -> None:
    module = load_program("general-knowledge", program)
    run_program(module.main, module.Config, flag_words(flags))


def complaint(program: str, capsys, **flags: object) -> str:
    with pytest.raises(SystemExit) as ended:
        run(program, **flags)
    assert ended.value.code == 2
    del ended
    gc.collect()  # the traceback held the run, and with it the lock on its folder
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "error: " in text]
    return line


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "untrained"
    run("make_untrained_model", passages=EXAMPLES, output=folder)
    return folder


def reply(prompt: str):
    """What each of the prompts asks for; marks come from the self-edit's words."""
    if "JSON" in prompt:
        return completion('["The lighthouse", "Anna Berg", "1934"]')
    if "Correctness" in prompt:
        mark = 1 + len(prompt) % 5
        return completion(
            f"Length: {mark}\nDiversity: {mark}\nQuality: 3\nCorrectness: {5 - mark % 3}"
        )
    if "single word" in prompt:
        return completion("yes")
    named = re.findall(r"^\d\. (.+)$", prompt, re.MULTILINE)
    return completion(f"1. {' and '.join(named) or prompt.split()[0]} it is.\n2. So it is.")


@pytest.fixture
def stub(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with running_stub() as running:
        running.reply = reply
        yield running


@pytest.fixture
def writer(stub, tmp_path):
    cache = tmp_path / "writer.jsonl"
    return {"writer": "openai", "writer_model": "w", "writer_url": stub.url, "writer_cache": cache}


@pytest.fixture
def judge(stub, tmp_path):
    cache = tmp_path / "judge.jsonl"
    return {"judge": "openai", "judge_model": "j", "judge_url": stub.url, "judge_cache": cache}


def files_hold(folder: Path, secret: str) -> bool:
    return any(secret.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_self_edits_of_a_chat_model_fill_a_row_of_the_table(model, writer, stub, tmp_path, capsys):
    flags = {"run_dir": tmp_path / "written", "round": 0, "k": 1, **PASSAGES, **writer}
    prices = {"price_input": 2, "price_output": 8, "max_new_tokens": 1000}
    run("generate_self_edits", **flags, **prices)
    said = capsys.readouterr().out
    assert "3 calls of w: about" in said and "at most 3,000 to write" in said
    assert "at a price of at most 0.03" in said
    results = read_json(tmp_path / "written" / "results.json")
    assert results["writer"] == f"w at {stub.url}"
    assert (results["n_self_edits"], results["n_missing"], results["n_ended"]) == (3, 0, 3)
    assert not files_hold(tmp_path, KEY)
    rows = f"gpt-4.1={tmp_path / 'written' / 'self_edits.jsonl'}"
    table = {"run_dir": tmp_path / "table", "model": model, "self_edit_files": rows}
    run("eval_single_passage", **table, **PASSAGES, **MODEL, **TINY, max_new_tokens=4)
    labels = [row["label"] for row in read_json(tmp_path / "table" / "results.json")["rows"]]
    assert labels == ["no-update", "passage-only", "self-edits", "gpt-4.1"]


def test_refused_self_edits_are_reported_and_asked_for_again(writer, stub, tmp_path, capsys):
    run_dir = tmp_path / "written"
    flags = {"run_dir": run_dir, "k": 2, **PASSAGES, **writer}
    text = load_passages(EXAMPLES)[1].context
    stub.reply = lambda p: refusal(400, f"no, {KEY}") if text in p else reply(p)
    line = complaint("generate_self_edits", capsys, **flags)
    assert "self-edits are missing (mostly: status 400: no, ***)" in line
    had = {record["id"] for record in read_jsonl(run_dir / "self_edits.jsonl")}
    missing = {record["id"] for record in read_jsonl(run_dir / "missing.jsonl")}
    assert had and missing and not had & missing and len(had | missing) == 6
    assert not (run_dir / "results.json").exists() and not files_hold(tmp_path, KEY)
    stub.reply = reply
    before = len(stub.bodies)
    run("generate_self_edits", **flags)
    assert len(stub.bodies) == before + 1 + len(missing)
    assert read_json(run_dir / "results.json")["n_self_edits"] == 6
    assert read_jsonl(run_dir / "missing.jsonl") == []


def test_a_writer_that_cannot_be_reached_leaves_no_run_folder(tmp_path, capsys):
    url = "http://127.0.0.1:9/v1"
    flags = {"run_dir": tmp_path / "run", "writer": "openai", "writer_url": url, **PASSAGES}
    flags["writer_cache"] = tmp_path / "cache.jsonl"
    assert f"{url} cannot be reached" in complaint("generate_self_edits", capsys, **flags)
    assert not (tmp_path / "run").exists()
    line = complaint("generate_self_edits", capsys, **flags, price_input=2)
    assert "both --price_input and --price_output" in line


def test_entigraph_of_a_chat_model_is_trained_on(model, writer, judge, stub, tmp_path, capsys):
    flags = {"run_dir": tmp_path / "graph", "relations": "pairs+triples", "round": 0}
    run("generate_entigraph", **flags, **PASSAGES, **writer)
    results = read_json(tmp_path / "graph" / "results.json")
    assert (results["n_entities"], results["n_relations"], results["n_missing"]) == (9, 12, 0)
    assert results["n_self_edits"] == 3
    # The paper's two rows share their pairs
    asked = len(stub.bodies)
    run("generate_entigraph", **(flags | {"run_dir": tmp_path / "pairs"}), **PASSAGES, **writer)
    assert len(stub.bodies) == asked + 1
    self_edits = tmp_path / "graph" / "self_edits.jsonl"
    rewards = {"run_dir": tmp_path / "rewards", "model": model, "self_edits": self_edits}
    run("run_inner_loop", **rewards, **PASSAGES, **MODEL, **TINY, k=1, round=0)
    results = read_json(tmp_path / "rewards" / "results.json")
    assert (results["reward"], results["n_inner_loops"]) == ("inner-loop", 3)
    assert "gpt" not in capsys.readouterr().out


def test_entigraph_of_the_policy(model, tmp_path):
    """An untrained model's gibberish is no list: it is missing, and nothing is made of it."""
    flags = {"run_dir": tmp_path / "graph", "model": model, "max_new_tokens": 24, "max_pairs": 2}
    run("generate_entigraph", **flags, **PASSAGES, **MODEL, max_missing=1)
    results = read_json(tmp_path / "graph" / "results.json")
    entities = read_jsonl(tmp_path / "graph" / "entities.jsonl") if results["n_entities"] else []
    assert results["n_self_edits"] == len(entities)
    assert len(entities) + len(read_jsonl(tmp_path / "graph" / "missing.jsonl")) >= 3


def test_proxy_rewards_of_given_self_edits(model, writer, judge, stub, tmp_path):
    written = {"run_dir": tmp_path / "written", "k": 2, **PASSAGES, **writer}
    run("generate_self_edits", **written)
    flags = {"run_dir": tmp_path / "rated", "self_edits": tmp_path / "written/self_edits.jsonl"}
    flags |= {"model": model, "k": 2, "reward": "proxy", **PASSAGES, **MODEL, **judge}
    run("run_inner_loop", **flags)
    results = read_json(tmp_path / "rated" / "results.json")
    assert (results["reward"], results["n_selected"], results["n_unrated"]) == ("proxy", 3, 0)
    ratings = read_jsonl(tmp_path / "rated" / "ratings.jsonl")
    rewards = read_jsonl(tmp_path / "rated" / "rewards.jsonl")
    assert [r["scores"]["final"] for r in ratings] == [r["reward"] for r in rewards]
    assert len(read_jsonl(tmp_path / "rated" / "sft.jsonl")) == 3
    assert not (tmp_path / "rated" / "answers.jsonl").exists()
    before, asked = (tmp_path / "rated" / "results.json").read_bytes(), len(stub.bodies)
    run("run_inner_loop", **flags)
    assert (tmp_path / "rated" / "results.json").read_bytes() == before
    assert len(stub.bodies) == asked + 2  # whether the endpoint answers, as judge and as rater


def test_rest_em_with_the_proxy_reward(model, judge, stub, tmp_path, capsys):
    run_dir = tmp_path / "run"
    flags = {"run_dir": run_dir, "model": model, "reward": "proxy", "rounds": 1, "k": 2}
    small = {"n_passages": 2, "n_validation": 1, "max_new_tokens": 8, "sft_epochs": 1}
    run("rest_em", **(flags | PASSAGES | MODEL | TINY | small), **judge)
    (round_,) = read_json(run_dir / "results.json")["rounds"]
    assert (round_["reward"], round_["rater"]) == ("proxy", f"j at {stub.url}")
    # Validation is what the reward is for: it stays the accuracy after real inner loops
    assert round_["validation"]["reward"] == "inner-loop"
    assert (run_dir / "round-1" / "validation" / "grades.jsonl").exists()
    assert not (run_dir / "round-1" / "answers.jsonl").exists()
    assert (run_dir / "round-1" / "sft" / "model" / "model.safetensors").exists()
    assert (run_dir / "rounds.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "4 self-edits, each rated by one call of j, no inner loops" in said
    assert "round 1: self-edits score" in said and "of 20" in said


@pytest.mark.parametrize("program", ["rest_em", "run_inner_loop"])
def test_the_proxy_reward_needs_a_chat_judge(program, model, tmp_path, capsys):
    flags = {"run_dir": tmp_path / "run", "model": model, "reward": "proxy", **PASSAGES, **MODEL}
    if program == "run_inner_loop":
        path = tmp_path / "self_edits.jsonl"
        records = [
            {
                "id": f"{passage.id}/implications/0",
                "passage_id": passage.id,
                "kind": "implications",
                "text": "x",
                "finish_reason": "stop",
                "n_tokens": 1,
            }
            for passage in load_passages(EXAMPLES)
        ]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        flags |= {"self_edits": path, "k": 1}
    else:
        flags |= {"rounds": 1}
    assert "add --judge openai" in complaint(program, capsys, **flags)
    assert not (tmp_path / "run").exists()
