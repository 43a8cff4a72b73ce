"""The paper's tables with all sources side by side: paper, release, this project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from knowledge.data.passages import Passage
from knowledge.judging.judges import Judge
from knowledge.release.records import Dataset, Examinations, Pretraining, Sequences, Side
from knowledge.release.results import (
    RELEASED_JUDGE,
    System,
    difference,
    estimate,
    of_examinations,
    of_pretraining,
    of_sequences,
    regraded,
)
from knowledge.release.row_of_file import places_of
from knowledge.release.scan import Release
from knowledge.tables.our_runs import OurRun, read_systems
from knowledge.tables.paper import VERSIONS, PaperRow, PaperTable, Place
from seal.report.intervals import Estimate

EQUAL_WITHIN = 0.1
"""Points by which a figure may differ from the printed one: what rounding to 0.1 can do."""

SCALES = {"percent": 100, "points": 1}


@dataclass(frozen=True)
class Column:
    """What one source says by one judge."""

    source: Literal["release", "ours"]
    heading: str
    systems: Mapping[Place, System]
    main: bool
    """Whether differences and blank answers are shown; not for the same answers graded again."""


def release_column(release: Release) -> tuple[Column, dict[Place, Path]]:
    """Every row that the release's files fill, and the file of each.

    Of several files for one row the first of `Release.files` counts.
    """
    pools = passage_lists(release)
    systems: dict[Place, System] = {}
    files: dict[Place, Path] = {}
    for file in [*release.of(Examinations), *release.of(Pretraining)]:
        of_sides: dict[Side, System] = {}
        for place, side in places_of(file):
            if side not in of_sides:
                of_sides[side] = _system(file, side, pools)
            if place not in systems and of_sides[side].mean is not None:
                systems[place], files[place] = of_sides[side], file.path
    sequences = release.of(Sequences)
    for row, system in of_sequences(sequences).items():
        systems["continual", row] = system
        files["continual", row] = sequences[0].path.parent
    return Column("release", f"release, {RELEASED_JUDGE}", systems, main=True), files


def _system(
    file: Examinations | Pretraining, side: Side, pools: Sequence[Sequence[Passage]]
) -> System:
    if isinstance(file, Examinations):
        return of_examinations(file, side)
    return of_pretraining(file, side, pools)


def passage_lists(release: Release) -> list[Sequence[Passage]]:
    """The different lists of passages in the release, in the order of their files."""
    lists = [file.passages for file in release.of(Dataset)]
    lists += [tuple(file.passages) for file in release.of(Examinations)]
    return list({tuple(passage.id for passage in p): p for p in reversed(lists)}.values())[::-1]


def regraded_columns(column: Column, judge: Judge, max_ungraded: float) -> list[Column]:
    """The column's answers by another judge: by its verdicts and, if calibrated, probabilities.

    Raises UserError if more than `max_ungraded` of a system's answers could not be graded.
    """
    graded: dict[int, list[System]] = {}
    columns: dict[str, dict[Place, System]] = {}
    for place, system in column.systems.items():
        if id(system) not in graded:
            graded[id(system)] = regraded(system, judge, max_ungraded)
        for again in graded[id(system)]:
            columns.setdefault(again.judge, {})[place] = again
    return [
        Column(column.source, f"{column.source}, {name}", systems, main=False)
        for name, systems in columns.items()
    ]


def our_columns(run: OurRun, tables: Sequence[PaperTable]) -> list[Column]:
    """The columns of a run of this project, by its judge and calibrated."""
    columns: dict[str, dict[Place, System]] = {}
    for place, systems in read_systems(run, tables).items():
        for system in systems:
            columns.setdefault(system.judge, {})[place] = system
    return [
        Column("ours", f"ours, {judge}", systems, main="calibrated" not in judge)
        for judge, systems in columns.items()
    ]


@dataclass(frozen=True)
class Figure:
    """One figure of one source, flat, as the JSON and CSV files hold it; in percent or points."""

    table: str
    row: str
    source: str
    """paper-v1, paper-v2, release or ours."""
    judge: str | None
    value: float | None
    lower: float | None = None
    """Of the 95% interval; None for what is printed, or shows no spread."""
    upper: float | None = None
    n: int | None = None
    """How many things the mean is over."""
    unit: str = "percent"
    mean_over: str = "passages"
    n_passages: int | None = None
    n_questions: int | None = None
    blank_answers: float | None = None
    """Percent."""
    difference_to: str | None = None
    """The row above, if that is of the same group and has passages in common."""
    difference: float | None = None
    difference_lower: float | None = None
    difference_upper: float | None = None
    column: str = ""
    """What the table has above it."""


def printed_figures(tables: Sequence[PaperTable]) -> list[Figure]:
    """What each version of the paper prints."""
    return [
        Figure(
            table.id,
            row.id,
            f"paper-{version}",
            RELEASED_JUDGE if table.mean_over != "tasks" else None,
            value,
            unit=row.unit,
            mean_over=table.mean_over,
            column=f"paper {version}",
        )
        for table in tables
        for row in table.rows
        for version, value in row.printed.items()
    ]


def figures_of(column: Column, tables: Sequence[PaperTable], seed: int = 0) -> list[Figure]:
    """The figures of a column, with intervals and differences to the rows above."""
    return [
        _figure(table, row, column, column.systems[table.id, row.id], seed)
        for table in tables
        for row in table.rows
        if (table.id, row.id) in column.systems
    ]


def _figure(table: PaperTable, row: PaperRow, column: Column, system: System, seed: int) -> Figure:
    scale = SCALES[row.unit]
    found = estimate(system, seed)
    above = table.row_above(row)
    other = column.systems.get((table.id, above.id)) if above else None
    change = difference(system, other, seed) if other else None
    of_questions = system.mean_over == "questions" and found
    return Figure(
        table.id,
        row.id,
        column.source,
        system.judge,
        _scaled(system.mean, scale),
        *_bounds(found, scale),
        n=system.n_questions if of_questions else found.n if found else None,
        unit=row.unit,
        mean_over=table.mean_over,
        n_passages=system.n_passages,
        n_questions=system.n_questions,
        blank_answers=_scaled(system.blank_rate, 100),
        difference_to=above.id if above and change else None,
        difference=_scaled(change.mean if change else None, scale),
        difference_lower=_bounds(change, scale)[0],
        difference_upper=_bounds(change, scale)[1],
        column=column.heading,
    )


def _scaled(value: float | None, scale: int) -> float | None:
    return None if value is None else round(scale * value, 4)


def _bounds(found: Estimate | None, scale: int) -> tuple[float | None, float | None]:
    # One cluster shows no spread; its interval would look like certainty
    if found is None or found.n == 1:
        return None, None
    return _scaled(found.lower, scale), _scaled(found.upper, scale)


@dataclass(frozen=True)
class Comparison:
    """The difference of two rows that are not neighbours, in points."""

    table: str
    first: str
    second: str
    column: str
    difference: float
    lower: float | None
    upper: float | None


def comparisons_of(column: Column, tables: Sequence[PaperTable], seed: int = 0) -> list[Comparison]:
    """Every comparison of interest for which a column has both rows."""
    found = []
    for table in tables:
        for first, second in table.comparisons:
            ours, theirs = (column.systems.get((table.id, row)) for row in (first, second))
            change = difference(ours, theirs, seed) if ours and theirs else None
            if change:
                bounds = _bounds(change, 100)
                mean = round(100 * change.mean, 4)
                found.append(Comparison(table.id, first, second, column.heading, mean, *bounds))
    return found


@dataclass(frozen=True)
class Mismatch:
    """A figure of the release that is not the printed one."""

    place: Place
    version: str
    printed: float
    recomputed: float
    note: str | None


def mismatches(tables: Sequence[PaperTable], column: Column) -> list[Mismatch]:
    """Where the recomputed figure is further from a printed one than rounding explains."""
    found = []
    for table in tables:
        for row in table.rows:
            system = column.systems.get((table.id, row.id))
            value = _scaled(system.mean, SCALES[row.unit]) if system else None
            for version in VERSIONS:
                printed = row.printed.get(version)
                if value is None or printed is None or abs(value - printed) <= EQUAL_WITHIN:
                    continue
                found.append(Mismatch((table.id, row.id), version, printed, value, row.note))
    return found


def missing_rows(tables: Sequence[PaperTable], column: Column) -> list[tuple[Place, str]]:
    """Rows that no file fills, with the release's file that would."""
    return [
        ((table.id, row.id), row.file)
        for table in tables
        for row in table.rows
        if row.file and (table.id, row.id) not in column.systems
    ]


def misstatements(column: Column, files: Mapping[Place, Path]) -> list[str]:
    """Files whose own mean is not that of their records, to the 4 decimals that they give."""
    lines = {
        f"{files[place]} states {system.stated}, its records give {system.mean:.4f}"
        for place, system in column.systems.items()
        if system.clusters
        and system.stated is not None
        and system.mean is not None
        and abs(system.mean - system.stated) > 0.6e-4
    }
    return sorted(lines)
