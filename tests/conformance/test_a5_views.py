"""Views are the release's, in every record of A5, as far as they are not drawn at random."""

from arc.puzzles.augmenters import INVERTIBLE, Augmenter, transform_pair
from arc.puzzles.grids import Grid
from arc.puzzles.tasks import Item, Pair
from arc.puzzles.views import View, views
from tests.conformance.arc_records import augmenter_named, sha256, tasks
from tests.conformance.golden import golden


def test_plain_views():
    records = golden("a5_views")
    for record in records:
        task, expected = tasks()[record["id"]], record["permute_0"]
        found = views(task.demonstrations, task.test_input, seed=0, permute_n=0)
        hashes = [
            sha256(Item(view.demonstrations, Pair(view.input, task.target)))
            for view in found
            if view.inverter is None
        ]
        assert len(task.demonstrations) == record["n_demonstrations"]
        assert len(hashes) == expected["n_views_without_inverter"], record["id"]
        assert sorted(hashes) == sorted(expected["hashes_without_inverter"]), record["id"]
    assert records


def test_numbers_of_views():
    """A transform has no view only where one of those that it can have is there already."""
    for record in golden("a5_views"):
        task = tasks()[record["id"]]
        for permute_n in (0, 2):
            found = views(task.demonstrations, task.test_input, seed=0, permute_n=permute_n)
            plain = [view for view in found if view.inverter is None]
            inverters = [view.inverter for view in found if view.inverter is not None]
            assert len(found) <= record["max_views"]
            assert len(plain) <= (1 + permute_n) * record["n_demonstrations"]
            assert len(inverters) == len(set(inverters))
            grids = {view[:2] for view in found}
            for augmenter in INVERTIBLE:
                possible = {transform(view, augmenter) for view in plain}
                assert augmenter.inverse in inverters or possible & grids, record["id"]


def test_inverters():
    names = {str(augmenter.inverse) for augmenter in INVERTIBLE}
    recorded = [record["permute_2_one_run"]["inverters"] for record in golden("a5_views")]
    assert names == set().union(*recorded)
    for name in names:
        assert augmenter_named(name) in {augmenter.inverse for augmenter in INVERTIBLE}


def transform(view: View, augmenter: Augmenter) -> tuple[tuple[Pair, ...], Grid]:
    pairs = tuple(transform_pair(pair, augmenter) for pair in view.demonstrations)
    return pairs, augmenter(view.input)
