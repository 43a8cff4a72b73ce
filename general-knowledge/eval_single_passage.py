"""The single-passage table: teach one passage at a time, then ask its questions closed-book.

Rows: no update; passage only; the passage and self-edits that --model writes, or that a file holds
(--self_edit_files LABEL=FILE). Each --policies LABEL=MODEL, such as a policy after RL, adds a row:
that model's own weights, taught by its own self-edits.

Reads   --passages (paper: the first 200 of SQuAD's shuffled validation passages)
Writes  RUN_DIR/ROW/self_edits.jsonl answers.jsonl grades.jsonl, RUN_DIR/table.md, results.json
Run     python general-knowledge/eval_single_passage.py --run_dir runs/table-1 \\
            --passages rajpurkar/squad:validation --policies seal=runs/rest-em/round-2/sft/model
"""

from pathlib import Path

from knowledge.data.passages import load_passages
from knowledge.data.splits import evaluation_passages
from knowledge.judging.judges import open_judge
from knowledge.settings import PassageSettings, TableSettings
from seal.command_line.arguments import arg
from seal.command_line.flag_values import count, labelled
from seal.command_line.program import run_program
from seal.records import write_text
from seal.run import RunSettings
from seal.settings import ModelSettings


class Config(RunSettings, ModelSettings, PassageSettings, TableSettings):
    """Flags of eval_single_passage.py."""

    n_passages: int = arg("passages (paper: 200)", 200, at_least=1, group="how much")
    k: int = arg("self-edits per passage (release: 1)", 1, at_least=1, at_most=1_000)
    repeats: int = arg("inner loops per self-edit (release: 1)", 1, at_least=1, at_most=1_000)
    self_edit_files: list[str] = arg("LABEL=self_edits.jsonl: a row with self-edits of a file", [])
    policies: list[str] = arg("LABEL=MODEL: a row with another policy, its weights and words", [])
    order: list[str] = arg("labels in the order of the table; other rows follow", [])


def main(config: Config) -> None:
    """Fill the table row by row, one policy after the other, and print it."""
    from knowledge.method import single_passage_table as tables
    from knowledge.method.open_run import open_run
    from knowledge.method.self_edits import read_self_edits
    from seal.loop.inner_loops import seconds_per_adapter
    from seal.loop.policy import open_policy

    passages = evaluation_passages(
        load_passages(config.passages), config.n_passages, config.shuffle_seed
    )
    factors = {"--n_passages": len(passages), "--k": config.k, "--repeats": config.repeats}
    count("adapters in a row", factors)
    files = {
        label: read_self_edits(Path(path), passages, config.k)
        for label, path in labelled(
            "--self_edit_files", config.self_edit_files, tables.ROWS
        ).items()
    }
    policies = labelled("--policies", config.policies, (*tables.ROWS, *files))
    models = dict.fromkeys([*tables.ROWS, *files], config.model) | policies
    labels = tables.in_order(list(models), config.order)
    judge = open_judge(config)
    run = open_run(
        config,
        {
            "--passages": passages,
            **{f"--self_edit_files {label}": given for label, given in files.items()},
        },
        {
            "--model": config.model,
            **{f"--policies {label}": model for label, model in policies.items()},
        },
        asked=passages,
        written_about=passages,
    )
    outcomes, log = {}, run.path("vllm.log")
    for model in dict.fromkeys(models.values()):
        with open_policy(model, config, log, config.lora_rank, config.slots) as policy:
            for label in [label for label in models if models[label] == model]:
                given = files.get(label)
                outcomes[label] = tables.fill_row(
                    run, label, passages, given, policy, judge, config, config.seed
                )
    ordered = {label: outcomes[label] for label in labels}
    rows = tables.summarize_rows(ordered, tables.SINGLE_PASSAGE, config.seed)
    run.write_results({"n_passages": len(passages), "judge": judge.name, "rows": rows})
    table = tables.format_rows(rows, tables.SINGLE_PASSAGE, seconds_per_adapter(run))
    write_text(run.path("table.md"), table + "\n")
    run.say(f"accuracy in percent, {len(passages)} passages, judge {judge.name}\n{table}")


if __name__ == "__main__":
    run_program(main, Config)
