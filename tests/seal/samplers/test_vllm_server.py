"""The server's life and death, on stand-ins that take vLLM's flags and play one part each."""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest

from seal.errors import UserError
from seal.samplers import vllm_server
from seal.samplers.vllm_server import LORA_RANKS, VllmServer, vllm_lora_rank
from seal.settings import ModelSettings

# A server and its "engine" process hold the FIFO open: its reader meets the end of file when the
# last of them is gone. `notes` gets what the server was started with.
STAND_IN = r"""
import argparse, http.server, json, os, signal, sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--play", default="serve")
for flag in ("--folder", "--port", "--served-model-name"):
    parser.add_argument(flag)
options, others = parser.parse_known_args()
folder = Path(options.folder)
with (folder / "notes").open("a") as notes:
    print(json.dumps({"argv": sys.argv, "env": dict(os.environ)}), file=notes)

if options.play == "die":
    print("WARNING 01-01 [utils.py:1] this may cause OSError: Too many open files")
    print("(EngineCore pid=7) ERROR 01-01 [core.py:1] ValueError: no memory for the cache")
    print("RuntimeError: see above", *"123", sep="\n")
    sys.exit(3)
if options.play == "port taken" or (
    options.play == "port taken once" and len((folder / "notes").read_text().splitlines()) == 1
):
    sys.exit("OSError: [Errno 98] Address already in use")

alive = os.open(folder / "alive", os.O_WRONLY)
if os.fork() == 0:  # the engine
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = "another" if options.play == "other model" else options.served_model_name
        ill = options.play == "never healthy" or (folder / "ill").exists()
        self.send_response(503 if ill else 200)
        self.end_headers()
        (folder / "asked").touch()
        if self.path == "/crash":
            os._exit(1)
        self.wfile.write(json.dumps({"data": [{"id": name}]}).encode())

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(options.port)), Handler).serve_forever()
"""


