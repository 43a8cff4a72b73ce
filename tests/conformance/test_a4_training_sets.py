"""Training sets hold the release's items, in every record of A4; only their order is ours."""

from math import sqrt
from random import Random

from arc.puzzles.augmenters import Augmentations, RandomTranslateXY, augmenters_for
from arc.puzzles.training_sets import (
    augmented_items,
    initial_items,
    permuted_items,
    training_items,
    transformed_items,
)
from tests.conformance.arc_records import augmenter_named, set_sha256, sha256, tasks
from tests.conformance.golden import golden
from tests.conformance.release_random import ReleaseRandom

CAP = 250


def test_initial_items():
    records = golden("a4_training_sets")
    for record in records:
        demonstrations = tasks()[record["id"]].demonstrations
        assert len(demonstrations) == record["n_demonstrations"]
        for key, expected in record["initial"].items():
            items = initial_items(demonstrations, leave_n(key))
            hashes = sorted(set(map(sha256, items)))
            assert len(items) == expected["n_built"], record["id"]
            assert (len(hashes), hashes) == (expected["n_distinct"], expected["hashes"])
            sizes = sorted({len(item.demonstrations) for item in items})
            assert sizes == expected["n_train_examples_each"]
    assert records


def test_dropped_items():
    for record in golden("a4_training_sets"):
        demonstrations = tasks()[record["id"]].demonstrations
        for key, expected in record["dropped_over_30"].items():
            n_built = len(initial_items(demonstrations, leave_n(key)))
            dropped = {}
            for name in expected:
                augmenter, n_kept = augmenter_named(name), n_built
                if not isinstance(augmenter, RandomTranslateXY):  # which changes no size
                    n_kept = len(transformed_items(demonstrations, leave_n(key), augmenter))
                dropped[name] = n_built - n_kept
            assert dropped == expected, record["id"]


def test_sets_without_permutations():
    """Also with the release's translation, where it is told what to draw."""
    for record in golden("a4_training_sets"):
        demonstrations = tasks()[record["id"]].demonstrations
        for config in record["configs"]:
            augmenters = augmenters_for(switches(config))
            for key, chosen in {
                "without_translate": [a for a in augmenters if a != RandomTranslateXY()],
                "with_translate_seed0": augmenters,
            }.items():
                if f"set_sha256_{key}" not in config:
                    continue
                items = augmented_items(
                    demonstrations, config["leave_n"], chosen, ReleaseRandom(), release_bugs=True
                )
                assert len(items) == config[f"n_distinct_{key}"], record["id"]
                assert set_sha256(items) == config[f"set_sha256_{key}"], record["id"]
                if f"hashes_{key}" in config:
                    assert sorted(map(sha256, items)) == config[f"hashes_{key}"]


def test_counts_with_permutations():
    """How many permuted copies are new is chance; there it may differ by sampling error."""
    records = golden("a4_counts_permute1")
    for record in records:
        demonstrations = tasks()[record["task"]].demonstrations
        augmenters, rng, total, margin = augmenters_for(switches(record)), ReleaseRandom(0), 0, 0.0
        for left_out in (1, 2):
            plain = augmented_items(demonstrations, left_out, augmenters, rng, release_bugs=True)
            items = permuted_items(plain, record["permute_n"], rng, new_colors=bool(augmenters))
            least, most = (record[f"leave_{left_out}_distinct_{end}"] for end in ("min", "max"))
            assert len(plain) <= least <= most <= 2 * len(plain), record["id"]
            # Each copy that is there already is a rare event, or one of even chance
            tolerance = 3 * sqrt(4 * len(plain) - most - len(items) + 1)
            assert least - tolerance <= len(items) <= most + tolerance, record["id"]
            total += len(items)
            margin += tolerance
        least, most = (record[f"final_after_cap_{CAP}_{end}"] for end in ("min", "max"))
        assert least - margin <= min(total, CAP) <= most + margin, record["id"]
    assert records


def test_training_items_are_these_pieces():
    for record in golden("a4_counts_permute1")[:10]:
        demonstrations = tasks()[record["task"]].demonstrations
        augmenters, rng, pieces = augmenters_for(switches(record)), Random(3), []
        for left_out in (1, 2):
            plain = augmented_items(demonstrations, left_out, augmenters, rng)
            pieces += permuted_items(plain, 1, rng, new_colors=bool(augmenters))
        assert training_items(demonstrations, switches(record), seed=3) == pieces


def leave_n(key: str) -> int:
    """Keys are "leave_1" and "leave_2"."""
    return int(key.removeprefix("leave_"))


def switches(record: dict) -> Augmentations:
    return Augmentations(*(record[name] for name in Augmentations._fields))
