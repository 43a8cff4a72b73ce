"""The paper's knowledge tables: paper, the authors' release and this project side by side.

Every figure but the printed ones is computed from files: accuracies with 95% intervals over
passages and paired differences. A part of the release will do; what is missing is shown as "-".

Reads   --release, a clone of the authors' repository or a part of it; --ours, run folders
Writes  OUTPUT/tables.md, tables.json and csv/TABLE.csv, or --markdown, --json and --csv
Run     python general-knowledge/make_tables.py --release SEAL --judge offline \\
            --ours runs/single-passage-table/table seal-2=single-passage/seal
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from knowledge.experiments.retention import PooledRuns
from knowledge.judging.judges import open_judge
from knowledge.release.records import Sequences
from knowledge.release.results import pool_sequences
from knowledge.release.scan import read_release
from knowledge.settings import JudgeSettings
from knowledge.tables.compare import (
    Cell,
    cells_of,
    comparisons_of,
    mismatches,
    missing_rows,
    misstatements,
    our_columns,
    printed_cells,
    regraded_columns,
    release_column,
)
from knowledge.tables.our_runs import parse_runs
from knowledge.tables.paper import load_paper_tables
from knowledge.tables.text import (
    format_deviations,
    format_mismatches,
    format_missing,
    format_table,
    introduction,
    matrix_rows,
    to_csv,
)
from seal.arguments import arg, run_program
from seal.records import write_json, write_text


@dataclass(frozen=True, kw_only=True)
class Config(JudgeSettings):
    """Flags of make_tables.py."""

    release: Path | None = arg("folder with files of the authors' release, in any layout", None)
    ours: list[str] = arg("RUN_DIR LABEL=TABLE/ROW ...: rows of a run of ours, several runs", [])
    judge: Literal["offline", "openai"] | None = arg(
        "grades the released answers anew, beside the verdicts in the files; offline: a calibrated"
        " rule, openai: a chat model",
        None,
    )
    output: Path = arg("folder for tables.md, tables.json and csv/", Path("runs/tables"))
    markdown: Path | None = arg("file for the tables instead of OUTPUT/tables.md", None)
    json: Path | None = arg("file for all figures instead of OUTPUT/tables.json", None)
    csv: Path | None = arg("folder for a CSV file per table instead of OUTPUT/csv", None)


def main(config: Config) -> None:
    """Join the sources, write the tables in three forms, and print them."""
    tables = load_paper_tables()
    runs = parse_runs(config.ours, tables)
    release = read_release(config.release) if config.release else None
    columns, remarks = [], []
    if release:
        column, files = release_column(release)
        columns.append(column)
        remarks = [
            format_mismatches(tables, mismatches(tables, column), misstatements(column, files)),
            format_missing(missing_rows(tables, column), release.problems),
        ]
        if config.judge:
            columns += regraded_columns(column, open_judge(config), config.max_ungraded)
    for run in runs:
        columns += our_columns(run, tables)
    cells = printed_cells(tables)
    comparisons = []
    for column in columns:
        cells += cells_of(column, tables)
        comparisons += comparisons_of(column, tables) if column.main else []
    texts = [format_table(table, columns, cells, comparisons) for table in tables]
    pooled = pool_sequences(release.of(Sequences)) if release else None
    if pooled:
        remarks.insert(0, format_deviations(pooled[0]))
    text = "\n\n".join([introduction(columns), *texts, *remarks])
    write_text(config.markdown or config.output / "tables.md", text + "\n")
    write_json(config.json or config.output / "tables.json", list(map(asdict, cells)))
    write_csv(config.csv or config.output / "csv", cells, pooled)
    print(text)


def write_csv(
    folder: Path, cells: Sequence[Cell], pooled: tuple[PooledRuns, list[Sequences]] | None
) -> None:
    """A file per table, and one with the matrix of continual self-edits."""
    for table in dict.fromkeys(cell.table for cell in cells):
        rows = [asdict(cell) for cell in cells if cell.table == table]
        write_text(folder / f"{table}.csv", to_csv(rows))
    if pooled:
        write_text(folder / "continual-matrix.csv", to_csv(matrix_rows(pooled[0])))


if __name__ == "__main__":
    run_program(main, Config)
