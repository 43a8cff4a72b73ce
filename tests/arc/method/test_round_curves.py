"""The curve of a ReST-EM run is drawn from its rounds' results alone."""

from arc.method import round_curves as curves
from arc.method.round_curves import plot_rounds

ROUNDS = [
    {"in_context_success_rate": 0.0, "success_rate": 0.2, "n_rewarded": 3},
    {"in_context_success_rate": 0.1, "success_rate": 0.7, "n_rewarded": 9},
]


def test_a_png_appears_under_its_name_alone(tmp_path):
    for number in (1, 2):
        path = tmp_path / f"{number}.png"
        plot_rounds(ROUNDS[:number], path)
        assert path.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "1.png").read_bytes() != (tmp_path / "2.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_curves_are_the_rounds_figures(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves.plots, "plot_rounds", lambda *arguments: drawn.append(arguments))
    plot_rounds(ROUNDS, tmp_path / "rounds.png")
    assert drawn == [
        (
            {"in context, no update": [0.0, 0.1], "after the inner loop": [0.2, 0.7]},
            tmp_path / "rounds.png",
            "success",
        )
    ]
