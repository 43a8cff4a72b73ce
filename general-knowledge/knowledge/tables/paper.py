"""The paper's tables, from paper_figures.json: rows, what is printed, the released file of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from knowledge.method.scores import MeanOver
from knowledge.settings import TREE
from seal.records import read_json

PAPER_NUMBERS = TREE / "paper_figures.json"
VERSIONS = ("v1", "v2")
"""Of the paper on arXiv, with different numbers for some rows."""


@dataclass(frozen=True)
class PaperRow:
    """A row of a table: what each version of the paper prints, and where the release has it."""

    id: str
    label: str
    v1: float | None = None
    """In percent or points; None for a version that does not print the row."""
    v2: float | None = None
    file: str | None = None
    """In the release's tree general-knowledge/; None if no released file holds the row."""
    note: str | None = None
    """A misprint, in words."""
    unit: Literal["percent", "points"] = "percent"

    @property
    def printed(self) -> dict[str, float]:
        """Version to number."""
        numbers = {version: getattr(self, version) for version in VERSIONS}
        return {version: number for version, number in numbers.items() if number is not None}


@dataclass(frozen=True)
class PaperTable:
    """A table, or a plot as numbers."""

    id: str
    title: str
    paper_table: int | None
    """Its number in the paper; None if not known."""
    mean_over: MeanOver
    """What the paper's means are over: each passage alike, or each question."""
    rows: tuple[PaperRow, ...]
    comparisons: tuple[tuple[str, str], ...]
    """Pairs of rows whose difference is of interest though they are not neighbours."""

    def row_above(self, row: PaperRow) -> PaperRow | None:
        """The row before, unless another group (what stands before a slash) begins with `row`."""
        index = self.rows.index(row)
        above = self.rows[index - 1] if index else None
        same_group = above and above.id.rpartition("/")[0] == row.id.rpartition("/")[0]
        return above if same_group else None


def load_paper_tables(path: Path = PAPER_NUMBERS) -> list[PaperTable]:
    """The tables in their order. Raises UserError for a file that is missing or not JSON."""
    return TypeAdapter(list[PaperTable]).validate_python(read_json(path)["tables"])
