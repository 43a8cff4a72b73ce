"""What several seeds of one experiment found together: means, paired differences, curves.

An arm is a row of a tree's table (`eval_single_passage.py`, `eval_self_edits.py`). Errors are over
seeds; an arm of a single seed has the error over that seed's passages or tasks.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seal.checksums import check_sums
from seal.errors import UserError
from seal.records import of_kind, read_json, typed
from seal.report.intervals import Estimate, mean, standard_error
from seal.report.tables import markdown_table, number, percent
from seal.usage import Usage, read_usage, total_usage

BEFORE_RL = "self-edits"
"""The arm of the policy before RL: where curves over rounds begin."""
OWN_SERIES = "round"
"""SEAL's own rounds, round-1, round-2 and so on; other series of arms are controls."""
SEEDS = "seeds"


@dataclass(frozen=True)
class TableKind:
    """What a tree's tables measure: the contents of `small_model/table.json`."""

    field: str
    """Where a row holds its estimate of a `measure`, over `clusters`."""
    measure: str
    clusters: str
    paper: Mapping[str, float]
    """The paper's numbers by arm, in percent."""


@dataclass(frozen=True)
class Row:
    """An arm in one seed's table; the difference is to the row `above` it there."""

    value: Estimate
    difference: Estimate | None
    above: str | None


@dataclass(frozen=True)
class SeedRun:
    """One seed's table, by label in its order, and what its programs took (None: not noted)."""

    name: str
    rows: dict[str, Row]
    usage: Usage | None


@dataclass(frozen=True)
class Average:
    """A mean of `n` values, over seeds or over the clusters of a single seed."""

    mean: float
    standard_error: float | None
    """None for the difference of two rows of a single seed that are not neighbours in its table."""
    n: int
    over: str


@dataclass(frozen=True)
class ArmSummary:
    """An arm over the seeds that have it; the difference to `reference` is over common seeds."""

    label: str
    value: Average
    reference: str | None
    difference: Average | None


def read_seed(folder: Path, field: str) -> SeedRun:
    """A seed's run: `folder`/table/results.json, and metrics of `folder`/table and /rest-em.

    `field` of a row holds its estimate; rows in which it is null are left out (nothing could be
    graded). Raises UserError for a missing folder or file, or a table of another kind.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one that holds table/ and rest-em/")
    path = folder / "table" / "results.json"
    check_sums(path.parent, "restore the table as it was when it was finished")
    other, fix = f"{path} is not a table with rows of {field}", "name a seed's run of this domain"
    results = read_json(path)
    rows, above = {}, None
    try:
        for record in of_kind(results["rows"], list, f"{other}: its rows"):
            label = of_kind(record["label"], str, f"{other}: the label of a row")
            value, change = (
                None if each is None else typed(each, Estimate, f"{other}: row {label}", fix)
                for each in (record[field], record["difference_to_row_above"])
            )
            if value:
                rows[label] = Row(value, change, above)
            above = label
    except (KeyError, TypeError) as error:
        raise UserError(f"{other} ({error}); {fix}") from None
    usage = _total(read_usage(folder / program) for program in ("rest-em", "table"))
    return SeedRun(folder.name, rows, usage)


def _total(parts: Iterable[Usage | None]) -> Usage | None:
    """All parts together; None if one is missing, since the others are not the whole."""
    noted = list(parts)
    return None if None in noted else total_usage(noted)


def mean_usage(seeds: Sequence[SeedRun]) -> Usage | None:
    """The mean seconds of a seed and the largest peaks; None if one has noted nothing."""
    total = _total(seed.usage for seed in seeds)
    return total and replace(total, seconds=total.seconds / len(seeds))


def summarize_seeds(seeds: Sequence[SeedRun], clusters: str) -> list[ArmSummary]:
    """Every arm of any seed, in the order of the tables; `clusters` names a seed's own unit."""
    labels = _common_order(seeds)
    arms = []
    for place, label in enumerate(labels):
        found = [seed.rows[label].value for seed in seeds if label in seed.rows]
        value = _average([each.mean for each in found], found[0], clusters)
        reference = _reference(label, labels[:place])
        difference = _difference(label, reference, seeds, clusters) if reference else None
        arms.append(ArmSummary(label, value, reference, difference))
    return arms


