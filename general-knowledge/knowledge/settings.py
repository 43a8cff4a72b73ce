"""Flags of the knowledge programs, in groups that a program's config inherits.

Defaults are the paper's; PAPER below is arXiv 2506.10943, and the release is the authors' code.
"""

from pathlib import Path
from typing import Literal

from seal.command_line.arguments import Settings, arg
from seal.command_line.flag_values import URL
from seal.settings import ModelSettings

TREE = Path(__file__).resolve().parent.parent
PROMPTS = TREE / "prompts"
SHUFFLE_SEED = 42
"""The release's."""
SelfEditKind = Literal[
    "implications",
    "implications-long",
    "implications-very-long",
    "rewrite",
    "self-qa",
    "none",
    "implications-chain-of-thought",
]


class PassageSettings(Settings):
    """Which passages."""

    passages: str = arg(
        "SQuAD's JSON, the release's grouped JSON, or a Hugging Face name such as"
        " rajpurkar/squad:train"
    )
    shuffle: bool = arg("shuffle the passages before they are cut (release: with seed 42)", True)

    @property
    def shuffle_seed(self) -> int | None:
        """The seed for `knowledge.data.splits`; None keeps the order of the file."""
        return SHUFFLE_SEED if self.shuffle else None


class RoundSettings(PassageSettings, group="how much"):
    """Which passages: those of one round."""

    n_passages: int = arg("passages (paper: 50 in a round of RL, 200 to evaluate)", 50, at_least=1)
    round: int = arg("round of RL, of its own passages (paper: 1, 2); 0: evaluate", 1, at_least=0)


class PromptSettings(Settings, group="model"):
    """How the policy is addressed."""

    prompts: Path | None = arg(
        "prompt files: a folder, or the name of one in prompts/; default: those that ship", None
    )
    chat: bool = arg("address the policy through its chat template (instruct models)", False)

    @property
    def prompt_folder(self) -> Path:
        """The folder of prompt files; the flag is empty by default so that a run can be moved."""
        if self.prompts is None:
            return PROMPTS
        shipped = PROMPTS / self.prompts
        return self.prompts if self.prompts.exists() or not shipped.is_dir() else shipped


class SamplingSettings(PromptSettings, group="self-edits"):
    """How texts are sampled (paper, section 4.1)."""

    max_new_tokens: int = arg(
        "longest self-edit, in tokens, or part of one (paper: 8192)", 8192, at_least=1
    )
    temperature: float = arg("sampling temperature (paper: 1.0)", 1.0, at_least=0, at_most=100)
    top_p: float = arg("nucleus sampling (paper: 0.95)", 0.95, above=0, at_most=1)


class SelfEditSettings(SamplingSettings, group="self-edits"):
    """Which self-edits are sampled (paper, section 4.1)."""

    k: int = arg("self-edits per passage (paper: 5)", 5, at_least=1, at_most=10_000)
    prompt_kind: SelfEditKind = arg("what to ask for (paper, prompt ablation)", "implications")


class WriterSettings(ModelSettings, SamplingSettings, group="self-edits"):
    """Who writes: the policy, or a chat model behind an endpoint (paper: GPT-4.1's self-edits)."""

    writer: Literal["policy", "openai"] = arg(
        "policy: --model writes; openai: a chat model as in the paper's GPT-4.1 rows", "policy"
    )
    writer_model: str = arg("chat model that writes (paper: GPT-4.1)", "gpt-4.1-2025-04-14")
    writer_url: str | None = arg(
        "another OpenAI-compatible endpoint, such as a local vLLM", None, form=URL
    )
    writer_concurrency: int = arg(
        "chat model requests at a time", 32, machine=True, at_least=1, at_most=1_000
    )
    writer_cache: Path = arg(
        "file that keeps the chat model's texts", Path("runs/writer_cache.jsonl"), machine=True
    )
    price_input: float | None = arg(
        "the chat model's price per million tokens read, for the estimate",
        None,
        machine=True,
        at_least=0,
    )
    price_output: float | None = arg(
        "its price per million tokens written, for the estimate", None, machine=True, at_least=0
    )
    max_missing: float = arg(
        "stop if a larger share of the texts is missing", 0.02, at_least=0, at_most=1
    )


class EntiGraphSettings(Settings, group="self-edits"):
    """What EntiGraph writes about a passage (paper v2; Yang et al. 2024)."""

    relations: Literal["pairs", "pairs+triples"] = arg(
        "how many entities a text relates (paper v2 has both rows)", "pairs"
    )
    # Together no more than the sequences that are trained on for one self-edit (golden rule G1)
    max_pairs: int = arg("pairs per passage, at random if there are more", 15, at_least=1)
    max_triples: int = arg("triples per passage, at random if there are more", 15, at_least=1)


class JudgeSettings(Settings, group="reward and judge"):
    """Who grades answers."""

    judge: Literal["offline", "openai"] = arg(
        "offline: a calibrated rule, no key; openai: a chat model as in the paper", "offline"
    )
    judge_model: str = arg("model that judges (paper: GPT-4.1)", "gpt-4.1-2025-04-14")
    judge_url: str | None = arg(
        "another OpenAI-compatible endpoint, such as a local vLLM", None, form=URL
    )
    judge_concurrency: int = arg(
        "judge requests at a time", 32, machine=True, at_least=1, at_most=1_000
    )
    judge_cache: Path = arg(
        "file that keeps the chat judge's replies", Path("runs/judge_cache.jsonl"), machine=True
    )
    max_ungraded: float = arg(
        "stop if a larger share of answers is ungraded", 0.02, at_least=0, at_most=1
    )


