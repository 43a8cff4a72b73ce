"""Teach one passage of your own and see what the model answers before and after.

The model writes a self-edit of the passage, a LoRA adapter is trained on it and on the passage, and
your questions are asked closed-book, without the passage (paper, figure 2).

Reads   --passage_file, a plain text
Writes  RUN_DIR/adapter        a PEFT adapter folder to keep
        RUN_DIR/self_edits.jsonl, results.json (the answers before and after)
Run     python general-knowledge/adapt.py --run_dir runs/adapt --model Qwen/Qwen2.5-7B \\
            --passage_file news.txt --title "Harbour festival" --question "Who opened it?"
"""

from pathlib import Path
from typing import Literal

from knowledge.data.passages import Passage, Question
from knowledge.settings import InnerLoopSettings, SelfEditSettings
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.records import read_text
from seal.run import RunSettings
from seal.seeds import derive_seed
from seal.settings import ModelSettings


class Config(RunSettings, ModelSettings, SelfEditSettings, InnerLoopSettings):
    """Flags of adapt.py."""

    passage_file: Path = arg("text file with the passage")
    question: list[str] = arg("questions to ask, each in quotes")
    title: str | None = arg("topic of the passage; default: the file's name", None)
    sampler: Literal["vllm", "transformers"] = arg(
        "transformers: in this process; vllm: a vLLM server of its own", "transformers"
    )
    k: int = arg(
        "self-edits to write; the adapter is trained on all of them", 1, at_least=1, at_most=10_000
    )


def main(config: Config) -> None:
    """Write self-edits, train one adapter on all of them, ask before and after."""
    from knowledge.method.closed_book import Trial, ask
    from knowledge.method.inner_loop import adapter_job, self_edit_texts
    from knowledge.method.open_run import open_run
    from knowledge.method.self_edits import sample_self_edits
    from seal.loop.inner_loops import train_kept
    from seal.loop.policy import open_policy

    passage = read_passage(config)
    inputs, models = {"--passage_file --title": passage}, {"--model": config.model}
    run = open_run(config, inputs, models, asked=[passage], written_about=[passage])
    log = run.path("vllm.log")
    with open_policy(config.model, config, log, config.lora_rank, config.slots) as policy:
        self_edits = sample_self_edits(run, [passage], policy, config, config.seed)
        run.say("\n".join(["self-edit:", *(self_edit.text for self_edit in self_edits)]))
        texts = dict.fromkeys(
            text
            for self_edit in self_edits
            for text in self_edit_texts(passage, self_edit.text, config)
        )
        trial = Trial(passage.id, passage, tuple(texts), derive_seed(config.seed, passage.id))
        job = adapter_job(trial, policy.tokenizer, config)
        adapter = train_kept(run, policy, job, "adapter", config.target_modules)
        before, after = (
            [answer["answer"] for answer in record["answers"]]
            for record in ask(policy, [(trial, None), (trial, adapter)], config)
        )
    asked = zip(config.question, before, after, strict=True)
    answers = [{"question": q, "before": b, "after": a} for q, b, a in asked]
    for answer in answers:
        run.say("\n".join(f"{name:8} {text}" for name, text in answer.items()))
    run.write_results({"answers": answers})
    run.say(f"adapter kept in {adapter}")


def read_passage(config: Config) -> Passage:
    """The passage and the questions as the command line gives them; nothing is graded."""
    text = read_text(config.passage_file).strip()
    if not text:
        raise UserError(f"{config.passage_file} is blank; put the passage into it")
    title = config.title or config.passage_file.stem.replace("_", " ")
    questions = tuple(Question(question, answer="") for question in config.question)
    return Passage(config.passage_file.stem, title, text, questions, str(config.passage_file))


if __name__ == "__main__":
    run_program(main, Config)
