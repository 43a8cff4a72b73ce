"""What a user can get wrong: one line on stderr, status 2, and nothing that exists is harmed."""

import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from seal.models.untrained import save_untrained_model
from tests.programs.programs import refusal

PASSAGE = {
    "title": "Moth",
    "context": "The moth flies in May.",
    "questions": [{"question": "When does it fly?", "answer": "in May"}],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "untrained"
    return save_untrained_model(folder, [PASSAGE["context"]], vocab_size=300)


@pytest.fixture
def passages(tmp_path) -> Path:
    path = tmp_path / "passages.json"
    path.write_text(json.dumps([PASSAGE, PASSAGE | {"title": "Bee"}]))
    return path


@pytest.fixture
def complain(model, passages, tmp_path, capsys):
    """Run a program of the knowledge tree with small settings; returns its one-line error."""

    def run(program: str = "rest_em", **flags: object) -> str:
        flags = {
            "model": model,
            "passages": passages,
            "run_dir": tmp_path / "run",
            "dtype": "float32",
            "sampler": "transformers",
            "n_passages": 1,
            "k": 1,
            "max_new_tokens": 4,
            "max_answer_tokens": 4,
        } | flags
        return refusal(capsys, f"general-knowledge/{program}.py", **flags)

    return run


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ('[{"title": ', "line 1 column"),
        (json.dumps([PASSAGE, PASSAGE | {"questions": []}]), r"passage 2 \(Moth\): no questions"),
        (
            json.dumps(
                {
                    "data": [
                        {
                            "title": "Moth",
                            "paragraphs": [
                                {"context": "c", "qas": [{"question": "q", "answers": []}]}
                            ],
                        }
                    ]
                }
            ),
            "no answers",
        ),
        (json.dumps([PASSAGE]), "passages 1 to 1 are wanted, of 1"),
    ],
)
def test_passages(complain, passages, tmp_path, content, message):
    if content is None:
        passages.unlink()
    else:
        passages.write_text(content)
    error = complain()
    assert passages.name in error or "wanted" in error
    assert re.search(message, error), error
    assert not (tmp_path / "run").exists(), "nothing is begun with input that cannot be used"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("tokenizer*", "no tokenizer"),
        ("*.safetensors", "no .safetensors weights"),
        ("config.json", "no config.json"),
        ("*", "no config.json"),
    ],
)
def test_model_folder(complain, model, tmp_path, missing, message):
    broken = shutil.copytree(model, tmp_path / "broken")
    for path in broken.glob(missing):
        path.unlink()
    assert message in complain(model=broken)
    assert "no such folder" in complain(model=tmp_path / "nowhere" / "at" / "all")


def test_rank_that_vllm_cannot_serve(complain):
    assert "LoRA rank 600" in complain(sampler="vllm", lora_rank=600, vllm_command="true")


def test_server_that_cannot_start(complain, tmp_path):
    assert "no such program" in complain(sampler="vllm", vllm_command="no-such-program")
    dies = "bash -c 'echo CUDA driver is too old; exit 3'"
    error = complain(sampler="vllm", vllm_command=dies, run_dir=tmp_path / "second")
    assert "CUDA driver is too old" in error and "vllm.log" in error


def test_judge_without_key(complain, monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)  # no .env here
    monkeypatch.setattr("seal.endpoints.REPOSITORY", tmp_path)
    assert "OPENAI_API_KEY" in complain(judge="openai")
    assert not (tmp_path / "run").exists()


def test_judge_that_is_not_reachable(complain, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        cache = tmp_path / "cache.jsonl"
        assert url in complain(judge="openai", judge_url=url, judge_cache=cache)
    assert not (tmp_path / "run").exists()


def test_prompt_folder(complain, tmp_path):
    assert "implications.txt" in complain(prompts=tmp_path)


def test_processes_that_cannot_share_the_m_step(complain, tmp_path):
    assert "a batch of 10 does not divide among 3 processes" in complain(sft_processes=3)
    assert not (tmp_path / "run").exists()


def test_foreign_run_folder_is_left_alone(complain, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert "holds other files" in complain()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_self_edits_file(complain, tmp_path):
    path = tmp_path / "self_edits.jsonl"
    assert "no such file" in complain("run_inner_loop", self_edits=path)
    path.write_text('{"id": "x"}\n')
    assert "row 1 is not a self-edit" in complain("run_inner_loop", self_edits=path)


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 12 MB, so that a run begins and then runs out of space."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk_is_said_and_what_was_computed_is_kept(complain, tiny_disk):
    filler = tiny_disk / "filler"
    filler.write_bytes(b"0" * 3_000_000)
    assert "MB free on its disk" in complain(run_dir=tiny_disk / "run")
    filler.unlink()
    # Three adapters of 8 MB each: the records fit, the second adapter does not
    error = complain(run_dir=tiny_disk / "run", lora_rank=8192)
    assert "No space left on device" in error
    kept = (tiny_disk / "run" / "round-1" / "self_edits.jsonl").read_text().splitlines()
    assert len(kept) == 1 and json.loads(kept[0])["text"]
