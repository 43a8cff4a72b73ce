"""Views bring predictions back to the task; how these vote, and what decides close votes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc.puzzles.augmenters import INVERTIBLE, Flip, Rotate, Transpose
from arc.puzzles.tasks import Pair
from arc.puzzles.views import (
    VOTING_INVERTERS,
    Prediction,
    column_majority,
    row_majority,
    three_candidates,
    views,
    vote,
)
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


# Predictions that vote

A, B, C, D = ((1, 2), (3, 4)), ((1, 2), (3, 5)), ((0, 0), (3, 4)), ((1, 2), (3, 3))


@st.composite
def rectangles(draw):
    height, width = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    row = st.tuples(*[st.integers(0, 2)] * width)
    return draw(st.tuples(*[row] * height))


names = st.sampled_from([*VOTING_INVERTERS, "Rotate(90)"])
filled = rectangles().filter(lambda grid: grid and grid[0])
few_grids = st.lists(rectangles(), min_size=1, max_size=4)
predictions = few_grids.flatmap(
    lambda grids: st.lists(
        st.builds(Prediction, st.sampled_from(grids), names),
        min_size=1,
        max_size=12,
    )
)


def under(inverter, *grids):
    return [Prediction(grid, inverter) for grid in grids]


# Whole votes


def test_without_predictions_there_is_no_attempt():
    assert vote([]) is None


@given(predictions, st.randoms(use_true_random=False))
def test_the_order_of_predictions_does_not_matter(cast, random):
    shuffled = random.sample(cast, len(cast))
    assert vote(shuffled) == vote(cast)


@given(filled, st.lists(names, min_size=1))
def test_unanimous_predictions_are_both_attempts(grid, inverters):
    assert vote([Prediction(grid, inverter) for inverter in inverters]) == (grid, grid)


@given(predictions)
def test_attempts_are_made_of_what_was_predicted(cast):
    grids = [prediction.grid for prediction in cast]
    cells = {cell for grid in grids for row in grid for cell in row}
    heights, widths = {len(grid) for grid in grids}, {len(grid[0]) for grid in grids if grid}
    for attempt in vote(cast):
        assert {cell for row in attempt for cell in row} <= cells
        assert len(attempt) in heights | {0}
        assert {len(row) for row in attempt} <= widths


@given(predictions)
def test_what_most_of_every_group_predict_is_the_first_attempt(cast):
    winner = ((9, 9),)
    more = [Prediction(winner, prediction.inverter) for prediction in cast]
    assert vote([*cast, *more, *more])[0] == winner


def test_a_view_weighs_as_much_as_the_whole():
    # Half predict B, but C is a candidate of the whole and the mirrored view knows nothing else
    cast = under(None, A, A, B, B, B, B, B) + under("Flip(1)", C, C, C)
    assert vote(cast) == (C, B)


def test_views_without_a_group_count_among_the_whole():
    assert vote(under("Rotate(90)", A, A, A, B)) == vote(under("Concat()", A, A, A, B))
    assert vote(under("Rotate(90)", A, A, A, B))[0] == A


def test_equally_frequent_alternatives_are_decided_by_the_plain_views():
    b_is_plain = under(None, A, A, B) + under("Flip(0)", A, A, C)
    c_is_plain = under(None, A, A, C) + under("Flip(0)", A, A, B)
    assert vote(b_is_plain) == (A, B)
    assert vote(c_is_plain) == (A, C)


def test_plain_views_without_a_preference_let_the_third_candidate_win():
    # B, C, A in this order after the second round, C and A equally often and once each as plain
    assert vote(under(None, A, C) + under("Flip(0)", B)) == (B, A)


def test_without_plain_views_the_second_candidate_stays():
    assert vote(under("Flip(0)", C, D)) == (D, C)


# Three candidates


def test_candidates_are_ranked_by_count():
    assert three_candidates([A, B, B, C, C, C]) == (C, B, A)


def test_of_equally_frequent_grids_the_largest_leads():
    assert three_candidates([C, B, A])[:2] == (B, A)


def test_two_tied_grids_leave_the_second_place_to_a_majority():
    first, second, _ = three_candidates([A, B])
    assert (first, second) == (B, row_majority([A, B])) == (B, A)


def test_a_majority_need_not_be_a_prediction():
    up, down = ((1,), (2,)), ((2,), (1,))
    # Rows tie at both indices, hence the new grid; it is then taken, and columns decide the third
    assert three_candidates([up, down]) == (down, ((1,), (1,)), up)


def test_the_third_candidate_repeats_one_where_majorities_are_taken():
    assert three_candidates([A, A, A, B]) == (A, B, A)


def test_a_third_candidate_that_is_the_second_by_majority_is_replaced():
    assert three_candidates([C, C, D, D, A]) == (D, A, ((1, 0), (3, 4)))


def test_one_grid_is_all_candidates():
    assert three_candidates([A, A]) == (A, A, A)


# Majorities


def test_rows_of_other_heights_have_a_say():
    grids = [((1, 1), (2, 2)), ((1, 1), (2, 2)), ((0, 0),), ((0, 0),), ((0, 0), (5, 5), (6, 6))]
    assert row_majority(grids) == ((0, 0),)  # shapes 2 x 2 and 1 x 2 tie; the smaller is taken
    assert row_majority([*grids, ((1, 1), (5, 5))]) == ((0, 0), (2, 2))


def test_rows_of_other_widths_have_none():
    grids = [((1, 1),), ((1, 1),), ((0, 0, 0),)]
    assert row_majority(grids) == ((1, 1),)


def test_columns_are_rows_of_the_transposed():
    grids = [((1, 2, 3), (4, 5, 6)), ((1, 2, 3), (4, 5, 6)), ((9, 2), (9, 5)), ((9, 2), (9, 5))]
    more = [*grids, ((9,), (9,)), ((9,), (9,)), ((1, 8, 3), (4, 8, 6))]
    assert column_majority(more) == ((9, 2, 3), (9, 5, 6))
    assert row_majority(more) == ((1, 2, 3), (4, 5, 6))


@pytest.mark.parametrize("majority", [row_majority, column_majority])
@given(grids=few_grids, data=st.data())
def test_a_strict_majority_of_equal_grids_is_the_majority(majority, grids, data):
    grid = data.draw(filled)
    assert majority([*grids, *[grid] * (len(grids) + 1)]) == grid
