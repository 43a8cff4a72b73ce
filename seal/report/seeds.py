"""What several seeds of one experiment found together: means, paired differences, curves.

An arm is a row of a tree's table (`eval_single_passage.py`, `eval_self_edits.py`). Errors are over
seeds; an arm of a single seed has the error over that seed's passages or tasks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seal.errors import UserError
from seal.records import read_json
from seal.report.intervals import Estimate, mean, standard_error
from seal.report.tables import markdown_table, number, percent
from seal.usage import Usage, read_usage, total_usage

BEFORE_RL = "self-edits"
"""The arm of the policy before RL: where curves over rounds begin."""
OWN_SERIES = "round"
"""SEAL's own rounds, round-1, round-2 and so on; other series of arms are controls."""
SEEDS = "seeds"
_AFTER_ROUND = re.compile(r"(.+)-([1-9]\d*)")


@dataclass(frozen=True)
class TableKind:
    """What a tree's tables measure: the contents of `small_model/table.json`.

    A row's `field` holds its estimate of a `measure`, over `clusters`; `paper` has the paper's
    numbers by arm, in percent.
    """

    field: str
    measure: str
    clusters: str
    paper: Mapping[str, float]


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
    """A mean of `n` values, over seeds or over the clusters of a single seed.

    There is no standard error of the difference of two rows that only one seed has, if they are not
    neighbours in its table.
    """

    mean: float
    standard_error: float | None
    n: int
    over: str


@dataclass(frozen=True)
class ArmSummary:
    """An arm over the seeds that have it; the difference to `reference` is over common seeds."""

    label: str
    value: Average
    reference: str | None
    difference: Average | None
    by_seed: tuple[float | None, ...]


def read_seed(folder: Path, field: str) -> SeedRun:
    """A seed's run: `folder`/table/results.json, and metrics of `folder`/table and /rest-em.

    `field` of a row holds its estimate; rows in which it is null are left out (nothing could be
    graded). Raises UserError for a missing folder or file, or a table of another kind.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one that holds table/ and rest-em/")
    path = folder / "table" / "results.json"
    results = read_json(path)
    try:
        rows = _rows(results["rows"], field)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not a table with rows of {field} ({error}); name a seed's run of this"
            " domain"
        ) from None
    noted = [read_usage(folder / program) for program in ("rest-em", "table")]
    return SeedRun(folder.name, rows, _total(noted))


def _rows(records: Sequence[Mapping[str, Any]], field: str) -> dict[str, Row]:
    rows = {}
    for record, above in zip(records, [None, *records], strict=False):
        if record[field] is not None:
            difference = record["difference_to_row_above"]
            rows[record["label"]] = Row(
                Estimate(**record[field]),
                Estimate(**difference) if difference else None,
                above and above["label"],
            )
    return rows


def _total(parts: Sequence[Usage | None]) -> Usage | None:
    """All parts together; None if one is missing, since the others are not the whole."""
    noted = [part for part in parts if part]
    return total_usage(noted) if len(noted) == len(parts) else None


def mean_usage(seeds: Sequence[SeedRun]) -> Usage | None:
    """The mean seconds of a seed and the largest peaks; None if one has noted nothing."""
    total = _total([seed.usage for seed in seeds])
    return total and replace(total, seconds=total.seconds / len(seeds))


def summarize_seeds(seeds: Sequence[SeedRun], clusters: str) -> list[ArmSummary]:
    """Every arm of any seed, in the order of the tables; `clusters` names a seed's own unit."""
    labels = _common_order(seeds)
    arms = []
    for place, label in enumerate(labels):
        by_seed = tuple(_means(seed, [label])[0] for seed in seeds)
        found = [seed.rows[label].value for seed in seeds if label in seed.rows]
        value = _average([each.mean for each in found], found[0], clusters)
        reference = _reference(label, labels[:place])
        difference = _difference(label, reference, seeds, clusters) if reference else None
        arms.append(ArmSummary(label, value, reference, difference, by_seed))
    return arms


def _means(seed: SeedRun, labels: Sequence[str]) -> list[float | None]:
    return [seed.rows[label].value.mean if label in seed.rows else None for label in labels]


def _reference(label: str, above: Sequence[str]) -> str | None:
    """The arm among those `above` to which a reader compares this one.

    For a policy after a round, of a control too, this is the policy before the round. For another
    arm it is SEAL's last policy, or without one the last arm that is not of a series.
    """
    if found := _AFTER_ROUND.fullmatch(label):
        series, number = found[1], int(found[2])
        before = f"{series}-{number - 1}" if number > 1 else BEFORE_RL
        return before if before in above else None
    series = {arm: found[1] for arm in above if (found := _AFTER_ROUND.fullmatch(arm))}
    own = [arm for arm, name in series.items() if name == OWN_SERIES]
    others = [arm for arm in above if arm not in series]
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
    neighbours = bool(both) and both[0][label].above == reference
    own = both[0][label].difference if neighbours else None
    # Neighbours without a difference have no cluster in common
    if not both or (len(both) == 1 and neighbours and not own):
        return None
    values = [rows[label].value.mean - rows[reference].value.mean for rows in both]
    return _average(values, own, clusters)


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
        value, change = arm.value, arm.difference
        line = [arm.label, percent(value.mean, value.standard_error), f"{value.n} {value.over}"]
        if change:
            line += [percent(change.mean, change.standard_error, signed=True), arm.reference or "-"]
        else:
            line += ["-", "-"]
        if several:
            of_seeds = change and change.over == SEEDS and change.standard_error
            ratio = change.mean / change.standard_error if of_seeds else None
            line += [number(ratio), *map(percent, arm.by_seed)]
        cells.append([*line, number(paper.get(arm.label))])
    return markdown_table([*header, "paper"], cells)


def round_curves(seeds: Sequence[SeedRun]) -> dict[str, list[list[float | None]]]:
    """For each series of arms LABEL-1, LABEL-2, ... a curve per seed that has one of them.

    A curve begins before RL and has a value for each round; None where the seed lacks it.
    """
    n_rounds: dict[str, int] = {}
    for label in _common_order(seeds):
        if found := _AFTER_ROUND.fullmatch(label):
            n_rounds[found[1]] = max(n_rounds.get(found[1], 0), int(found[2]))
    curves = {}
    for series, n in n_rounds.items():
        labels = [BEFORE_RL, *(f"{series}-{number}" for number in range(1, n + 1))]
        of_seeds = [_means(seed, labels) for seed in seeds]
        curves[series] = [curve for curve in of_seeds if any(v is not None for v in curve[1:])]
    return curves
