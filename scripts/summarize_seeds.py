"""Put the tables of several seeds together: means, paired differences, curves over rounds.

With several seeds, errors are over seeds and differences paired over them; with one, over its
passages or tasks. Rows that only some seeds have count where they are.

Reads   FOLDER/table/results.json of each seed, FOLDER/table/metrics.jsonl and
        FOLDER/rest-em/metrics.jsonl; the paper's numbers from TREE/small_model/table.json
Writes  OUTPUT/summary.json, summary.md, rounds-general-knowledge.png, rounds-few-shot.png
Run     python scripts/summarize_seeds.py --output runs/small-models \\
            --knowledge runs/seed-0 runs/seed-1 --few_shot runs/arc-seed-0
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from seal.command_line.arguments import Settings, arg
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.records import read_json, write_json, write_text
from seal.report.seeds import (
    OWN_SERIES,
    SeedRun,
    TableKind,
    format_seeds,
    mean_usage,
    read_seed,
    round_curves,
    summarize_seeds,
)

COMPARISON = (
    "The paper's column is of another model and other data: only the shape of the two compares."
)


class Config(Settings):
    """Flags of summarize_seeds.py."""

    output: Path = arg("folder for the summary")
    knowledge: list[Path] = arg("one folder per seed of the knowledge domain", [])
    few_shot: list[Path] = arg("one folder per seed of the few-shot domain", [])


def main(config: Config) -> None:
    """Summarize the tables of one tree after the other, and print them."""
    from seal.report.plots import plot_seeds

    folders = {"general-knowledge": config.knowledge, "few-shot": config.few_shot}
    kinds = {tree: table_kind(tree) for tree, of_tree in folders.items() if of_tree}
    if not kinds:
        raise UserError("nothing to summarize; name folders with --knowledge or --few_shot")
    seeds = {tree: read_seeds(folders[tree], kind.field) for tree, kind in kinds.items()}
    summaries = {tree: summarize(tree, kind, seeds[tree]) for tree, kind in kinds.items()}
    config.output.mkdir(parents=True, exist_ok=True)
    for tree, kind in kinds.items():
        if curves := round_curves(seeds[tree]):
            path, controls = config.output / f"rounds-{tree}.png", curves.keys() - {OWN_SERIES}
            plot_seeds(curves, path, kind.measure, dashed=controls)
    text = "\n".join(text for _, text in summaries.values())
    write_text(config.output / "summary.md", text)
    write_json(config.output / "summary.json", {t: facts for t, (facts, _) in summaries.items()})
    print(text)


def table_kind(tree: str) -> TableKind:
    """What the tables of a tree of this repository measure."""
    repository = Path(__file__).resolve().parent.parent
    return TableKind(**read_json(repository / tree / "small_model" / "table.json"))


def read_seeds(folders: Sequence[Path], field: str) -> list[SeedRun]:
    """The runs in folders, under names that differ; UserError for a folder that is given twice."""
    if twice := [folder for place, folder in enumerate(folders) if folder in folders[:place]]:
        raise UserError(f"{twice[0]} is given twice; a seed counts once")
    seeds = [read_seed(folder, field) for folder in folders]
    if len({seed.name for seed in seeds}) == len(seeds):
        return seeds
    return [replace(seed, name=str(path)) for seed, path in zip(seeds, folders, strict=True)]


def summarize(tree: str, kind: TableKind, seeds: Sequence[SeedRun]) -> tuple[dict[str, Any], str]:
    """A tree's part of summary.json (fractions; None: never noted) and of summary.md (percent)."""
    arms, usage = summarize_seeds(seeds, kind.clusters), mean_usage(seeds)
    facts = {
        "arms": {arm.label: asdict(arm.value) for arm in arms},
        "seconds": usage and usage.seconds,
        "peak_memory_mb": usage and usage.peak_memory_mb,
    }
    lines = [
        f"## {tree}: {kind.measure} in percent\n",
        format_seeds(arms, seeds, kind.paper),
        f"\n{COMPARISON}",
    ]
    if usage:
        lines.append(
            f"A seed took {usage.seconds / 60:.1f} minutes, and {usage.peak_memory_mb:,.0f} MB of"
            " memory at most."
        )
    return facts, "\n".join([*lines, ""])


if __name__ == "__main__":
    run_program(main, Config)
