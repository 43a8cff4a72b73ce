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
from seal.command_line.arguments import Settings, arg
from seal.command_line.program import run_program


class Config(Settings):
    """Flags of make_figures.py."""

    release: Path | None = arg("folder with files of the authors' release, in any layout", None)
    ours: list[str] = arg("RUN_DIR LABEL=TABLE/ROW ...: rows of a run of ours, several runs", [])
    output: Path = arg("folder for the PNG files", Path("runs/figures"))


def main(config: Config) -> None:
    """Draw what the sources have; the paper's figures are always there."""
    from knowledge.release.results import pool_sequences
    from knowledge.release.scan import read_release
    from knowledge.tables.columns import our_columns, release_column
    from knowledge.tables.paper import load_paper_tables
    from knowledge.tables.plots import plot_continual, plot_passages, plot_prompts

    tables = load_paper_tables()
    ours = [column for column in our_columns(config.ours, tables) if column.main]
    release = read_release(config.release) if config.release else None
    columns = [release_column(release)[0], *ours] if release else ours
    plot_prompts(tables, columns, config.output / "rest-em.png")
    plot_passages(tables, columns, config.output / "passages.png")
    pooled = pool_sequences(release.of(Sequences)) if release else None
    if pooled:
        plot_continual(pooled.mean, config.output / "continual.png")
    drawn = sorted(path.name for path in config.output.glob("*.png"))
    print(f"{config.output}: {', '.join(drawn)}{'' if pooled else '; no runs for continual.png'}")


if __name__ == "__main__":
    run_program(main, Config)
