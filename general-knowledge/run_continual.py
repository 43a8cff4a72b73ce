"""Self-edits one after the other: what is kept of the earlier ones (paper, section 5).

A sequence of 8 passages: for each, the policy as it has become writes a self-edit and learns it;
after each, all passages so far are asked again, closed-book. 8 runs of 8 sequences, each of its own
passages. The paper's policy here is SEAL after 2 rounds: give it as --model.

Reads   --passages (paper: SQuAD's validation split)
Writes  RUN_DIR/self_edits.jsonl            one line per self-edit
        RUN_DIR/answers.jsonl grades.jsonl  one line per cell of a sequence's matrix
        RUN_DIR/matrix.md, results.json     accuracy by number of edits (row) and passage (column),
                                            both standard deviations, and the three means
Run     python general-knowledge/run_continual.py --run_dir runs/continual \\
            --passages rajpurkar/squad:validation --model runs/rest-em/round-2/sft/model
"""

from knowledge.data.passages import load_passages
from knowledge.data.splits import evaluation_passages
from knowledge.judging.judges import open_judge
from knowledge.settings import PassageSettings, SequentialSettings
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.records import write_text
from seal.report.tables import percent
from seal.run import RunSettings
from seal.settings import ModelSettings


class Config(RunSettings, ModelSettings, PassageSettings, SequentialSettings, group="how much"):
    """Flags of run_continual.py."""

    n_passages: int = arg("passages of a sequence (paper: 8)", 8, at_least=1)
    sequences: int = arg("sequences of a run (paper: 8)", 8, at_least=1)
    runs: int = arg("runs (paper: 8)", 8, at_least=1)
    k: int = arg(
        "self-edits per passage, learned together (release: 1)", 1, at_least=1, at_most=10_000
    )


def main(config: Config) -> None:
    """Go through all sequences; print the mean matrix and its three means."""
    from knowledge.experiments import continual
    from knowledge.method.open_run import open_run
    from seal.loop.policy import open_policy

    passages = evaluation_passages(
        load_passages(config.passages),
        config.runs * config.sequences * config.n_passages,
        config.shuffle_seed,
    )
    sequences = continual.cut_into_sequences(
        passages, config.runs, config.sequences, config.n_passages
    )
    judge = open_judge(config)
    inputs, models = {"--passages": passages}, {"--model": config.model}
    run = open_run(config, inputs, models, asked=passages, written_about=passages)
    run.say(f"{len(sequences)} sequences of {config.n_passages} passages, {config.slots} at a time")
    # The steps of a sequence add up to one adapter
    rank = config.lora_rank * config.n_passages
    with open_policy(config.model, config, run.path("vllm.log"), rank, config.slots) as policy:
        continual.run_sequences(run, sequences, policy, judge, config, config.seed)
    results = {"judge": judge.name, **continual.summarize_sequences(run, sequences, config.seed)}
    table = continual.format_matrix(results["mean"])
    write_text(run.path("matrix.md"), table + "\n")
    run.write_results(results)
    figures = ", ".join(
        f"{name.replace('_', ' ')} {percent(figure)}"
        for name, figure in results["retention"].items()
    )
    run.say(f"accuracy in percent, judge {judge.name}\n{table}\n{figures}")


if __name__ == "__main__":
    run_program(main, Config)