class AnswerSettings(PromptSettings, JudgeSettings, group="reward and judge"):
    """How a passage's questions are asked, closed-book and greedily (paper, section 4.1)."""

    answer_style: Literal["plain", "chain-of-thought"] = arg(
        "how to answer (paper: plain)", "plain"
    )
    max_answer_tokens: int = arg("longest answer, in tokens (release: 64)", 64, at_least=1)


class InnerLoopSettings(AnswerSettings, group="inner loop"):
    """The LoRA finetune on one self-edit (paper, appendix B)."""

    split_newlines: bool = arg("each line of a self-edit is a training sequence", True)
    add_context: bool = arg("the passage itself is one more training sequence", True)
    lora_rank: int = arg("LoRA rank (paper: 32)", 32, at_least=1, at_most=65_536)
    lora_alpha: float = arg("LoRA alpha (paper: 64)", 64, above=0)
    target_modules: list[str] = arg(
        "adapted layers (PEFT's for Qwen2)", ["q_proj", "v_proj"], unique=True
    )
    learning_rate: float = arg(
        "learning rate, linear to 0 (paper: 1e-3)", 1e-3, above=0, at_most=100
    )
    epochs: int = arg("passes over the sequences (paper: 10)", 10, at_least=1, at_most=10_000)
    batch_size: int = arg("sequences per step (paper: 1)", 1, at_least=1)
    gradient_accumulation: int = arg("steps per update (paper: 1)", 1, at_least=1)
    max_length: int = arg("longest training sequence, in tokens (release: 2048)", 2048, at_least=2)
    padding_loss: Literal["none", "max", "sampled"] = arg(
        "max: the release's loss on padding up to max_length; sampled: its cheap estimate", "none"
    )
    slots: int = arg("adapters trained side by side", 15, machine=True, at_least=1, at_most=1_000)


class RewardSettings(InnerLoopSettings, group="reward and judge"):
    """How self-edits are rewarded and selected (paper, section 3.1 and 4.1)."""

    repeats: int = arg(
        "inner loops per self-edit, each of its own seed (paper: 3)", 3, at_least=1, at_most=1_000
    )


class TableSettings(SelfEditSettings, RewardSettings):
    """How the rows of the single-passage table are made."""


class OuterLoopSettings(RewardSettings, group="reward and judge"):
    """What rewards self-edits in the outer loop (paper, section 3.1; v2 for the proxy)."""

    reward: Literal["inner-loop", "proxy"] = arg(
        "inner-loop: answers after training on a self-edit; proxy: the chat judge's marks for its"
        " text, 4 to 20 (paper v2)",
        "inner-loop",
    )
    keep: int = arg("self-edits kept per passage (paper: the best 1 of 5)", 1, at_least=1)
    selection: Literal["best", "random", "shuffled"] = arg(
        "which of them are kept (paper: best); as controls, random ones, or the best by rewards"
        " that are shuffled among the self-edits of a round",
        "best",
    )


class RestEmSettings(SelfEditSettings, OuterLoopSettings):
    """What a round needs: sampling, inner loops, reward and selection."""


class SequentialSettings(SelfEditSettings, InnerLoopSettings):
    """How each step is made: as in the single-passage setting."""


class PretrainingSettings(AnswerSettings, group="inner loop"):
    """The finetune on all passages at once."""

    method: Literal["full", "lora"] = arg(
        "full: train every weight (paper, v2); lora: an adapter, then merged (v1)", "full"
    )
    passage_copies: Literal["once", "with-each"] = arg(
        "how often a passage is trained on: once (v2), or with each of its self-edits (v1)", "once"
    )
    split_newlines: bool = arg("each line of a self-edit is a training sequence", False)
    learning_rate: float = arg(
        "learning rate, linear to 0 (paper: 7e-5 in v2; in v1 1e-3, passages only 1e-4)",
        7e-5,
        above=0,
        at_most=100,
    )
    warmup_ratio: float = arg(
        "share of steps that warm up (release: 0.03 in v2)", 0.03, at_least=0, below=1
    )
    epochs: int = arg(
        "passes over the sequences (paper: 1 in v2, 3 in v1)", 1, at_least=1, at_most=10_000
    )
    batch_size: int = arg("sequences computed at a time, at most (release: 4)", 4, at_least=1)
    gradient_accumulation: int = arg("batches per update (release: 2)", 2, at_least=1)
    max_length: int = arg("longest training sequence, in tokens (release: 2048)", 2048, at_least=2)
    lora_rank: int = arg(
        "LoRA rank, with --method lora (paper: 32)", 32, at_least=1, at_most=65_536
    )
    lora_alpha: float = arg("LoRA alpha, with --method lora (paper: 64)", 64, above=0)
    target_modules: list[str] = arg(
        "adapted layers, with --method lora (PEFT's for Qwen2)", ["q_proj", "v_proj"], unique=True
    )
    processes: int = arg(
        "GPUs of the finetune (by accelerate), which share an update",
        1,
        machine=True,
        at_least=1,
        at_most=1_000,
    )
