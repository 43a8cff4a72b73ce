"""Views: plain, permuted and transformed ones, which bring predictions back to the task."""

from hypothesis import given
from hypothesis import strategies as st

from arc.puzzles.augmenters import INVERTIBLE, Flip, Rotate, Transpose
from arc.puzzles.tasks import Pair
from arc.puzzles.views import views
from tests.arc.item_strategies import demonstrations
from tests.arc.strategies import grids

SEEDS = st.integers(0, 2**32)


def pair(cell):
    """No two of its turns and mirror images are alike."""
    return Pair(((cell, 1, 2), (3, 4, 5)), ((cell, 0), (1, 2), (3, 4)))


PAIRS = tuple(map(pair, range(10)))
INPUT = ((1, 2, 3), (4, 5, 6))


def test_order_and_number():
    # Nine demonstrations have so many orders that two draws differ
    found = views(PAIRS, INPUT, seed=1)
    plain, permuted, transformed = found[:10], found[10:30], found[30:]
    for number, view in enumerate(plain):
        assert view == (PAIRS[:number] + PAIRS[number + 1 :], INPUT, None)
    for number, view in enumerate(permuted):
        assert (view.input, view.inverter) == (INPUT, None)
        assert sorted(view.demonstrations) == sorted(plain[number // 2].demonstrations)
    inverters = [Transpose(), Flip(0), Flip(1), Rotate(270), Rotate(180)]
    assert [view.inverter for view in transformed] == inverters


@given(demonstrations(max_size=3), grids(3), SEEDS, st.integers(0, 3))
def test_views_of_any_task(pairs, test_input, seed, permute_n):
    found = views(pairs, test_input, seed, permute_n)
    assert found == views(pairs, test_input, seed, permute_n)
    assert len(found) <= (1 + permute_n) * len(pairs) + 5
    assert len({view[:2] for view in found}) == len(found)
    plain = [view for view in found if view.inverter is None]
    assert all(view.input == test_input for view in plain)
    left_out = [sorted(pairs[:n] + pairs[n + 1 :]) for n in range(len(pairs))]
    assert all(sorted(view.demonstrations) in left_out for view in plain)


@given(demonstrations(max_size=3), grids(3), SEEDS)
def test_inverters_bring_back_a_plain_view(pairs, test_input, seed):
    found = views(pairs, test_input, seed)
    plain = {view[:2] for view in found if view.inverter is None}
    for view in found:
        if (undo := view.inverter) is not None:
            undone = tuple(Pair(undo(pair.input), undo(pair.output)) for pair in view[0])
            assert (undone, undo(view.input)) in plain


def test_symmetric_tasks_have_no_transformed_views():
    square = Pair(((1, 1), (1, 1)), ((2,),))
    other = Pair(((3,),), ((4, 4), (4, 4)))
    found = views((square, other), ((5, 5), (5, 5)), seed=0)
    assert [view.inverter for view in found] == [None, None]


def test_seeds_matter():
    assert len({tuple(views(PAIRS, INPUT, seed)) for seed in range(5)}) == 5


def test_transformed_views_are_made_of_random_plain_ones():
    firsts = {
        view.inverter(view.demonstrations[0].input)
        for seed in range(30)
        for view in views(PAIRS, INPUT, seed, permute_n=0)[len(PAIRS) :]
    }
    assert firsts == {PAIRS[0].input, PAIRS[1].input}


def test_one_demonstration_leaves_the_test_input_alone():
    found = views(PAIRS[:1], INPUT, seed=0)
    assert [view.demonstrations for view in found] == [()] * 6
    assert [view.inverter for view in found] == [None, *(a.inverse for a in INVERTIBLE)]
