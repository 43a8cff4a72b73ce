"""EntiGraph, a baseline of continued pretraining (paper v2; Yang et al. 2024).

A writer lists the entities of each passage and describes how pairs, or pairs and triples, of them
are related. The writer is the policy or, with --writer openai, a chat model.

Reads   --passages
Writes  RUN_DIR/entities.jsonl, relations.jsonl   what the writer wrote
        RUN_DIR/self_edits.jsonl                  one per passage: its relations
        RUN_DIR/missing.jsonl                     why others are missing
Run     python general-knowledge/generate_entigraph.py --run_dir runs/entigraph --round 0 \\
            --passages rajpurkar/squad:validation --n_passages 200 --writer openai
"""

from knowledge.data.splits import load_round
from knowledge.method.cost import estimate_writing
from knowledge.method.training_texts import MAX_PIECES
from knowledge.settings import EntiGraphSettings, RoundSettings, WriterSettings
from seal.command_line.program import run_program
from seal.run import RunSettings


class Config(RunSettings, RoundSettings, WriterSettings, EntiGraphSettings):
    """Flags of generate_entigraph.py."""


def main(config: Config) -> None:
    """Have entities and relations written; say how many texts there are."""
    from knowledge.experiments import entigraph
    from knowledge.method.open_run import open_run
    from knowledge.method.writers import count_characters, open_writer

    passages = load_round(config)
    prompts = entigraph.check_entigraph(config.prompt_folder)
    most = sum(entigraph.relations_at_most(config).values())
    # A relation is asked for with the passage, as its entities are
    characters = (1 + most) * count_characters(entigraph.entity_assignments(passages), config)
    estimate = estimate_writing(len(passages) * (1 + most), characters, config)
    writing = open_writer(config, config.run_dir.absolute() / "vllm.log")
    run = open_run(
        config,
        {"--passages": passages, "--prompts": prompts},
        {"--model": config.model} if config.writer == "policy" else {},
        written_about=passages,
        prompt_kind=entigraph.ENTITIES,
    )
    run.say(f"{len(passages)} passages, at most {most} relations each: {estimate}")
    if most > MAX_PIECES:
        run.say(f"inner loops will train on the first {MAX_PIECES} relations of a passage alone")
    with writing as writer:
        self_edits, counts = entigraph.write_entigraph(
            run, passages, writer, config, config.seed, config.max_missing
        )
    run.write_results(
        {
            "writer": writer.name,
            "relations": config.relations,
            "n_passages": len(passages),
            "n_self_edits": len(self_edits),
            **counts,
            "n_ended": sum(self_edit.finish_reason == "stop" for self_edit in self_edits),
            "n_tokens": sum(self_edit.n_tokens for self_edit in self_edits),
        }
    )
    run.say(
        f"{counts['n_relations']:,} relations in {len(self_edits)} self-edits:"
        f" {run.path('self_edits.jsonl')}"
    )


if __name__ == "__main__":
    run_program(main, Config)
