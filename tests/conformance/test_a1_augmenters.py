"""Augmenters make the same grids as the release in every record of A1, or fail where it fails."""

import pytest

from arc.puzzles.augmenters import transform_pair
from arc.puzzles.grids import MAX_SIZE, Grid, fits
from arc.puzzles.tasks import Item, Pair
from tests.conformance.arc_records import augmenter_named, item_of, sha256
from tests.conformance.golden import golden


def test_every_task():
    records = golden("a1_augmenters")
    for record in records:
        item = item_of(record["id"])
        assert sha256(item) == record["original_sha256"]
        assert len(item.demonstrations) == record["n_train"]
        for key, expected in record["results"].items():
            if isinstance(expected, str):
                with pytest.raises(exception_of(expected)):
                    transform(item, key)
            else:
                # Where one side only is transformed, the sizes are not recorded
                found = describe(transform(item, key))
                assert {name: found[name] for name in expected} == expected, (record["id"], key)
    assert records


def test_full_grids():
    records = golden("a1_augmenters_full_grids")
    for record in records:
        demonstrations = tuple(map(pair_of, record["result"]["train"]))
        (test,) = map(pair_of, record["result"]["test"])
        found = transform(item_of(record["task"]), record["augmenter"])
        assert found == Item(demonstrations, test), record["id"]
    assert records


def test_probe_grids():
    records = golden("a1_probe_grids")
    for record in records:
        augmenter, grid = augmenter_named(record["augmenter"]), grid_of(record["grid"])
        if isinstance(record["expected"], str):
            with pytest.raises(exception_of(record["expected"])):
                augmenter(grid)
        else:
            assert augmenter(grid) == grid_of(record["expected"]), record["id"]
    assert records


def test_names():
    names = {key.split(":")[-1] for r in golden("a1_augmenters") for key in r["results"]}
    names |= {record["augmenter"] for record in golden("a1_probe_grids")}
    for name in names:
        assert str(augmenter_named(name)) == name


def transform(item: Item, key: str) -> Item:
    """What a key of the records does to an item: to inputs and outputs unless it says otherwise."""
    only, _, name = key.rpartition(":")
    augmenter = augmenter_named(name)
    demonstrations, test = item

    def apply(pair: Pair) -> Pair:
        transformed = transform_pair(pair, augmenter)
        match only:
            case "input_only":
                return pair._replace(input=transformed.input)
            case "output_only":
                return pair._replace(output=transformed.output)
        return transformed

    return Item(tuple(map(apply, demonstrations)), apply(test))


def describe(item: Item) -> dict:
    grids = [grid for pair in (*item.demonstrations, item.test) for grid in pair]
    height, width = max(map(len, grids)), max(len(grid[0]) for grid in grids)
    assert all(map(fits, grids)) == (max(height, width) <= MAX_SIZE)
    return {
        "sha256": sha256(item),
        "max_height": height,
        "max_width": width,
        "kept": all(map(fits, grids)),
    }


def exception_of(expected: str) -> type[Exception]:
    """The records tell "raises ValueError", some with a message."""
    assert expected.split(":")[0] == "raises ValueError"
    return ValueError


def pair_of(pair: dict) -> Pair:
    return Pair(grid_of(pair["input"]), grid_of(pair["output"]))


def grid_of(rows: list[list[int]]) -> Grid:
    return tuple(map(tuple, rows))
