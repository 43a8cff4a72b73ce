"""Put the tables of several seeds together: means, paired differences, curves over rounds.

With several seeds, errors are over seeds and differences paired over them; with one, over its
passages or tasks. Rows that only some seeds have count where they are.

Reads   FOLDER/table/results.json of each seed, FOLDER/table/metrics.jsonl and
        FOLDER/rest-em/metrics.jsonl; the paper's numbers from TREE/small_model/paper.json
Writes  OUTPUT/summary.json, summary.md, rounds-general-knowledge.png, rounds-few-shot.png
Run     python scripts/summarize_seeds.py --output runs/small-models \\
            --knowledge runs/seed-0 runs/seed-1 --few_shot runs/arc-seed-0
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from seal.arguments import arg, run_program
from seal.errors import UserError
from seal.records import read_json, write_json, write_text
from seal.report.seeds import (
    OWN_SERIES,
    ArmSummary,
    SeedRun,
    format_seeds,
    mean_usage,
    read_seed,
    round_curves,
    summarize_seeds,
)

COMPARISON = (
    "The paper's column is of another model and other data: only the shape of the two compares."
)


class Domain(NamedTuple):
    """A tree of this repository, what its tables measure, and over what."""

    tree: str
    field: str
    measure: str
    clusters: str


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of summarize_seeds.py."""

    output: Path = arg("folder for the summary")
    knowledge: list[Path] = arg("one folder per seed of the knowledge domain", [])
    few_shot: list[Path] = arg("one folder per seed of the few-shot domain", [])


def main(config: Config) -> None:
    """Summarize one domain after the other, and print their tables."""
    # A heavy import, once the flags are known to be right
    from seal.report.plots import plot_seeds

    given = {
        Domain("general-knowledge", "accuracy", "accuracy", "passages"): config.knowledge,
        Domain("few-shot", "success_rate", "success", "tasks"): config.few_shot,
    }
    seeds = {domain: read_seeds(domain, folders) for domain, folders in given.items() if folders}
    if not seeds:
        raise UserError("nothing to summarize; name folders with --knowledge or --few_shot")
    summary, texts = {}, []
    config.output.mkdir(parents=True, exist_ok=True)
    for domain, of_domain in seeds.items():
        arms = summarize_seeds(of_domain, domain.clusters)
        summary[domain.tree] = describe(arms, of_domain)
        texts.append(format_domain(domain, arms, of_domain))
        if curves := round_curves(of_domain):
            path = config.output / f"rounds-{domain.tree}.png"
            plot_seeds(curves, path, domain.measure, dashed=curves.keys() - {OWN_SERIES})
    write_text(config.output / "summary.md", "\n".join(texts))
    write_json(config.output / "summary.json", summary)
    print("\n".join(texts))


def read_seeds(domain: Domain, folders: Sequence[Path]) -> list[SeedRun]:
    """The runs of a domain, under names that differ; UserError for a folder that is given twice."""
    if twice := [folder for place, folder in enumerate(folders) if folder in folders[:place]]:
        raise UserError(f"{twice[0]} is given twice; a seed counts once")
    seeds = [read_seed(folder, domain.field) for folder in folders]
    if len({seed.name for seed in seeds}) == len(seeds):
        return seeds
    return [replace(seed, name=str(path)) for seed, path in zip(seeds, folders, strict=True)]


def describe(arms: Sequence[ArmSummary], seeds: Sequence[SeedRun]) -> dict[str, Any]:
    """A domain's part of summary.json; fractions, not percent. None: never noted."""
    usage = mean_usage(seeds)
    return {
        "arms": {arm.label: asdict(arm.value) for arm in arms},
        "seconds": usage and usage.seconds,
        "peak_memory_mb": usage and usage.peak_memory_mb,
    }


def format_domain(domain: Domain, arms: Sequence[ArmSummary], seeds: Sequence[SeedRun]) -> str:
    """A domain's part of summary.md."""
    tree = Path(__file__).resolve().parent.parent / domain.tree
    lines = [
        f"## {domain.tree}: {domain.measure} in percent\n",
        format_seeds(arms, seeds, read_json(tree / "small_model" / "paper.json")),
        f"\n{COMPARISON}",
    ]
    if usage := mean_usage(seeds):
        lines.append(
            f"A seed took {usage.seconds / 60:.1f} minutes, and {usage.peak_memory_mb:,.0f} MB of"
            " memory at most."
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    run_program(main, Config)
