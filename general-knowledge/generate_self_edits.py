"""Have self-edits written: the first half of the E-step (paper, section 3.1; prompts: ablation).

The policy writes them or, with --writer openai, a chat model: the paper's rows of GPT-4.1.

Reads   --passages
Writes  RUN_DIR/self_edits.jsonl, one line per sample; results.json counts them
        RUN_DIR/missing.jsonl, why others are missing; the same command asks again for these
Run     python general-knowledge/generate_self_edits.py --run_dir runs/self-edits \\
            --passages rajpurkar/squad:train --n_passages 50 --k 5
"""

from knowledge.data.splits import load_round
from knowledge.method.cost import estimate_writing
from knowledge.settings import RoundSettings, SelfEditSettings, WriterSettings
from seal.command_line.flag_values import count
from seal.command_line.program import run_program
from seal.run import RunSettings


class Config(RunSettings, RoundSettings, SelfEditSettings, WriterSettings):
    """Flags of generate_self_edits.py."""


def main(config: Config) -> None:
    """Have k self-edits written for every passage and say how many ended by themselves."""
    from knowledge.method.open_run import open_run
    from knowledge.method.self_edits import self_edit_assignments, write_self_edits
    from knowledge.method.writers import count_characters, open_writer, report_missing

    passages = load_round(config)
    count("self-edits", {"--n_passages": len(passages), "--k": config.k})
    assignments = self_edit_assignments(passages, config)
    characters = count_characters(assignments, config)
    estimate = estimate_writing(len(assignments), characters, config)
    writing = open_writer(config, config.run_dir.absolute() / "vllm.log")
    models = {"--model": config.model} if config.writer == "policy" else {}
    run = open_run(config, {"--passages": passages}, models, written_about=passages)
    run.say(f"{len(passages)} passages x {config.k} self-edits, {estimate}")
    with writing as writer:
        self_edits, missing = write_self_edits(run, passages, writer, config, config.seed)
    report_missing(run, missing, len(assignments), config.max_missing, "self-edits")
    ended = sum(self_edit.finish_reason == "stop" for self_edit in self_edits)
    run.write_results(
        {
            "writer": writer.name,
            "n_passages": len(passages),
            "n_self_edits": len(self_edits),
            "n_missing": len(missing),
            "n_ended": ended,
            "n_tokens": sum(self_edit.n_tokens for self_edit in self_edits),
        }
    )
    run.say(
        f"{len(self_edits)} self-edits, {ended} ended by themselves: {run.path('self_edits.jsonl')}"
    )


if __name__ == "__main__":
    run_program(main, Config)
