"""The figures of the paper's knowledge domain, from the authors' release and this project's runs.

ReST-EM by self-edit prompt, what sequential self-edits keep and forget, and accuracy by the number
of passages learned at once. Hollow points are printed in the paper, filled ones computed from
files, with 95% intervals over passages.

Reads   --release, a clone of the authors' repository or a part of it; --ours, run folders
Writes  OUTPUT/rest-em.png, continual.png (if the release's part has it) and passages.png
Run     python general-knowledge/make_figures.py --release SEAL --output runs/figures
"""

from pathlib import Path

from knowledge.release.records import Sequences
from seal.arguments import Settings, arg, run_program


class Config(Settings):
    """Flags of make_figures.py."""

    release: Path | None = arg("folder with files of the authors' release, in any layout", None)
    ours: list[str] = arg("RUN_DIR LABEL=TABLE/ROW ...: rows of a run of ours, several runs", [])
    output: Path = arg("folder for the PNG files", Path("runs/figures"))


def main(config: Config) -> None:
    """Draw what the sources have; the paper's figures are always there."""
    from knowledge.release.results import pool_sequences
    from knowledge.release.scan import read_release
    from knowledge.tables.compare import our_columns, release_column
    from knowledge.tables.our_runs import parse_runs
    from knowledge.tables.paper import load_paper_tables
    from knowledge.tables.plots import plot_continual, plot_passages, plot_prompts

    tables = {table.id: table for table in load_paper_tables()}
    runs = parse_runs(config.ours, list(tables.values()))
    release = read_release(config.release) if config.release else None
    columns = [release_column(release)[0]] if release else []
    for run in runs:
        columns += [column for column in our_columns(run, list(tables.values())) if column.main]
    plot_prompts(tables["prompts"], columns, config.output / "rest-em.png")
    plot_passages(list(tables.values()), columns, config.output / "passages.png")
    pooled = pool_sequences(release.of(Sequences)) if release else None
    if pooled:
        plot_continual(pooled[0].mean, config.output / "continual.png")
    drawn = sorted(path.name for path in config.output.glob("*.png"))
    print(f"{config.output}: {', '.join(drawn)}{'' if pooled else '; no runs for continual.png'}")


if __name__ == "__main__":
    run_program(main, Config)