class StandIn:
    """A stand-in's program in a folder of its own, and what is known of its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "stand_in.py"
        self.program.write_text(STAND_IN)
        os.mkfifo(folder / "alive")
        self.reader = os.open(folder / "alive", os.O_RDONLY | os.O_NONBLOCK)

    def command(self, play: str = "serve") -> str:
        words = [sys.executable, str(self.program), "--play", play, "--folder", str(self.folder)]
        return shlex.join(words)

    def server(self, play: str = "serve", **settings) -> VllmServer:
        of_model = {"vllm_command": self.command(play), "vllm_startup_timeout": 60} | settings
        log = self.folder / "logs" / "vllm.log"
        return VllmServer("org/model", ModelSettings(**of_model), log, rank=24, adapters=3)

    def starts(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "notes").read_text().splitlines()]

    def running(self) -> bool:
        """Whether a process of the stand-in is alive at this moment."""
        return not select.select([self.reader], [], [], 0)[0]

    def wait_until_gone(self) -> None:
        assert select.select([self.reader], [], [], 60)[0], "processes of the server survived"
        assert os.read(self.reader, 1) == b""


@pytest.fixture
def stand_in(tmp_path):
    stand_in = StandIn(tmp_path)
    yield stand_in
    os.close(stand_in.reader)


# Ranks


@pytest.mark.parametrize(
    ("rank", "allowed"),
    [
        (1, 1),
        (2, 8),
        (4, 8),
        (8, 8),
        (9, 16),
        (24, 32),
        (64, 64),
        (65, 128),
        (257, 320),
        (512, 512),
    ],
)
def test_a_rank_is_rounded_up_to_one_that_vllm_has(rank, allowed):
    assert vllm_lora_rank(rank) == allowed


def test_every_servable_rank_gets_the_smallest_allowed_one():
    for rank in range(1, 513):
        assert vllm_lora_rank(rank) == min(allowed for allowed in LORA_RANKS if allowed >= rank)


@pytest.mark.parametrize("rank", [0, -1, 513])
def test_ranks_that_vllm_cannot_serve_are_refused(rank):
    with pytest.raises(UserError, match=f"LoRA rank {rank}"):
        vllm_lora_rank(rank)


# What the server is started with


def test_the_flags_follow_the_users_own(stand_in):
    with stand_in.server(dtype="float32") as server:
        assert server.base_url == f"http://127.0.0.1:{server.port}/v1"
    arguments = stand_in.starts()[0]["argv"]
    assert arguments[1:5] == ["--play", "serve", "--folder", str(stand_in.folder)]
    pairs = dict(pairwise(arguments))
    expected = {
        "--model": "org/model",
        "--served-model-name": server.model_name,
        "--host": "127.0.0.1",
        "--port": str(server.port),
        "--dtype": "float32",
        "--max-loras": "3",
        "--max-cpu-loras": "6",
        "--max-lora-rank": "32",
    }
    assert pairs | expected == pairs
    assert "--enable-lora" in arguments
    assert "--tensor-parallel-size" not in arguments
    assert "--trust-remote-code" not in arguments


def test_each_server_has_a_name_and_a_key_of_its_own(stand_in):
    first, second = stand_in.server(), stand_in.server()
    assert first.model_name != second.model_name
    assert first.api_key != second.api_key and len(first.api_key) >= 32


def test_the_key_is_neither_on_the_command_line_nor_in_the_log(stand_in):
    with stand_in.server() as server:
        pass
    (start,) = stand_in.starts()
    assert server.api_key not in str(start["argv"])
    texts = [path.read_bytes() for path in stand_in.folder.rglob("*.log")]
    assert texts and not any(server.api_key.encode() in text for text in texts)


def test_a_command_with_a_key_is_refused(stand_in):
    with pytest.raises(UserError, match="each server gets its own key"):
        stand_in.server(vllm_command="python --api-key secret")


def test_the_environment_passes_without_keys(stand_in, monkeypatch):
    secrets = ("OPENAI_API_KEY", "OPENAI_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "MY_PASSWORD")
    for name in secrets:
        monkeypatch.setenv(name, "sk-secret")
    monkeypatch.setenv("VLLM_API_KEY", "would lock us out")
    monkeypatch.setenv("HF_TOKEN", "for gated models")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with stand_in.server() as server:
        pass
    environment = stand_in.starts()[0]["env"]
    assert not environment.keys() & set(secrets)
    assert environment["VLLM_API_KEY"] == server.api_key
    assert environment["HF_TOKEN"] == "for gated models"
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"
    assert environment["VLLM_NO_USAGE_STATS"] == environment["DO_NOT_TRACK"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(
    ("visible", "gpus", "given", "parallel"),
    [
        (None, "0", "0", None),
        (None, "2, 3", "2,3", "2"),
        ("4,5", "1", "5", None),
        ("GPU-a,GPU-b,GPU-c", "2,0", "GPU-c,GPU-a", "2"),
        ("", "0", "", None),
    ],
)
def test_gpus_are_counted_among_the_visible(stand_in, monkeypatch, visible, gpus, given, parallel):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with stand_in.server(vllm_gpus=gpus):
        pass
    start = stand_in.starts()[0]
    assert start["env"]["CUDA_VISIBLE_DEVICES"] == given
    pairs = dict(pairwise(start["argv"]))
    assert pairs.get("--tensor-parallel-size") == parallel


@pytest.mark.parametrize("gpus", ["2", "0,2"])
def test_gpus_that_are_not_ours_are_refused(stand_in, monkeypatch, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with pytest.raises(UserError, match=r"only 2 visible .*count from 0 to 1"):
        stand_in.server(vllm_gpus=gpus)


@pytest.mark.parametrize("gpus", ["", "x", "-1", "0,", "0,0"])
def test_gpus_must_be_distinct_indices(stand_in, monkeypatch, gpus):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(UserError, match="indices of GPUs"):
        stand_in.server(vllm_gpus=gpus)


# Checks before the start


@pytest.mark.parametrize("model", ["./absent", "/absent/model", "runs/a/model"])
def test_a_missing_model_folder_is_named(stand_in, model):
    with pytest.raises(UserError, match=f"--model {model}: no such folder"):
        VllmServer(model, ModelSettings(), stand_in.folder / "log", rank=8)


@pytest.mark.parametrize("command", ["", "no-such-program -m vllm", "/absent/python"])
def test_a_command_that_does_not_exist_is_refused(stand_in, command):
    with pytest.raises(UserError, match=r"--vllm_command .*no such program"):
        stand_in.server(vllm_command=command)


def test_an_unclosed_quotation_in_the_command_is_refused(stand_in):
    with pytest.raises(UserError, match=r"--vllm_command .*No closing quotation"):
        stand_in.server(vllm_command="python 'x")


def test_without_a_command_a_missing_vllm_is_explained(stand_in, monkeypatch):
    monkeypatch.setattr(vllm_server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="vLLM is not installed"):
        stand_in.server(vllm_command=None)


def test_without_a_command_this_pythons_vllm_is_started(stand_in, monkeypatch):
    monkeypatch.setattr(vllm_server.importlib.util, "find_spec", lambda name: object())
    expected = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    assert stand_in.server(vllm_command=None)._arguments[:3] == expected


# Starts that fail


def test_a_server_that_dies_is_quoted_with_the_cause_first(stand_in):
    with pytest.raises(UserError) as caught, stand_in.server("die"):
        pass
    message = str(caught.value)
    assert "exit status 3" in message
    assert message.index("ValueError: no memory") < message.index("RuntimeError: see above")
    assert "| 1 | 2 | 3 (log: " in message
    assert len(stand_in.starts()) == 1, "a second start would end alike"
    assert "Too many open files" not in message
    assert str(stand_in.folder / "logs" / "vllm.log") in message
    assert "\n" not in message


def test_words_of_an_earlier_server_are_not_quoted(stand_in):
    log = stand_in.folder / "logs" / "vllm.log"
    log.parent.mkdir()
    log.write_text("ValueError: of yesterday\n")
    with pytest.raises(UserError) as caught, stand_in.server("die"):
        pass
    assert "yesterday" not in str(caught.value)
    assert log.read_text().startswith("ValueError: of yesterday\n")


@pytest.mark.parametrize("play", ["never healthy", "other model"])
def test_a_server_that_does_not_become_ready_is_given_up_and_ended(stand_in, monkeypatch, play):
    asked = stand_in.folder / "asked"
    clock = SimpleNamespace(monotonic=lambda: 61.0 if asked.exists() else 0.0)
    monkeypatch.setattr(vllm_server, "time", clock)
    with (
        pytest.raises(UserError, match=r"not ready within 60 s .*--vllm_startup_timeout"),
        stand_in.server(play),
    ):
        pass
    stand_in.wait_until_gone()


def test_a_port_taken_meanwhile_is_replaced(stand_in):
    with stand_in.server("port taken once") as server:
        assert stand_in.starts()[1]["argv"][-1] == str(server.port)
    assert len(stand_in.starts()) == 2


def test_ports_are_replaced_a_few_times_only(stand_in):
    with pytest.raises(UserError, match="Address already in use"), stand_in.server("port taken"):
        pass
    assert len(stand_in.starts()) == 3


# The end


def test_the_server_and_its_engine_end_with_the_block(stand_in):
    with stand_in.server() as server:
        assert stand_in.running()
        server.check_alive()
    stand_in.wait_until_gone()


def test_they_end_with_an_exception_too(stand_in):
    with pytest.raises(ZeroDivisionError), stand_in.server():
        _ = 1 / 0
    stand_in.wait_until_gone()


def test_the_engine_of_a_crashed_server_is_ended(stand_in):
    with stand_in.server() as server:
        with suppress(httpx2.HTTPError):
            httpx2.get(f"{server.base_url.removesuffix('/v1')}/crash", trust_env=False)
        stand_in.wait_until_gone()
        server._process.wait(60)
        with pytest.raises(UserError, match=r"ended \(exit status 1\)"):
            server.check_alive()


def test_a_server_whose_engine_died_does_not_count_as_alive(stand_in):
    with stand_in.server() as server:
        server.check_alive()
        (stand_in.folder / "ill").touch()
        with pytest.raises(UserError, match=r"is not healthy: .*vllm\.log"):
            server.check_alive()


PROGRAM = """
import sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from seal.samplers.vllm_server import VllmServer
from seal.settings import ModelSettings
{prepare}
settings = ModelSettings(vllm_command={command!r}, vllm_startup_timeout=60)
with VllmServer("org/model", settings, Path({log!r}), rank=8):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("number", "prepare"),
    [
        (signal.SIGKILL, ""),
        (signal.SIGTERM, ""),
        (signal.SIGINT, ""),
        # As programs do, so that `with` blocks are left in order
        (signal.SIGTERM, "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))"),
    ],
)
def test_the_server_does_not_outlive_its_program(stand_in, number, prepare):
    program = PROGRAM.format(
        path=sys.path,
        prepare=prepare,
        command=stand_in.command(),
        log=str(stand_in.folder / "log"),
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with parent.stdout as output:
        assert output.readline() == b"ready\n"
    assert stand_in.running()
    parent.send_signal(number)
    assert parent.wait(60) != 0
    stand_in.wait_until_gone()
