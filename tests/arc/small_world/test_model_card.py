"""The card of a small model says how that very model was made and what it can do."""

import re

from arc.small_world.pretraining import Lessons
from seal.training.from_scratch import format_card, training_facts
from tests.programs.programs import parse_command

NARROW = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
}


def test_a_card_says_what_this_model_can_do():
    curriculum = Lessons(7, 4, tokens=200)
    model = curriculum.new_model(**NARROW)
    card = format_card(model, curriculum, {"named": 0.98, "unnamed": 0.071, "pools": {}})
    assert re.findall(r"^\| (.+?) +\| +(\d+%) \|$", card, re.MULTILINE) == [
        ("solved, given the name of the rule", "98%"),
        ("solved, from the demonstrations alone", "7%"),
    ]
    facts = training_facts(model, curriculum)
    assert f"{facts['weights']} weights" in card and f"{facts['tokens']} tokens" in card
    assert "\nlicense: mit\n" in card
    (command,) = re.findall(r"^    python (\S+) (.+)$", card, re.MULTILINE)
    config = parse_command(command[0], [*command[1].split(), "--run_dir", "runs/a"])
    assert (config.seed, config.pretraining_steps) == (7, 4)
