"""Every knowledge program runs on the example passages, with files of one as input of the next."""

from pathlib import Path

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from knowledge.data.prompts import answer_prompt
from knowledge.settings import AnswerSettings
from seal.records import read_json, read_jsonl
from tests.programs.programs import call_program
from tests.support.data import REPOSITORY

EXAMPLES = REPOSITORY / "general-knowledge" / "examples" / "passages.json"
SMALL = {
    "dtype": "float32",
    "sampler": "transformers",
    "max_new_tokens": 24,
    "max_answer_tokens": 8,
    "epochs": 2,
}


def run(program: str, switches: tuple[str, ...] = (), **flags: object) -> None:
    call_program(f"general-knowledge/{program}.py", switches, **flags)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "untrained"
    run("make_untrained_model", passages=EXAMPLES, output=folder)
    return folder


@pytest.fixture(scope="module")
def self_edits(model, tmp_path_factory) -> Path:
    run_dir = tmp_path_factory.mktemp("self-edits")
    small = {name: value for name, value in SMALL.items() if name in ("dtype", "sampler")}
    flags = {"passages": EXAMPLES, "n_passages": 3, "k": 2, "max_new_tokens": 24}
    run("generate_self_edits", model=model, run_dir=run_dir, **flags, **small)
    assert read_json(run_dir / "results.json")["n_self_edits"] == 6
    return run_dir / "self_edits.jsonl"


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"padding_loss": "sampled", "max_length": 128},
        {"answer_style": "chain-of-thought"},
    ],
    ids=str,
)
def test_rewards_of_sampled_self_edits(model, self_edits, tmp_path, flags):
    size = {"n_passages": 3, "k": 2, "repeats": 2}
    inputs = {"model": model, "passages": EXAMPLES, "self_edits": self_edits}
    run("run_inner_loop", run_dir=tmp_path, **inputs, **size, **SMALL, **flags)
    results = read_json(tmp_path / "results.json")
    assert results["n_inner_loops"] == 12 and results["n_selected"] == 3
    rewards = read_jsonl(tmp_path / "rewards.jsonl")
    assert [reward["id"] for reward in rewards] == [r["id"] for r in read_jsonl(self_edits)]
    rows = read_jsonl(tmp_path / "sft.jsonl")
    texts = {record["text"].strip() for record in read_jsonl(self_edits)}
    assert all(row["completion"] in texts for row in rows)
    # A second start has nothing left to do and says the same
    before = (tmp_path / "results.json").read_bytes()
    run("run_inner_loop", run_dir=tmp_path, **inputs, **size, **SMALL, **flags)
    assert (tmp_path / "results.json").read_bytes() == before


def test_table_with_rows_of_files_and_other_policies(model, tmp_path, capsys):
    written = tmp_path / "written"
    flags = {"model": model, "passages": EXAMPLES, "n_passages": 3}
    sampling = {name: SMALL[name] for name in ("dtype", "sampler", "max_new_tokens")}
    run("generate_self_edits", run_dir=written, round=0, k=1, **flags, **sampling)
    file = f"ours={written / 'self_edits.jsonl'}"
    rows = {"self_edit_files": file, "policies": f"again={model}"}
    labels = ["no-update", "passage-only", "ours", "self-edits", "again"]
    order = ("--order", *labels[:3])
    run("eval_single_passage", order, run_dir=tmp_path / "table", **flags, **rows, **SMALL)
    results = read_json(tmp_path / "table" / "results.json")
    assert [row["label"] for row in results["rows"]] == labels
    assert [row["difference_to_row_above"] is None for row in results["rows"]] == [True] + [
        False
    ] * 4
    # The same model with the same words, read from a file or written again: equal answers
    answers = [
        {
            record["id"]: record["answers"]
            for record in read_jsonl(tmp_path / f"table/{label}/answers.jsonl")
        }
        for label in ("self-edits", "ours", "again")
    ]
    assert answers[0] == answers[1] == answers[2]
    table = (tmp_path / "table" / "table.md").read_text()
    assert (
        all(f"| {label} " in table for label in labels) and table.strip() in capsys.readouterr().out
    )


def test_adapt_keeps_an_adapter_that_peft_loads(model, tmp_path, capsys):
    passage = tmp_path / "harbour_festival.txt"
    passage.write_text("The festival was opened by the oldest fisherman of the harbour.\n")
    flags = {"model": model, "run_dir": tmp_path / "run", "passage_file": passage}
    run("adapt", ("--question", "Who opened it?", "Where?"), **flags, **SMALL, learning_rate=0.05)
    answers = read_json(tmp_path / "run" / "results.json")["answers"]
    assert [answer["question"] for answer in answers] == ["Who opened it?", "Where?"]
    assert any(answer["before"] != answer["after"] for answer in answers)
    assert "Who opened it?" in capsys.readouterr().out

    # What was said after is what the kept adapter says in PEFT
    prompt = answer_prompt("harbour festival", "Where?", AnswerSettings())
    tokenizer = AutoTokenizer.from_pretrained(model)
    peft = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(model), tmp_path / "run" / "adapter"
    )
    inputs = tokenizer(prompt, return_tensors="pt")
    ids = peft.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs.input_ids.shape[1] :]
    said = tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert said == answers[1]["after"]
