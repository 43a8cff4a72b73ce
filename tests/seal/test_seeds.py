"""Seeds depend on their three arguments alone, and fit every generator."""

from seal.seeds import derive_seed


def test_seeds_are_fixed_for_ever():
    # Changing this value would silently change every published run
    assert derive_seed(0, "passage/implications/0", 2) == 706491888


def test_each_argument_matters_and_the_range_fits():
    seeds = {
        derive_seed(run, item, repeat)
        for run in range(5)
        for item in "abcde"
        for repeat in range(5)
    }
    assert len(seeds) == 125
    assert all(0 <= seed < 2**31 for seed in seeds)
