"""The paper's knowledge tables: paper, the authors' release and this project side by side.

Every number but the printed ones is computed from files: accuracies with 95% intervals over
passages and paired differences. A part of the release is enough; what is missing is shown as "-".

Reads   --release, a clone of the authors' repository or a part of it; --ours, run folders
Writes  OUTPUT/tables.md, tables.json and csv/TABLE.csv, or --markdown, --json and --csv
Run     python general-knowledge/make_tables.py --release SEAL --judge offline \\
            --ours runs/single-passage-table/table seal-2=single-passage/seal
"""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from knowledge.judging.judges import open_judge
from knowledge.settings import JudgeSettings
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.records import write_json, write_text


class Config(JudgeSettings):
    """Flags of make_tables.py."""

    release: Path | None = arg("folder with files of the authors' release, in any layout", None)
    ours: list[str] = arg("RUN_DIR LABEL=TABLE/ROW ...: rows of a run of ours, several runs", [])
    judge: Literal["offline", "openai"] | None = arg(
        "grades the released answers again, beside the verdicts in the files; offline: a calibrated"
        " rule, openai: a chat model",
        None,
    )
    output: Path = arg("folder for tables.md, tables.json and csv/", Path("runs/tables"))
    markdown: Path | None = arg("file for the tables instead of OUTPUT/tables.md", None)
    json: Path | None = arg("file for all numbers instead of OUTPUT/tables.json", None)
    csv: Path | None = arg("folder for a CSV file per table instead of OUTPUT/csv", None)


def main(config: Config) -> None:
    """Join the sources, write the tables in three forms, and print them."""
    from knowledge.release.records import Sequences
    from knowledge.release.results import pool_sequences
    from knowledge.release.scan import read_release
    from knowledge.tables import compare
    from knowledge.tables.columns import our_columns, regraded_columns, release_column
    from knowledge.tables.paper import load_paper_tables

    tables = load_paper_tables()
    ours = our_columns(config.ours, tables)
    release = read_release(config.release) if config.release else None
    columns, remarks = [], []
    if release:
        column, files = release_column(release)
        columns.append(column)
        misstated = compare.misstatements(column, files)
        remarks = [
            compare.format_mismatches(tables, compare.mismatches(tables, column), misstated),
            compare.format_missing(compare.missing_rows(tables, column), release.problems),
        ]
        if config.judge:
            columns += regraded_columns(column, open_judge(config), config.max_ungraded)
    columns += ours
    cells, comparisons = compare.printed_cells(tables), []
    for column in columns:
        cells += compare.cells_of(column, tables)
        comparisons += compare.comparisons_of(column, tables) if column.main else []
    texts = [compare.format_table(table, columns, cells, comparisons) for table in tables]
    pooled = pool_sequences(release.of(Sequences)) if release else None
    if pooled:
        remarks.insert(0, compare.format_deviations(pooled))
    page = "\n\n".join([compare.introduction(columns), *texts, *remarks])
    write_text(config.markdown or config.output / "tables.md", page + "\n")
    write_json(config.json or config.output / "tables.json", list(map(asdict, cells)))
    csv = config.csv or config.output / "csv"
    for table in tables:
        rows = [asdict(cell) for cell in cells if cell.table == table.id]
        write_text(csv / f"{table.id}.csv", compare.to_csv(rows))
    if pooled:
        matrix = compare.to_csv(compare.matrix_rows(pooled))
        write_text(csv / "continual-matrix.csv", matrix)
    print(page)


if __name__ == "__main__":
    run_program(main, Config)
