"""Flags of the few-shot programs, in groups that a program's config inherits.

Defaults are the paper's (arXiv 2506.10943, section 4.2 and appendix A), the release's where the
paper is silent.
"""

from pathlib import Path
from typing import Literal

from seal.command_line.arguments import Settings, arg
from seal.settings import ModelSettings, Schedule, SftSettings

TREE = Path(__file__).resolve().parent.parent
PROMPTS = TREE / "prompts"
ORACLE_FILE = TREE / "presets" / "oracle.json"
TARGET_MODULES = ["q_proj", "v_proj", "gate_proj", "down_proj", "up_proj"]

SAMPLED, ORACLE = "sampled", "oracle"
"""Where self-edits come from, if not from a file: the policy, or the hand-made configuration."""

Selection = Literal["rewarded", "random", "shuffled", "all"]
"""Which self-edits the M-step imitates."""


class PolicySettings(ModelSettings):
    """The policy of this domain: a chat model."""

    model: str = arg(
        "the policy: a transformers folder or hub name (paper, section 4.2: Llama-3.2-1B-Instruct)",
        "meta-llama/Llama-3.2-1B-Instruct",
    )


class TaskSettings(Settings):
    """Which ARC tasks."""

    tasks: Path = arg(
        "Kaggle's challenges file, a folder with one file per task (ARC's repository), or one file"
    )
    solutions: Path | None = arg(
        "Kaggle's solutions file; default: the one beside --tasks, if its name fits", None
    )
    task_ids: str | None = arg(
        "a preset of few-shot/presets, such as paper-training, or a file of ids; default: all", None
    )
    n_tasks: int | None = arg(
        "how many of them, drawn by --seed; default: all", None, at_least=1, group="how much"
    )


class PromptSettings(Settings, group="model"):
    """How the policy is addressed."""

    prompts: Path | None = arg("folder of prompt files; default: those that ship", None)

    @property
    def prompt_folder(self) -> Path:
        """The folder of prompt files; the flag is empty by default so that a run can be moved."""
        return self.prompts or PROMPTS


class SelfEditSettings(PromptSettings, group="self-edits"):
    """How self-edits are sampled."""

    k: int = arg(
        "self-edits per task (paper: 15 to train, 5 to evaluate)", 15, at_least=1, at_most=10_000
    )
    max_new_tokens: int = arg("longest self-edit, in tokens (release: 128)", 128, at_least=1)
    temperature: float = arg("sampling temperature (release: 0.8)", 0.8, at_least=0, at_most=100)
    top_p: float = arg("nucleus sampling (release: none)", 1.0, above=0, at_most=1)
    max_attempts: int = arg(
        "draws of a self-edit until one is JSON, else invalid (release: no limit)",
        20,
        at_least=1,
        at_most=10_000,
    )
    skip_repeated_configs: bool = arg("draw again what repeats a task's earlier self-edit", False)


class OracleSettings(Settings):
    """The configuration to which self-edits are compared."""

    oracle_file: Path | None = arg(
        "the hand-made configuration, a self-edit in a file; default: the one that ships", None
    )

    @property
    def oracle_path(self) -> Path:
        """That file; the flag is empty by default so that a run can be moved."""
        return self.oracle_file or ORACLE_FILE


class PredictionSettings(PromptSettings, group="reward and judge"):
    """How a task is solved: greedily from several views, two attempts by vote (golden A5, A6)."""

    n_permutations: int = arg(
        "reordered copies per leave-one-out view (release: 2)", 2, at_least=0, at_most=1_000
    )
    max_answer_tokens: int | None = arg(
        "longest answer, in tokens; default: what a grid of 30 x 30 takes", None, at_least=1
    )
    release_bugs: bool = arg("repeat the release's defects (docs/differences.md)", False)


class InnerLoopSettings(PredictionSettings, group="inner loop"):
    """Test-time training; what the self-edit decides is not a flag."""

    lora_rank: int = arg("LoRA rank (paper: 128)", 128, at_least=1, at_most=65_536)
    lora_alpha: float = arg("LoRA alpha (paper: 16)", 16, above=0)
    target_modules: list[str] = arg(
        "adapted layers (paper: q, v and MLP)", TARGET_MODULES, unique=True
    )
    warmup_steps: int = arg("steps to the full rate, then cosine (release: 11)", 11, at_least=0)
    max_items: int = arg("training examples per adapter (release: 250)", 250, at_least=1)
    max_length: int = arg("examples of more tokens are left out (release: 8192)", 8192, at_least=2)
    max_steps: int = arg("self-edits that ask for more are invalid (release: 375)", 375, at_least=1)
    slots: int = arg("adapters trained side by side", 8, machine=True, at_least=1, at_most=1_000)


class RestEmSettings(SelfEditSettings, InnerLoopSettings, group="M-step"):
    """What a round needs: sampling, inner loops and selection."""

    selection: Selection = arg(
        "which self-edits are imitated (paper: rewarded); controls that ignore rewards: all that"
        " are valid, as many random ones as were rewarded, or by shuffled rewards",
        "rewarded",
    )


class ArcSftSettings(SftSettings, group="M-step"):
    """The M-step on all rewarded self-edits, with this domain's values."""

    sft_learning_rate: float = arg("M-step learning rate (paper: 5e-5)", 5e-5, above=0, at_most=100)
    sft_epochs: int = arg("M-step epochs (paper: 8)", 8, at_least=1, at_most=10_000)
    sft_rank: int = arg("M-step LoRA rank (paper: 16)", 16, at_least=1, at_most=65_536)
    sft_alpha: float = arg("M-step LoRA alpha (paper: 16)", 16, above=0)
    sft_batch_size: int = arg("M-step sequences per step (paper: 5)", 5, at_least=1)
    sft_schedule: Schedule = arg("M-step learning-rate schedule (release: cosine)", "cosine")
    sft_target_modules: list[str] = arg(
        "layers the M-step adapts (as inner loop)", TARGET_MODULES, unique=True
    )


class TableSettings(SelfEditSettings, InnerLoopSettings, OracleSettings):
    """How a row of the few-shot table is made: self-edits, test-time training, prediction."""

    self_edits: str = arg(
        "what --model is trained on: sampled from it, oracle, or a self_edits.jsonl", SAMPLED
    )
