"""ReST-EM on real SQuAD passages with a small model: the command line, and what it must leave."""

from pathlib import Path

from seal.models.untrained import save_untrained_model
from seal.records import read_json, read_jsonl
from tests.programs.programs import flag_words
from tests.support.data import shared_data

PROGRAM = "general-knowledge/rest_em.py"


def squad_passages() -> Path:
    """100 training passages of SQuAD; the calling test is skipped where they are absent."""
    return shared_data("squad/squad_train_100.json")


def squad_model(folder: Path) -> Path:
    """A random Qwen2 in `folder`, with a tokenizer trained on the passages."""
    texts = [passage["context"] for passage in read_json(squad_passages())]
    return save_untrained_model(folder, texts)


def rest_em_arguments(model: Path, run_dir: Path, **flags: object) -> list[str]:
    """A command line for the program; `flags` override these small settings."""
    settings = {
        "model": model,
        "passages": squad_passages(),
        "run_dir": run_dir,
        "dtype": "float32",
        "sampler": "transformers",
        "max_new_tokens": 48,
        "max_answer_tokens": 12,
    } | flags
    return flag_words(settings)


def check_run_folder(
    run_dir: Path,
    *,
    n_passages: int,
    k: int,
    repeats: int,
    rounds: int,
    trained_again: bool = False,
) -> None:
    """Assert that every file of a finished run is there and complete.

    `trained_again`: the run was killed, so that some adapters may have been trained twice.
    """
    results = read_json(run_dir / "results.json")
    assert [entry["round"] for entry in results["rounds"]] == list(range(1, rounds + 1))
    seen: set[str] = set()
    for entry in results["rounds"]:
        folder = run_dir / f"round-{entry['round']}"
        self_edits = read_jsonl(folder / "self_edits.jsonl")
        answers = read_jsonl(folder / "answers.jsonl")
        grades = read_jsonl(folder / "grades.jsonl")
        rewards = read_jsonl(folder / "rewards.jsonl")
        rows = read_jsonl(folder / "sft" / "rows.jsonl")
        passages = {self_edit["passage_id"] for self_edit in self_edits}
        assert len(passages) == n_passages
        assert not passages & seen, "each round has passages of its own"
        seen |= passages
        assert len(self_edits) == n_passages * k
        texts = {self_edit["text"] for self_edit in self_edits}
        assert len(texts) > 0.8 * len(self_edits), "samples differ"
        # Every self-edit `repeats` times, and every passage once without update
        assert len(answers) == n_passages * (k * repeats + 1)
        ids = [record["id"] for record in answers]
        assert sorted(ids) == sorted(set(ids)) == sorted(record["id"] for record in grades)
        for record in answers:
            assert record["answers"] and all(answer["question"] for answer in record["answers"])
        assert len(rewards) == len(self_edits)
        assert all(len(reward["accuracies"]) == repeats for reward in rewards)
        assert len(rows) == entry["n_selected"] <= n_passages
        assert (folder / "sft" / "model" / "model.safetensors").exists()
        assert not (folder / "adapters").exists(), "adapters are removed once they were asked"
        assert entry["n_inner_loops"] == n_passages * k * repeats and entry["n_ungraded"] == 0
    trained = [e for e in read_jsonl(run_dir / "metrics.jsonl") if e["event"] == "adapter"]
    adapters = rounds * n_passages * k * repeats
    assert len(trained) >= adapters if trained_again else len(trained) == adapters
    # On average: an adapter's first and last step may see different sequences
    assert sum(event["last_loss"] - event["first_loss"] for event in trained) < 0