def _mean_of(label: str, seed: SeedRun) -> float | None:
    return seed.rows[label].value.mean if label in seed.rows else None


def _series_of(label: str) -> tuple[str, int] | None:
    """The series and number of an arm after a round: ("round", 2) for "round-2"."""
    found = re.fullmatch(r"(.+)-([1-9]\d*)", label)
    return (found[1], int(found[2])) if found else None


def _reference(label: str, above: Sequence[str]) -> str | None:
    """The arm among those `above` to compare with: of a policy after a round, the one before it.

    For another arm it is SEAL's last policy, or without one the last arm that is not of a series.
    """
    if after := _series_of(label):
        series, number = after
        before = f"{series}-{number - 1}" if number > 1 else BEFORE_RL
        return before if before in above else None
    own = [arm for arm in above if (after := _series_of(arm)) and after[0] == OWN_SERIES]
    others = [arm for arm in above if not _series_of(arm)]
    return (own or others or [None])[-1]


def _common_order(seeds: Sequence[SeedRun]) -> list[str]:
    """The longest table's labels; each label of other tables follows the one it follows there."""
    labels: list[str] = []
    for seed in sorted(seeds, key=lambda seed: -len(seed.rows)):
        place = 0
        for label in seed.rows:
            if label not in labels:
                labels.insert(place, label)
            place = labels.index(label) + 1
    return labels


def _difference(
    label: str, reference: str, seeds: Sequence[SeedRun], clusters: str
) -> Average | None:
    both = [seed.rows for seed in seeds if label in seed.rows and reference in seed.rows]
    values = [rows[label].value.mean - rows[reference].value.mean for rows in both]
    own = None
    if len(both) == 1 and both[0][label].above == reference:
        own = both[0][label].difference
        # Neighbours without a difference have no cluster in common
        values = values if own else []
    return _average(values, own, clusters) if values else None


def _average(values: Sequence[float], own: Estimate | None, clusters: str) -> Average:
    """Over seeds; over clusters where there is a single seed that has its `own` estimate."""
    if len(values) > 1:
        return Average(mean(values), standard_error(values), len(values), SEEDS)
    if own:
        return Average(own.mean, own.standard_error, own.n, clusters)
    # A single value shows no spread, and a zero would look like certainty
    return Average(values[0], None, 1, SEEDS)


# What a reader sees


def format_seeds(
    arms: Sequence[ArmSummary], seeds: Sequence[SeedRun], paper: Mapping[str, float]
) -> str:
    """The table in percent, ± standard errors; `paper` has its numbers by label, in percent."""
    several = len(seeds) > 1
    header = ["", "mean ± s.e.", "n", "difference", "to"]
    header += ["difference / s.e.", *(seed.name for seed in seeds)] if several else []
    cells = []
    for arm in arms:
        line = [arm.label, _percent(arm.value), f"{arm.value.n} {arm.value.over}"]
        line += [_percent(arm.difference, signed=True), arm.reference if arm.difference else "-"]
        of_seeds = [percent(_mean_of(arm.label, seed)) for seed in seeds]
        line += [_ratio(arm.difference), *of_seeds] if several else []
        cells.append([*line, number(paper.get(arm.label))])
    return markdown_table([*header, "paper"], cells)


def _percent(average: Average | None, signed: bool = False) -> str:
    return percent(average and average.mean, average and average.standard_error, signed=signed)


def _ratio(difference: Average | None) -> str:
    if not difference or difference.over != SEEDS or not difference.standard_error:
        return "-"
    return number(difference.mean / difference.standard_error)


def round_curves(seeds: Sequence[SeedRun]) -> dict[str, list[list[float | None]]]:
    """For each series of arms LABEL-1, LABEL-2, ... a curve per seed that has one of them.

    A curve begins before RL and has a value for each round; None where the seed lacks it.
    """
    n_rounds: dict[str, int] = {}
    for series, n in filter(None, map(_series_of, _common_order(seeds))):
        n_rounds[series] = max(n_rounds.get(series, 0), n)
    curves = {}
    for series, n in n_rounds.items():
        labels = [BEFORE_RL, *(f"{series}-{number}" for number in range(1, n + 1))]
        of_seeds = [[_mean_of(label, seed) for label in labels] for seed in seeds]
        curves[series] = [curve for curve in of_seeds if any(v is not None for v in curve[1:])]
    return curves
