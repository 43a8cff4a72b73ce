"""Read the authors' release, or a part of it, into this project's files, and check it.

Files are recognized by their content. Missing files are listed; one that cannot be read is named
with the reason and left out. With --prompts DIR the release's prompt wording is written there, for
the --prompts flag of the other programs.

Reads   --release, a clone of the authors' repository or a part of it
Writes  OUTPUT/self_edits/…, answers/…, rewards/… and sft/….jsonl by the path of their source,
        continual.json, and report.json: what was found, missing, unreadable, and the checks
Run     python general-knowledge/import_release.py --release SEAL --output runs/release \\
            --prompts general-knowledge/prompts/release
"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from knowledge.release.export import continual_record, export_prompts, exported
from knowledge.release.scan import Release, read_release
from knowledge.release.verify import check_selection, check_statistics
from seal.command_line.arguments import Settings, arg
from seal.command_line.program import run_program
from seal.records import write_json, write_jsonl


class Config(Settings):
    """Flags of import_release.py."""

    release: Path = arg("folder with files of the authors' release, in any layout")
    output: Path = arg("folder for the records")
    prompts: Path | None = arg("folder of prompt files to write the release's wording to", None)


def main(config: Config) -> None:
    """Write every record, and report what was found, what is missing and what agrees."""
    release = read_release(config.release)
    lines = {}
    for path, records in exported(release):
        write_jsonl(config.output / path, records)
        lines[str(path)] = len(records)
    if continual := continual_record(release):
        write_json(config.output / "continual.json", continual)
    report = report_on(release) | {"written": lines}
    if config.prompts:
        report["prompts"] = export_prompts(release, config.prompts)
    write_json(config.output / "report.json", report)
    print(describe(report))


def report_on(release: Release) -> dict[str, Any]:
    """What is there, what is not, and whether the release's own arithmetic is reproduced."""
    from knowledge.tables.columns import release_column
    from knowledge.tables.compare import missing_rows
    from knowledge.tables.paper import load_paper_tables

    missing = missing_rows(load_paper_tables(), release_column(release)[0])
    return {
        "found": {str(file.path): type(file).__name__ for file in release.files},
        "missing": {"/".join(place): file for place, file in missing},
        "unreadable": {str(path): reason for path, reason in release.problems.items()},
        "selection": list(map(asdict, check_selection(release))),
        "statistics": list(map(asdict, check_statistics(release))),
    }


def describe(report: dict[str, Any]) -> str:
    """The report for the screen."""
    kinds = Counter(report["found"].values())
    found = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    written = f"written: {sum(report['written'].values())} records"
    lines = [f"found: {found or 'nothing of the release'}", written]
    lines += [f"missing for {row}: {file}" for row, file in report["missing"].items()]
    lines += [f"not read: {path}: {reason}" for path, reason in report["unreadable"].items()]
    for check in report["selection"]:
        source = check["rewards_file"] or "no rewards here"
        equal = f"{check['n_equal']} of {check['n_rows']} rows selected alike"
        lines.append(f"{check['sft_file']}: {equal} ({source})")
    agreeing = [check for check in report["statistics"] if not check["differing"]]
    lines.append(f"overall figures: {len(agreeing)} of {len(report['statistics'])} files agree")
    lines += [f"{c['file']}: {c['differing']}" for c in report["statistics"] if c["differing"]]
    prompts = report.get("prompts", {})
    lines += [f"prompt {kind}: {problem or 'written'}" for kind, problem in prompts.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    run_program(main, Config)
