"""One real vLLM server for all tests of this folder, and the models it is compared with."""

import os
import select
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

from seal.samplers.vllm import VllmSampler
from seal.samplers.vllm_server import VllmServer
from seal.settings import ModelSettings
from tests.support.small_models import small_qwen2

END_OF_TEXT, END_OF_TURN = "<|endoftext|>", "<|im_end|>"
MAX_LORAS, MAX_RANK = 2, 32
STARTUP_SECONDS = 240
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TEXTS = [
    "The quick brown fox jumps over the lazy dog near the bank of the river.",
    "When was the tower built, and who paid for the bells that hang in it?",
    "A language model writes its own training data and is then tested without the passage.",
]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small models in two processes on few cores: threads that wait for each other take longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def vllm_command() -> str:
    """How to start the real server; without SEAL_VLLM_COMMAND its tests are skipped."""
    command = os.environ.get("SEAL_VLLM_COMMAND")
    if not command:
        pytest.skip("SEAL_VLLM_COMMAND is not set: no real vLLM to test with")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    # On CPUs vLLM 0.31 dies of a seeded request whose prompt it takes in parts
    return f"{command} --enforce-eager --no-enable-chunked-prefill --max-num-batched-tokens 8192"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """A Qwen2 with heads as wide as vLLM's CPU attention wants them (32).

    Its tokens are all printable ASCII, so that texts can be compared: vLLM leaves out a character
    that the last token cut in two. Its generation config asks for what Qwen2.5-Instruct's does,
    sampling and two end-of-text tokens; greedy answers must heed the latter alone.
    """
    folder = tmp_path_factory.mktemp("model")
    tokenizer = ascii_tokenizer()
    ends = tokenizer.convert_tokens_to_ids([END_OF_TEXT, END_OF_TURN])
    model = small_qwen2(
        len(tokenizer), hidden_size=128, intermediate_size=128, eos_token_id=ends[0]
    )
    model.generation_config = GenerationConfig(
        eos_token_id=ends,
        pad_token_id=ends[0],
        do_sample=True,
        temperature=0.7,
        top_k=20,
        top_p=0.8,
        repetition_penalty=1.5,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def ascii_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE without the bytes that are no character of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    printable = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    trainer = trainers.BpeTrainer(
        vocab_size=200,
        special_tokens=[END_OF_TEXT, END_OF_TURN],
        initial_alphabet=[*printable, "Ġ"],  # how the byte-level alphabet writes a blank
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[END_OF_TURN],
        clean_up_tokenization_spaces=False,
    )


@pytest.fixture(scope="session")
def tokenizer(model_folder):
    return AutoTokenizer.from_pretrained(model_folder)


@pytest.fixture(scope="session")
def server(vllm_command, model_folder, tmp_path_factory) -> Iterator[VllmServer]:
    """The server all tests share; that it leaves no process behind is checked at the end."""
    server = VllmServer(
        model_folder,
        ModelSettings(
            vllm_command=vllm_command, dtype="float32", vllm_startup_timeout=STARTUP_SECONDS
        ),
        tmp_path_factory.mktemp("vllm") / "vllm.log",
        rank=MAX_RANK,
        adapters=MAX_LORAS,
    )
    with server:
        processes = open_descendants(server._process.pid)
        assert len(processes) >= 3, "supervisor, API server and engine are processes of their own"
        yield server
    wait_for_exit(processes)


@pytest.fixture(scope="session")
def sampler(server) -> Iterator[VllmSampler]:
    with VllmSampler(
        server.base_url,
        server.model_name,
        api_key=server.api_key,
        max_loras=MAX_LORAS,
        timeout=120,
    ) as sampler:
        yield sampler


@dataclass(frozen=True)
class Reference:
    """What transformers generates from the same weights: `token_ids` include the last one."""

    token_ids: list[int]
    text: str
    finish_reason: str


class ReferenceModel:
    """Greedy decoding by transformers and peft, one prompt at a time."""

    def __init__(self, folder: Path) -> None:
        self.base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.ends = self.base.generation_config.eos_token_id
        self.peft: PeftModel | None = None

    def answer(
        self, prompts: list[str] | list[list[int]], adapter: Path | None, max_new_tokens: int
    ) -> list[Reference]:
        model = self.base
        if adapter is not None:
            model = PeftModel.from_pretrained(self.base, adapter)
        try:
            return [self._continue(model, prompt, max_new_tokens) for prompt in prompts]
        finally:
            if adapter is not None:
                model.unload()

    @torch.inference_mode()
    def _continue(self, model, prompt: str | list[int], max_new_tokens: int) -> Reference:
        prompt_ids = self.tokenizer(prompt).input_ids if isinstance(prompt, str) else prompt
        output = model.generate(
            input_ids=torch.tensor([prompt_ids]),
            attention_mask=torch.ones(1, len(prompt_ids), dtype=torch.long),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            repetition_penalty=1.0,
        )
        token_ids = output[0, len(prompt_ids) :].tolist()
        return Reference(
            token_ids,
            self.tokenizer.decode(token_ids, skip_special_tokens=True),
            "stop" if token_ids[-1] in self.ends else "length",
        )


@pytest.fixture(scope="session")
def reference(model_folder) -> ReferenceModel:
    return ReferenceModel(model_folder)


@pytest.fixture(scope="session")
def write_adapter(model_folder):
    """Writes a PEFT folder whose weights are random and large enough to change every answer."""
    base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)

    def write(folder: Path, seed: int, rank: int = 8) -> Path:
        config = LoraConfig(r=rank, lora_alpha=16, target_modules=TARGETS)
        adapted = get_peft_model(base, config)
        generator = torch.Generator().manual_seed(seed)
        for name, weights in adapted.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weights, std=0.1, generator=generator)
        adapted.save_pretrained(folder)
        adapted.unload()
        return folder

    return write


def open_descendants(pid: int) -> dict[int, int]:
    """Process id -> file descriptor that becomes readable when the process has ended."""
    pids, found = [pid], []
    while pids:
        pid = pids.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").iterdir():
            pids += [int(child) for child in (task / "children").read_text().split()]
    return {pid: os.pidfd_open(pid) for pid in found}


def wait_for_exit(processes: dict[int, int], seconds: float = 90) -> None:
    """Fail unless all processes end within so many seconds; closes the descriptors."""
    for pid, descriptor in processes.items():
        assert select.select([descriptor], [], [], seconds)[0], f"process {pid} is still there"
        os.close(descriptor)
