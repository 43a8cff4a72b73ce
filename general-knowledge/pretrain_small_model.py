"""Train a small model from scratch on an invented world, to see SEAL learn on a CPU.

The world's people are fictional. The model knows some of them, can answer questions about them
closed-book, and writes self-edits in several styles, useful and useless ones. Measurements with it
show the method at work, and say nothing about language models. 20 minutes on one CPU core.

Reads   general-knowledge/small_model/prompts, how it will be addressed
Writes  RUN_DIR/model             a transformers folder (Llama, 1.1 million weights, 4 MB)
        RUN_DIR/training.json     passages about strangers, for ReST-EM
        RUN_DIR/evaluation.json   passages about other strangers, for the single-passage table
        RUN_DIR/oracle.jsonl      self-edits for these, written by the world itself: an upper bound
        RUN_DIR/passage-repeated.jsonl   the passage repeated for the same number of lines
        RUN_DIR/results.json      what it can do
Run     python general-knowledge/pretrain_small_model.py --run_dir runs/small-model
"""

from knowledge.data.passages import load_passages
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.records import read_text, write_json, write_jsonl
from seal.run import Run, RunSettings


class Config(RunSettings, group="how much"):
    """Flags of pretrain_small_model.py."""

    pretraining_steps: int = arg("steps, of about 1,700 tokens each", 3600, at_least=1)
    measure_every: int = arg(
        "steps between checkpoints and measurements", 250, machine=True, at_least=1, group="run"
    )


def main(config: Config) -> None:
    """Make the world of the seed, write its passages, and train the model or go on training it."""
    from knowledge.small_world.people import make_world, passage_records
    from knowledge.small_world.pretraining import Lessons, reference_self_edits
    from knowledge.small_world.tokenizer import PROMPTS
    from seal.training.from_scratch import pretrain

    prompts = {path.name: read_text(path) for path in sorted(PROMPTS.glob("*.txt"))}
    run = Run.open(config.run_dir, config, {f"{PROMPTS}": prompts})
    world = make_world(config.seed)
    for name, people in [("training", world.training), ("evaluation", world.evaluation)]:
        write_json(run.path(f"{name}.json"), passage_records(people, config.seed))
    passages = load_passages(run.path("evaluation.json"))
    references = reference_self_edits(world.evaluation, passages, config.seed)
    for kind, self_edits in references.items():
        write_jsonl(run.path(f"{kind}.jsonl"), (self_edit.record for self_edit in self_edits))
    if run.results() is None:
        lessons = Lessons(config.seed, config.pretraining_steps, world)
        run.write_results(pretrain(run, lessons, config.measure_every))
        run.path("checkpoint.pt").unlink(missing_ok=True)
    run.say(f"{run.path('model')}: {Lessons.describe(run.results())}")


if __name__ == "__main__":
    run_program(main, Config)
