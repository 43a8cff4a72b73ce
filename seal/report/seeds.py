"""What several seeds of one experiment found together: means, paired differences, curves.

An arm is a row of a domain's table (`eval_single_passage.py`, `eval_self_edits.py`). Over several
seeds, a seed is the unit; for what one seed alone has measured, its own clusters are.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seal.errors import UserError
from seal.records import read_json
from seal.report.intervals import Estimate, mean, standard_error
from seal.report.tables import markdown_table
from seal.usage import Usage, read_usage, total_usage

BEFORE_RL = "self-edits"
"""The arm of the policy before RL: where curves over rounds begin."""
OWN_SERIES = "round"
"""SEAL's own rounds, round-1, round-2 and so on; other series of arms are controls."""
SEEDS = "seeds"
_AFTER_ROUND = re.compile(r"(.+)-([1-9]\d*)")


@dataclass(frozen=True)
class Row:
    """An arm as one seed's table has it; the difference is to the row `above` it there."""

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
class Figure:
    """A mean of `n` values, over seeds, or over clusters such as passages where one seed has it.

    A difference of rows that stand apart in the only table that has both has no standard error.
    """

    mean: float
    standard_error: float | None
    n: int
    over: str


@dataclass(frozen=True)
class ArmSummary:
    """An arm over the seeds that have it; the difference to `reference` is over common seeds."""

    label: str
    value: Figure
    reference: str | None
    difference: Figure | None
    by_seed: tuple[float | None, ...]


def read_seed(folder: Path, field: str) -> SeedRun:
    """A seed's run: `folder`/table/results.json, and metrics of `folder`/table and /rest-em.

    `field` is the figure of a row; rows without it (nothing could be graded) are left out. Raises
    UserError for what is missing or no such table.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one that holds table/ and rest-em/")
    path = folder / "table" / "results.json"
    results = read_json(path)
    try:
        rows = _rows(results["rows"], field)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no table with rows of {field} ({error}); name a seed's run of this domain"
        ) from None
    return SeedRun(folder.name, rows, _usage([folder / "rest-em", folder / "table"]))


def _usage(run_dirs: Sequence[Path]) -> Usage | None:
    """What all of them took; None if one has not noted it, for the others are not the whole."""
    noted = [usage for run_dir in run_dirs if (usage := read_usage(run_dir))]
    return total_usage(noted) if len(noted) == len(run_dirs) else None


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


def summarize_seeds(seeds: Sequence[SeedRun], clusters: str) -> list[ArmSummary]:
    """Every arm that a seed has, in the order of the tables. `clusters` names a seed's own unit."""
    labels = _common_order(seeds)
    arms = []
    for place, label in enumerate(labels):
        reference = _reference(label, labels[:place])
        difference = _difference(label, reference, seeds, clusters) if reference else None
        by_seed = (seed.rows[label].value.mean if label in seed.rows else None for seed in seeds)
        value = _value(label, seeds, clusters)
        arms.append(ArmSummary(label, value, reference, difference, tuple(by_seed)))
    return arms


def _reference(label: str, above: Sequence[str]) -> str | None:
    """The arm that a reader compares with, of those `above`.

    A policy after a round with what it was before the round, of a control too; another arm with
    SEAL's last policy, or with the arm before it where there is none yet.
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
    """The longest table's, with each label that only others have after what it follows there."""
    labels: list[str] = []
    for seed in sorted(seeds, key=lambda seed: -len(seed.rows)):
        place = 0
        for label in seed.rows:
            if label not in labels:
                labels.insert(place, label)
            place = labels.index(label) + 1
    return labels


def _value(label: str, seeds: Sequence[SeedRun], clusters: str) -> Figure:
    found = [seed.rows[label].value for seed in seeds if label in seed.rows]
    if len(found) == 1:
        return _of_one_seed(found[0], clusters)
    return _over_seeds([value.mean for value in found])


def _difference(
    label: str, reference: str, seeds: Sequence[SeedRun], clusters: str
) -> Figure | None:
    both = [seed.rows for seed in seeds if label in seed.rows and reference in seed.rows]
    if not both:
        return None
    if len(both) == 1 and both[0][label].above == reference:
        own = both[0][label].difference
        return _of_one_seed(own, clusters) if own else None
    return _over_seeds([rows[label].value.mean - rows[reference].value.mean for rows in both])


def _of_one_seed(estimate: Estimate, clusters: str) -> Figure:
    return Figure(estimate.mean, estimate.standard_error, estimate.n, clusters)


def _over_seeds(values: Sequence[float]) -> Figure:
    # A single value shows no spread, and a zero would look like certainty
    spread = standard_error(values) if len(values) > 1 else None
    return Figure(mean(values), spread, len(values), SEEDS)


def mean_usage(seeds: Sequence[SeedRun]) -> Usage | None:
    """Seconds that a seed took on average, and the largest peaks; None if one has noted nothing."""
    noted = [seed.usage for seed in seeds if seed.usage]
    total = total_usage(noted)
    if total is None or len(noted) < len(seeds):
        return None
    return replace(total, seconds=total.seconds / len(seeds))


# What a reader sees


def format_seeds(
    arms: Sequence[ArmSummary], seeds: Sequence[SeedRun], paper: Mapping[str, float]
) -> str:
    """The table in percent, ± standard errors; `paper` has its figures by label, in percent."""
    several = len(seeds) > 1
    header = ["", "mean ± s.e.", "n", "difference", "to"]
    header += ["difference / s.e.", *(seed.name for seed in seeds)] if several else []
    cells = []
    for arm in arms:
        line = [arm.label, _percent(arm.value), f"{arm.value.n} {arm.value.over}"]
        compared = arm.reference if arm.difference else None
        line += [_percent(arm.difference, signed=True), compared or "-"]
        if several:
            line += [_ratio(arm.difference), *map(_plain_percent, arm.by_seed)]
        cells.append([*line, f"{paper[arm.label]:.1f}" if arm.label in paper else "-"])
    return markdown_table([*header, "paper"], cells)


def _percent(figure: Figure | None, signed: bool = False) -> str:
    if figure is None:
        return "-"
    text = f"{100 * figure.mean:+.1f}" if signed else f"{100 * figure.mean:.1f}"
    if figure.standard_error is None:
        return text
    return f"{text} ± {100 * figure.standard_error:.1f}"


def _ratio(difference: Figure | None) -> str:
    if difference is None or difference.over != SEEDS or not difference.standard_error:
        return "-"
    return f"{difference.mean / difference.standard_error:.1f}"


def _plain_percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def round_curves(seeds: Sequence[SeedRun]) -> dict[str, list[list[float | None]]]:
    """For each series of arms LABEL-1, LABEL-2, ... a curve per seed that has one of them.

    A curve begins before RL and has a value for each round; None where the seed lacks it.
    """
    curves: dict[str, list[list[float | None]]] = {}
    for series, n_rounds in _series(seeds).items():
        labels = [BEFORE_RL, *(f"{series}-{number}" for number in range(1, n_rounds + 1))]
        of_seeds = [
            [seed.rows[label].value.mean if label in seed.rows else None for label in labels]
            for seed in seeds
        ]
        curves[series] = [curve for curve in of_seeds if any(v is not None for v in curve[1:])]
    return curves


def _series(seeds: Sequence[SeedRun]) -> dict[str, int]:
    """The labels of series of rounds, and how many rounds each has."""
    series: dict[str, int] = {}
    for label in _common_order(seeds):
        if found := _AFTER_ROUND.fullmatch(label):
            series[found[1]] = max(series.get(found[1], 0), int(found[2]))
    return series
