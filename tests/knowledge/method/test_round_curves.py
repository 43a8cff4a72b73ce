"""Figures are drawn from results alone and appear whole."""

from knowledge.method.round_curves import plot_rounds
from seal.report import plots

ROUNDS = [
    {
        "round": 1,
        "baseline_mean_accuracy": 0.3,
        "adapter_mean_accuracy": 0.4,
        "selected_mean_reward": 0.5,
    },
    {
        "round": 2,
        "baseline_mean_accuracy": 0.3,
        "adapter_mean_accuracy": 0.5,
        "selected_mean_reward": None,
    },
]


def test_scores_of_the_proxy_are_drawn_as_a_share_of_their_maximum(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(plots, "plot_rounds", lambda curves, *_, **__: drawn.update(curves))
    rounds = [{"mean_proxy_score": 15.0, "selected_mean_reward": value} for value in (18.0, None)]
    plot_rounds(rounds, [{"adapter_mean_accuracy": 0.4}], tmp_path / "rounds.png")
    assert list(drawn.values()) == [[0.75, 0.75], [0.9, None], [0.4]]


def test_a_png_appears_under_its_name_alone(tmp_path):
    validation = [{"adapter_mean_accuracy": value} for value in (0.3, 0.4, 0.5)]
    for number, measured in enumerate([[], validation]):
        path = tmp_path / f"{number}.png"
        plot_rounds(ROUNDS, measured, path)
        assert path.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2
