"""Continued pretraining: teach many passages in one finetune, then ask their questions closed-book.

The defaults are those of the paper's second version: full finetuning on 200 passages and 5
self-edits of each, 500 questions. The first version's are
    --method lora --passage_copies with-each --epochs 3 --learning_rate 1e-3 --warmup_ratio 0
    --n_questions 0

Reads   --passages, and --self_edits of a generate_self_edits.py run on the same passages
Writes  RUN_DIR/finetuned/model                  the finetuned model, a standalone folder
        RUN_DIR/ROW/answers.jsonl grades.jsonl   ROW: no-update, finetuned
        RUN_DIR/table.md, results.json           accuracy over questions and over passages
Run     python general-knowledge/run_cpt.py --run_dir runs/cpt \\
            --passages rajpurkar/squad:validation --self_edits runs/self-edits/self_edits.jsonl
"""

import time
from pathlib import Path

from knowledge.data.passages import load_passages
from knowledge.data.splits import evaluation_passages
from knowledge.judging.judges import open_judge
from knowledge.settings import PassageSettings, PretrainingSettings
from seal.command_line.arguments import GROUPS, arg
from seal.command_line.flag_values import LARGEST_SEED
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.records import write_text
from seal.run import RunSettings
from seal.settings import ModelSettings


class Config(RunSettings, ModelSettings, PassageSettings, PretrainingSettings, group="how much"):
    """Flags of run_cpt.py."""

    self_edits: str | None = arg(
        "self_edits.jsonl of a generate_self_edits.py run", None, group=GROUPS[0]
    )
    k: int = arg(
        "self-edits per passage; 0: the passages alone (paper: 5)", 5, at_least=0, at_most=10_000
    )
    n_passages: int = arg("passages (paper: 200, 2067)", 200, at_least=1)
    n_questions: int = arg(
        "questions asked, drawn from all with seed 42 (paper: 500 in v2); 0: all", 500, at_least=0
    )
    seed: int = arg(
        "every random choice derives from it (release: 43)", 43, at_least=0, at_most=LARGEST_SEED
    )


def main(config: Config) -> None:
    """Ask, finetune, ask again; print both rows."""
    from knowledge.experiments import continued_pretraining as cpt
    from knowledge.method import single_passage_table as tables
    from knowledge.method.open_run import open_run
    from knowledge.method.self_edits import read_self_edits
    from seal.training.sft import check_processes, finetune

    if config.k and not config.self_edits:
        raise UserError(f"--k {config.k} needs --self_edits FILE; --k 0 is for the passages alone")
    passages = evaluation_passages(
        load_passages(config.passages), config.n_passages, config.shuffle_seed
    )
    self_edits = read_self_edits(Path(config.self_edits), passages, config.k) if config.k else []
    rows = cpt.pretraining_rows(passages, self_edits, config)
    asked = cpt.with_questions(passages, config.n_questions)
    job = cpt.pretraining_job(config, config, config.seed)
    check_processes(job.batch_size, config.processes)
    judge = open_judge(config)
    run = open_run(
        config,
        {"--passages": [passages, asked], "--self_edits": self_edits},
        {"--model": config.model},
        asked=asked,
        adapts=config.method == "lora",
    )
    n_questions = sum(len(passage.questions) for passage in asked)
    run.say(
        f"{len(passages)} passages, {len(self_edits):,} self-edits: {len(rows):,} training"
        f" sequences, {n_questions:,} questions"
    )
    before = cpt.examine(run.part("no-update"), asked, config.model, config, judge, config)
    start, part = time.perf_counter(), run.part("finetuned")
    fsdp = cpt.FSDP_CONFIG if config.method == "full" else None
    model = finetune(rows, job, part.folder, config.processes, fsdp)
    run.metric("finetuning", seconds=time.perf_counter() - start, sequences=len(rows))
    after = cpt.examine(part, asked, str(model), config, judge, config)
    outcomes = {"no-update": before, "finetuned": after}
    numbers = tables.summarize_rows(outcomes, cpt.LAYOUT, config.seed)
    run.write_results(
        {
            "n_passages": len(passages),
            "n_self_edits": len(self_edits),
            "n_training_sequences": len(rows),
            "n_questions": n_questions,
            "judge": judge.name,
            "rows": numbers,
        }
    )
    table = tables.format_rows(numbers, cpt.LAYOUT)
    write_text(run.path("table.md"), table + "\n")
    run.say(f"accuracy in percent, judge {judge.name}\n{table}\nthe model: {model}")


if __name__ == "__main__":
    run_program(main, Config)
