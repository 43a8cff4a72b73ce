"""Flags that programs of both domains share; a program's config inherits the groups it needs.

Those of every run are beside the run: `seal.run.RunSettings`.
"""

from typing import Literal

from seal.command_line.arguments import Settings, arg
from seal.command_line.flag_values import DEVICE, GPU_INDICES

Schedule = Literal["linear", "cosine", "constant"]
"""How a learning rate goes on from its start: down to 0, or not at all."""


class SamplerSettings(Settings, group="sampling server"):
    """Who answers the prompts: a vLLM server or this process."""

    sampler: Literal["vllm", "transformers"] = arg(
        "vllm: a vLLM server of its own; transformers: in this process", "vllm"
    )
    vllm_command: str | None = arg(
        "command and flags that start the server; default: this Python's vLLM", None, machine=True
    )
    vllm_gpus: str = arg(
        "GPUs of the server, counted among the visible ones", "0", machine=True, form=GPU_INDICES
    )
    vllm_startup_timeout: int = arg(
        "seconds until a silent server is given up", 900, machine=True, at_least=1, at_most=86_400
    )
    sampling_batch: int = arg("prompts in one call of the sampler", 64, machine=True, at_least=1)


class ModelSettings(SamplerSettings, group="model"):
    """The policy, and how it is sampled."""

    model: str = arg(
        "the policy: a transformers folder or hub name (paper, section 4.1: Qwen2.5-7B base)",
        "Qwen/Qwen2.5-7B",
    )
    dtype: Literal["bfloat16", "float32"] = arg("frozen weights (paper: bf16)", "bfloat16")
    device: str = arg(
        "where LoRA updates run; auto: the last GPU or the CPU", "auto", machine=True, form=DEVICE
    )
    trust_remote_code: bool = arg("run code that a hub model brings along", False)


class SftSettings(Settings, group="M-step"):
    """The M-step: supervised finetuning on rewarded self-edits (paper, appendix B.4)."""

    sft_learning_rate: float = arg("M-step learning rate (paper: 3e-4)", 3e-4, above=0, at_most=100)
    sft_schedule: Schedule = arg("M-step learning-rate schedule (HF Trainer's default)", "linear")
    sft_epochs: int = arg("M-step epochs (paper: 2)", 2, at_least=1, at_most=10_000)
    sft_rank: int = arg("M-step LoRA rank (paper: 64)", 64, at_least=1, at_most=65_536)
    sft_alpha: float = arg("M-step LoRA alpha (paper: 128)", 128, above=0)
    sft_target_modules: list[str] = arg(
        "layers that the M-step adapts (paper: all seven)",
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        unique=True,
    )
    sft_batch_size: int = arg("M-step sequences per step (paper: 1 x 5 x 2 GPUs)", 10, at_least=1)
    sft_processes: int = arg(
        "GPUs for the M-step, by accelerate", 1, machine=True, at_least=1, at_most=1_000
    )
