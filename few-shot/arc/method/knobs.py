"""How often self-edits make each choice of each knob, before RL and after.

There are seven knobs: four switches of augmentations, the tokens learned, how fast and how long.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from arc.method.configurations import Configuration, Rejection
from arc.method.self_edits import SelfEdit
from seal.report.tables import markdown_table, percent
from seal.run import Run

KnobShares = dict[str, dict[str, float]]
"""Knob to choice to the share of self-edits that make it."""


def choices(configuration: Configuration) -> dict[str, str]:
    """Every knob with its choice, as tables show it."""
    switches = configuration.augmentations._asdict()
    return {
        **{name: "on" if wanted else "off" for name, wanted in switches.items()},
        "strategy": "all tokens" if configuration.loss_on_all_tokens else "output tokens",
        "learning_rate": f"{configuration.learning_rate:g}",
        "epochs": f"{configuration.epochs:g}",
    }


def knob_shares(parsed: Iterable[Configuration | Rejection]) -> KnobShares:
    """The distribution of each knob over the self-edits that are not rejected."""
    valid = [choices(each) for each in parsed if isinstance(each, Configuration)]
    return {
        knob: {
            choice: round(n / len(valid), 4)
            for choice, n in sorted(Counter(each[knob] for each in valid).items(), key=_order)
        }
        for knob in (valid[0] if valid else ())
    }


def read_knobs(run: Run) -> KnobShares:
    """`knob_shares` of RUN/self_edits.jsonl."""
    return knob_shares(self_edit.parsed for self_edit in run.records("self_edits", SelfEdit))


def _order(counted: tuple[str, int]) -> tuple[float, str]:
    """Sorts numbers by size, words by the alphabet."""
    choice, _ = counted
    try:
        return float(choice), ""
    except ValueError:
        return 0.0, choice


def format_knobs(columns: Mapping[str, KnobShares]) -> str:
    """A table of all choices in any column, in percent; `columns` are shares by label."""
    made: KnobShares = {}
    for shares in columns.values():
        for knob, of_knob in shares.items():
            made.setdefault(knob, {}).update(of_knob)
    cells = []
    for knob, of_knob in made.items():
        for choice, _ in sorted(of_knob.items(), key=_order):
            # None, not zero, where a column has no valid self-edit
            shown = (of[knob].get(choice, 0) if of else None for of in columns.values())
            cells.append([knob, choice, *(percent(share, digits=0) for share in shown)])
    return markdown_table(["knob", "choice", *columns], cells)
