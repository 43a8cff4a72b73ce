"""Sample self-edits: the first half of the E-step (paper, section 3.1; prompts: ablation table).

Reads   --passages
Writes  RUN_DIR/self_edits.jsonl, one line per sample; results.json counts them
Run     python general-knowledge/generate_self_edits.py --run_dir runs/self-edits \\
            --passages rajpurkar/squad:train --n_passages 50 --k 5
"""

from dataclasses import dataclass

from knowledge.prompts import check_prompts
from knowledge.self_edits import sample_self_edits
from knowledge.settings import RoundSettings, SelfEditSettings
from knowledge.splits import load_round
from seal.arguments import run_program
from seal.policy import open_policy
from seal.run import Run
from seal.settings import ModelSettings, RunSettings


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings, ModelSettings, RoundSettings, SelfEditSettings):
    """Flags of generate_self_edits.py."""


def main(config: Config) -> None:
    """Sample k self-edits for every passage and say how many ended by themselves."""
    passages = load_round(config)
    check_prompts(config)
    run = Run.open(config.run_dir, config)
    run.say(
        f"{len(passages)} passages x {config.k} self-edits, at most {config.max_new_tokens} tokens"
    )
    with open_policy(config.model, config, run.path("vllm.log")) as policy:
        self_edits = sample_self_edits(run, passages, policy, config, config.seed)
    ended = sum(self_edit.finish_reason == "stop" for self_edit in self_edits)
    tokens = sum(self_edit.n_tokens for self_edit in self_edits)
    run.write_results(
        {
            "n_passages": len(passages),
            "n_self_edits": len(self_edits),
            "n_ended": ended,
            "n_tokens": tokens,
        }
    )
    run.say(
        f"{len(self_edits)} self-edits, {ended} ended by themselves: {run.path('self_edits.jsonl')}"
    )


if __name__ == "__main__":
    run_program(main, Config)
