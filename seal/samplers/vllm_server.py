"""A vLLM server as a child process that cannot outlive the program that started it.

It runs under `seal.supervisor`, which ends the server's whole process group: a server that is
merely killed leaves its engine behind, holding the GPU. Each start has a random key, without which
the server answers nobody: others may have accounts on the machine. Only the environment holds it.
"""

import importlib.util
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import httpx2

from seal.errors import UserError
from seal.models.folders import check_folder, is_folder
from seal.settings import ModelSettings
from seal.supervisor import GRACE_SECONDS, start

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM 0.31 accepts as --max-lora-rank; adapters of any smaller rank are padded to it."""

HOST = "127.0.0.1"
_DEFAULT_MODULE = "vllm.entrypoints.openai.api_server"
_PORT_ATTEMPTS = 3
_POLL_SECONDS = 0.2
_HTTP_SECONDS = 5.0
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|^AWS_|^AZURE_", re.IGNORECASE)
_KEPT = ("HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "TOKENIZERS_PARALLELISM")
"""No secrets of others: a gated model may have to be downloaded."""
_ERROR = re.compile(r"(?i)^(?!.*\b(?:INFO|WARNING)\b).*?\b([\w.]*(?:error|exception): .+)")


def vllm_lora_rank(rank: int) -> int:
    """The smallest --max-lora-rank of vLLM that admits `rank`; UserError below 1 and above 512."""
    if rank < 1:
        raise UserError(f"LoRA rank {rank}: it must be at least 1")
    if rank > LORA_RANKS[-1]:
        raise UserError(
            f"LoRA rank {rank}: vLLM serves ranks up to {LORA_RANKS[-1]}; choose a smaller rank, or"
            " --sampler transformers"
        )
    return min(allowed for allowed in LORA_RANKS if allowed >= rank)


class VllmServer:
    """An OpenAI-compatible vLLM server on 127.0.0.1, alive within its `with` block.

    `model`: transformers folder or hub name. `settings`: how the server is started; the flags in
    its command are kept, but ours are appended and win. `log` gets all output, appended. `rank` and
    `adapters`: the largest LoRA rank, and how many adapters are asked side by side.

    Raises UserError where a check before the start fails, and from `with` when the server ends or
    stays silent before it is ready; the message then holds what its log says.
    """

    def __init__(
        self, model: str | Path, settings: ModelSettings, log: Path, rank: int, adapters: int = 1
    ) -> None:
        # A name that no other server has: should another one ever take our port, its answers are
        # errors (unknown model) instead of another model's words.
        self.model_name = f"seal-{uuid.uuid4().hex[:12]}"
        self.port: int | None = None
        self._log_file = log
        self._log_start = 0
        self._startup_timeout = settings.vllm_startup_timeout
        self._process: subprocess.Popen[bytes] | None = None
        if is_folder(str(model)):
            check_folder(Path(model), f"--model {model}", settings.trust_remote_code)
        self._environment, n_gpus = _environment(settings.vllm_gpus)
        self.api_key = secrets.token_urlsafe(32)
        self._environment["VLLM_API_KEY"] = self.api_key
        self._arguments = [
            *_split_command(settings.vllm_command),
            *("--model", str(model), "--served-model-name", self.model_name),
            *("--host", HOST, "--dtype", settings.dtype),
            # As everywhere here: no pickled weights
            *("--load-format", "safetensors"),
            *("--enable-lora", "--max-loras", str(adapters)),
            *("--max-cpu-loras", str(2 * adapters)),
            *("--max-lora-rank", str(vllm_lora_rank(rank))),
            "--disable-uvicorn-access-log",
        ]
        if n_gpus > 1:
            self._arguments += ["--tensor-parallel-size", str(n_gpus)]
        if settings.trust_remote_code:
            self._arguments += ["--trust-remote-code"]

    @property
    def base_url(self) -> str:
        """Where the OpenAI client finds the server."""
        return f"http://{HOST}:{self.port}/v1"

    def __enter__(self) -> "VllmServer":
        try:
            for _ in range(_PORT_ATTEMPTS):
                self._launch()
                if self._wait_until_ready():
                    return self
                # Between our choice of a port and the server's use of it lie seconds of imports
                if "address already in use" not in self._log().lower():
                    break
            raise UserError(self._obituary())
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(3 * GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def check_alive(self) -> None:
        """Raise UserError with the log's last words if the server or its engine has ended."""
        if self._process.poll() is not None or not self._answers():
            raise UserError(self._obituary())

    def _launch(self) -> None:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = probe.getsockname()[1]
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            self._log_start = log.tell()
            command = [*self._arguments, "--port", str(self.port)]
            self._process = start(command, log, self._environment)

    def _wait_until_ready(self) -> bool:
        """True once the server answers, False if it ended; UserError when the time is up."""
        deadline = time.monotonic() + self._startup_timeout
        while time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_POLL_SECONDS)
                return False
            if self._answers():
                return True
        raise UserError(
            f"the vLLM server was not ready within {self._startup_timeout:.0f} s (raise"
            f" --vllm_startup_timeout if it is still loading): {self._last_words()}"
        )

    def _answers(self) -> bool:
        """Whether a healthy server that is this one listens on the port."""
        # A cluster's proxy must not get requests for this machine, and no certificate is needed
        options = {"timeout": _HTTP_SECONDS, "trust_env": False, "verify": False}
        options["headers"] = {"Authorization": f"Bearer {self.api_key}"}
        try:
            httpx2.get(f"http://{HOST}:{self.port}/health", **options).raise_for_status()
            models = httpx2.get(f"{self.base_url}/models", **options).raise_for_status()
            return any(card["id"] == self.model_name for card in models.json()["data"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return False

    def _log(self) -> str:
        with self._log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _last_words(self) -> str:
        """The first errors of this start, where causes stand, and its last lines."""
        lines = [line.strip()[:300] for line in self._log().splitlines() if line.strip()]
        errors = dict.fromkeys(found[1] for line in lines if (found := _ERROR.search(line)))
        words = dict.fromkeys([*list(errors)[:2], *lines[-3:]])
        return f"{' | '.join(words) or 'no output'} (log: {self._log_file})"

    def _obituary(self) -> str:
        status = self._process.poll()
        end = "is not healthy" if status is None else f"ended (exit status {status})"
        return f"the vLLM server {end}: {self._last_words()}"


def _split_command(command: str | None) -> list[str]:
    """The server's command as words, or UserError if it cannot possibly start."""
    if command is None:
        if importlib.util.find_spec("vllm") is None:
            raise UserError(
                "vLLM is not installed in this Python; name the one of another environment, such as"
                f' --vllm_command "/path/to/venv/bin/python -m {_DEFAULT_MODULE}", or use'
                " --sampler transformers"
            )
        return [sys.executable, "-m", _DEFAULT_MODULE]
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"--vllm_command {command!r}: {error}") from None
    if any(word.partition("=")[0] == "--api-key" for word in words):
        raise UserError("--vllm_command has --api-key; leave it out, each server gets its own key")
    if not words or shutil.which(words[0]) is None:
        raise UserError(
            f"--vllm_command {command!r}: no such program; give the Python of an environment that"
            f' has vLLM, as in "/path/to/venv/bin/python -m {_DEFAULT_MODULE}"'
        )
    return words


def _environment(gpus: str) -> tuple[dict[str, str], int]:
    """The server's environment variables, and the number of its GPUs (0: none are visible)."""
    # Keys are for judges and trackers, which the server never calls
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith("VLLM_") or not _SECRET.search(name)
    }
    environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    environment |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible == "":
        return environment, 0
    indices = [index.strip() for index in gpus.split(",")]
    if not all(index.isdecimal() for index in indices) or len(set(indices)) < len(indices):
        raise UserError(f"--vllm_gpus {gpus}: give indices of GPUs, such as 0 or 0,1")
    if visible is not None:
        # A batch system may have given us GPUs 4 and 5 of a node: ours are then called 0 and 1
        own = visible.split(",")
        if max(map(int, indices)) >= len(own):
            raise UserError(
                f"--vllm_gpus {gpus}: only {len(own)} visible (CUDA_VISIBLE_DEVICES={visible});"
                f" count from 0 to {len(own) - 1}"
            )
        indices = [own[int(index)].strip() for index in indices]
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(indices)
    return environment, len(indices)
