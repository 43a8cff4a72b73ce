"""Curves over rounds: what stands in the figure, and that its file appears whole."""

from math import isnan

import pytest
from matplotlib.figure import Figure

from seal.report.plots import plot_rounds, plot_seeds


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, as matplotlib's objects."""
    figures = []
    save = Figure.savefig

    def keep(figure, *arguments, **options):
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_a_png_appears_under_its_name_alone(tmp_path):
    path = tmp_path / "rounds.png"
    path.write_bytes(b"an older figure")
    plot_rounds({"a": [0.1, 0.4]}, path, "success")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


def test_curves_are_percent_over_rounds(tmp_path, drawn):
    curves = {"before": [0.0, 0.25], "after": [0.5, None, 1.0], "checked": [0.125]}
    plot_rounds(curves, tmp_path / "rounds.png", "accuracy", dashed={"checked"})
    (axes,) = drawn[0].axes
    before, after, checked = axes.get_lines()
    assert [line.get_label() for line in (before, after, checked)] == list(curves)
    assert (list(before.get_xdata()), list(before.get_ydata())) == ([1, 2], [0.0, 25.0])
    # A gap where nothing was measured, not a zero
    assert list(after.get_xdata()) == [1, 2, 3]
    first, gap, last = after.get_ydata()
    assert (first, last) == (50.0, 100.0) and isnan(gap)
    assert [line.get_linestyle() for line in (before, after, checked)] == ["-", "-", "--"]
    assert axes.get_ylabel() == "accuracy, %"
    assert axes.get_ylim()[0] == 0
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(curves)


def test_rounds_are_whole_numbers(tmp_path, drawn):
    plot_rounds({"a": [0.1, 0.2]}, tmp_path / "rounds.png", "success")
    (axes,) = drawn[0].axes
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_no_half_figure_takes_the_place_of_a_whole_one(tmp_path, monkeypatch):
    def fail(figure, path, **options):
        path.write_bytes(b"half")
        raise OSError("disk full")

    path = tmp_path / "rounds.png"
    path.write_bytes(b"an older figure")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_rounds({"a": [0.1]}, path, "success")
    assert path.read_bytes() == b"an older figure"


def test_seeds_are_thin_and_their_mean_is_thick(tmp_path, drawn):
    curves = {"round": [[0.25, 0.5, 1.0], [0.75, None, None]], "random": [[0.5, 0.5]]}
    plot_seeds(curves, tmp_path / "seeds.png", "accuracy", dashed={"random"})
    (axes,) = drawn[0].axes
    first, second, mean, control = axes.get_lines()
    assert list(first.get_ydata()) == [25.0, 50.0, 100.0]
    assert second.get_ydata()[0] == 75.0 and isnan(second.get_ydata()[1])
    # Of those seeds that were measured there
    assert list(mean.get_ydata()) == [50.0, 50.0, 100.0]
    assert first.get_linewidth() == second.get_linewidth() < mean.get_linewidth()
    assert first.get_color() == second.get_color() == mean.get_color() != control.get_color()
    # One seed is its own mean
    assert list(control.get_ydata()) == [50.0, 50.0]
    assert (mean.get_linestyle(), control.get_linestyle()) == ("-", "--")
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["before RL", "round 1", "round 2"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(curves)
    assert [path.name for path in tmp_path.iterdir()] == ["seeds.png"]
