"""Pre-training the small model: puzzles are examples of the inner loop, it learns and resumes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from arc.method.configurations import Configuration, check_steps, load_oracle, parse_self_edit
from arc.method.inner_loop import encode_item
from arc.puzzles.grids import COLORS
from arc.puzzles.tasks import Item, load_tasks
from arc.small_world import pretraining as arc_pretraining
from arc.small_world import task_pools
from arc.small_world.pretraining import SMALL_PROMPTS, Lessons
from arc.small_world.rules import RULE_WORDS, Grids, Rule, draw_grids, draw_rule, solved
from arc.small_world.task_pools import SMALL_ORACLE, small_model_settings
from arc.small_world.tokenizer import (
    CANVAS,
    EPOCHS,
    LEARNING_RATES,
    ROLE_TOKENS,
    cell_token,
    small_tokenizer,
)
from seal.command_line.arguments import parse_arguments
from seal.lora.jobs import IGNORED_LABEL
from seal.models.load import load_model, load_tokenizer
from seal.records import read_json, read_jsonl, read_text
from seal.run import Run
from seal.training import from_scratch as pretraining
from seal.training.from_scratch import format_card, pretrain
from tests.programs.programs import load_program
from tests.support.data import REPOSITORY
from tests.support.killed_pretraining import Killed, kill_before

TREE = REPOSITORY / "few-shot"
TOKENIZER = small_tokenizer()
NARROW = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
}


SKILL = {"named": 0.93, "unnamed": 0.07}


@dataclass(frozen=True)
class Flags:
    """A run needs some config."""

    seed: int = 0


def item_of(rule: Rule, inputs: Grids) -> Item:
    """The same puzzle as a training example of the inner loop."""
    *demonstrations, test = solved(rule, inputs)
    return Item(tuple(demonstrations), test)


def drawn(seed: int) -> tuple[Rule, Grids]:
    """A rule, and two to four grids for it of some size."""
    rng = np.random.default_rng(seed)
    rule = draw_rule(rng)
    n, height, width = rng.integers([2, 2, 2], [5, CANVAS + 1, CANVAS + 1])
    return rule, draw_grids(rule, n, height, width, rng)


# What is learned


@pytest.mark.parametrize("seed", range(30))
def test_puzzles_are_examples_of_the_inner_loop(seed):
    rule, inputs = drawn(seed)
    encoded = encode_item(item_of(rule, inputs), TOKENIZER, SMALL_PROMPTS)
    input_ids, _ = Lessons(0, 10).puzzle(rule, inputs, named=False)
    assert input_ids == encoded.input_ids.tolist()


@pytest.mark.parametrize("seed", range(10))
def test_a_name_stands_before_the_demonstrations(seed):
    rule, inputs = drawn(seed)
    (system, *rest), (_, *labels) = Lessons(0, 10).puzzle(rule, inputs, named=False)
    name = TOKENIZER.convert_tokens_to_ids([*rule.name])
    assert TOKENIZER.unk_token_id not in name
    named = Lessons(0, 10).puzzle(rule, inputs, named=True)
    unlearned = [IGNORED_LABEL] * (1 + len(name))
    assert named == ([system, *name, *rest], [*unlearned, *labels])


@pytest.mark.parametrize("seed", range(10))
def test_labels_are_all_outputs_and_the_end(seed):
    rule, inputs = drawn(seed)
    input_ids, labels = Lessons(0, 10).puzzle(rule, inputs, named=True)
    learned = [label for label in labels if label != IGNORED_LABEL]
    assert all(label in (IGNORED_LABEL, id) for id, label in zip(input_ids, labels, strict=True))
    outputs = [
        [cell_token(*place, color) for place, color in np.ndenumerate(grid) for place in [place]]
        for grid in rule.apply(inputs)
    ]
    end = arc_pretraining.END
    expected = [token for cells in outputs for token in (*cells, end)] + [TOKENIZER.eos_token]
    assert TOKENIZER.convert_ids_to_tokens(learned) == expected


def test_self_edits_come_in_the_second_half():
    lessons = Lessons(seed=0, steps=4, self_edits=3)
    sizes = [[len(batch) for _, batch in lessons.batches(step)] for step in range(4)]
    assert [len(step) for step in sizes] == [1, 1, 2, 2]
    assert sizes[2][1] == sizes[3][1] == 3


def test_self_edits_are_learned_behind_their_prompts():
    _, (weight, batch) = Lessons(seed=0, steps=2, self_edits=50).batches(1)
    assert 0 < weight < 1
    said = []
    for input_ids, labels in batch:
        written = [label for label in labels if label != IGNORED_LABEL]
        assert list(input_ids[-len(written) :]) == written
        assert TOKENIZER.convert_ids_to_tokens(input_ids[-len(written) - 1]) == ROLE_TOKENS[-1]
        assert written[-1] == TOKENIZER.eos_token_id
        said.append(parse_self_edit(TOKENIZER.decode(written[:-1])))
    assert all(isinstance(each, Configuration) for each in said)
    assert {each.learning_rate for each in said} == {*LEARNING_RATES}
    assert {each.epochs for each in said} == {*EPOCHS}


def test_every_self_edit_can_be_trained_on():
    n_items = small_model_settings(Path("model")).max_items
    _, (_, batch) = Lessons(seed=0, steps=2, self_edits=50).batches(1)
    for _, labels in batch:
        text = TOKENIZER.decode([label for label in labels[:-1] if label != IGNORED_LABEL])
        assert check_steps(parse_self_edit(text), n_items) is None


def test_a_step_has_room_for_its_tokens():
    lessons = Lessons(seed=0, steps=200)
    words = {*TOKENIZER.convert_tokens_to_ids([*RULE_WORDS])}
    turns = {*TOKENIZER.convert_tokens_to_ids([*ROLE_TOKENS]), TOKENIZER.eos_token_id}
    n_tokens, named = [], []
    for step in range(100):
        ((_, batch),) = lessons.batches(step)
        assert len(batch) >= 2
        n_tokens.append(sum(id not in words | turns for ids, _ in batch for id in ids))
        named += [ids[1] in words for ids, _ in batch]
    assert max(n_tokens) <= lessons.tokens and np.median(n_tokens) > 0.9 * lessons.tokens
    assert np.mean(named) == pytest.approx(lessons.named, abs=0.05)


def test_steps_depend_on_seed_and_number_alone():
    lessons = Lessons(seed=0, steps=4)
    later = [*lessons.batches(3)]
    assert later == [*Lessons(seed=0, steps=4).batches(3)]
    assert later != [*lessons.batches(2)]
    assert later != [*Lessons(seed=1, steps=4).batches(3)]


# The model


def test_the_shipped_size():
    model = Lessons(0, 1).new_model()
    assert 0.8e6 < sum(weight.numel() for weight in model.parameters()) < 1.0e6
    # vLLM serves no narrower heads on a CPU
    assert model.config.hidden_size // model.config.num_attention_heads >= 32


def test_cells_begin_alike_where_row_column_or_color_are():
    weights = Lessons(0, 1).new_model().get_input_embeddings().weight

    def similarity(*places: tuple[int, int, int]) -> float:
        ids = TOKENIZER.convert_tokens_to_ids([cell_token(*place) for place in places])
        return float(torch.cosine_similarity(*weights[ids].detach(), dim=0))

    rng = np.random.default_rng(0)
    shared: dict[int, list[float]] = {n: [] for n in range(4)}
    for _ in range(400):
        one, other = rng.integers([CANVAS, CANVAS, COLORS], size=(2, 3)).tolist()
        if rng.random() < 0.5:
            other[:2] = one[:2]
        shared[sum(a == b for a, b in zip(one, other, strict=True))].append(similarity(one, other))
    means = [np.mean(shared[n]) for n in range(3)]
    assert abs(means[0]) < 0.15 and means[1] - means[0] > 0.1 and means[2] - means[1] > 0.1
    assert torch.equal(weights, Lessons(0, 1).new_model().get_input_embeddings().weight)
    assert not torch.equal(weights, Lessons(1, 1).new_model().get_input_embeddings().weight)


def test_every_weight_has_one_optimizer():
    model = Lessons(0, 1).new_model(**NARROW)
    held = [
        id(weight)
        for optimizer in Lessons(0, 1).optimizers(model)
        for group in optimizer.param_groups
        for weight in group["params"]
    ]
    assert sorted(held) == sorted(id(weight) for weight in model.parameters())


# Training


@pytest.fixture
def known_skill(monkeypatch):
    """Measuring takes no time."""
    monkeypatch.setattr(Lessons, "measure", lambda *_: SKILL)


def trained(folder: Path, steps: int, seed: int = 0, **sizes: float) -> Path:
    lessons = Lessons(seed, steps, **{"tokens": 200} | sizes)
    pretrain(Run.open(folder, Flags(seed)), lessons, measure_every=2, **NARROW)
    return folder / "model"


def equal(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(first[k].equal(second[k]) for k in first)


def test_a_killed_run_resumes_exactly(tmp_path, monkeypatch, known_skill):
    whole = trained(tmp_path / "whole", steps=5)
    steps = kill_before(monkeypatch, 3)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", steps=5)
    assert not (tmp_path / "killed/model").exists()
    resumed = trained(tmp_path / "killed", steps=5)
    # From the checkpoint after two steps, with the state of both optimizers
    assert steps == [0, 1, 2, 3, 2, 3, 4]
    assert equal(whole, resumed)
    assert not equal(whole, trained(tmp_path / "other", steps=5, seed=1))


def test_the_folder_is_what_programs_load(tmp_path, known_skill):
    folder = trained(tmp_path / "run", steps=1)
    tokenizer, model = load_tokenizer(str(folder)), load_model(str(folder), "float32", "cpu")
    assert tokenizer.get_vocab() == TOKENIZER.get_vocab()
    item = item_of(*drawn(0))
    one, other = (encode_item(item, each, SMALL_PROMPTS) for each in (tokenizer, TOKENIZER))
    assert one.input_ids.tolist() == other.input_ids.tolist() and one.n_prompt == other.n_prompt
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    card = (folder / "README.md").read_text()
    assert "--seed 0 --pretraining_steps 1" in card and "93%" in card and "7%" in card


def test_it_learns(tmp_path, monkeypatch, known_skill):
    monkeypatch.setattr(pretraining, "_WARMUP", 10)
    trained(tmp_path / "run", steps=120, tokens=600, other_sizes=0, self_edits=6)
    losses = [record["losses"] for record in read_jsonl(tmp_path / "run/metrics.jsonl")]
    puzzles = [of_step[0] for of_step in losses]
    self_edits = [of_step[1] for of_step in losses if len(of_step) == 2]
    assert puzzles[0] > 5.5, "no token is likelier than another"
    assert puzzles[-1] < 3, "where the next cell is has been learned, if not its colour"
    assert self_edits[-1] < self_edits[0] - 1.5, "self-edits have a form"


def test_skill_is_the_share_of_right_answers(monkeypatch):
    monkeypatch.setattr(arc_pretraining, "_MEASURED", 4)
    skill = Lessons(0, 10).measure(Lessons(0, 1).new_model(**NARROW))
    assert skill == {"named": 0.0, "unnamed": 0.0}
    assert Lessons.describe({"named": 0.975, "unnamed": 0.05}) == (
        "new puzzles solved: rule named 0.97, unnamed 0.05"
    )


# The program, its presets, and what it made


def test_the_program_leaves_what_others_read(tmp_path, capsys, monkeypatch, known_skill):
    program = load_program("few-shot", "pretrain_small_model")
    asked = []

    def make_pools(run, settings, sizes, seed):
        assert (run.path("model") / "model.safetensors").exists()
        asked.append((settings.model, sizes, seed))
        return {name: {"candidates": 7 * size} for name, size in sizes.items()}

    monkeypatch.setattr(task_pools, "make_pools", make_pools)
    config = program.Config(
        run_dir=tmp_path / "run", seed=3, pretraining_steps=1, validation_tasks=5
    )
    program.main(config)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"model", "results.json"} <= files and "checkpoint.pt" not in files
    sizes = {
        "training": config.training_tasks,
        "validation": 5,
        "evaluation": config.evaluation_tasks,
    }
    assert asked == [(str(tmp_path / "run/model"), sizes, 3)]
    results = read_json(tmp_path / "run/results.json")
    assert results["pools"]["validation"] == {"candidates": 35} and results["named"] == 0.93
    program.main(config)
    assert len(asked) == 1, "a second start has nothing left to do"
    assert "rule named 0.93" in capsys.readouterr().out.splitlines()[-1]


def test_a_program_that_is_killed_while_it_chooses_tasks_does_not_train_again(
    tmp_path, monkeypatch, known_skill
):
    program = load_program("few-shot", "pretrain_small_model")
    steps = []
    backward_of = pretraining._backward
    monkeypatch.setattr(
        pretraining, "_backward", lambda *rest: steps.append(rest[2]) or backward_of(*rest)
    )

    def killed(*_):
        raise Killed

    monkeypatch.setattr(task_pools, "make_pools", killed)
    config = program.Config(run_dir=tmp_path / "run", pretraining_steps=1)
    for _ in range(2):
        with pytest.raises(Killed):
            program.main(config)
    assert steps == [0]


@pytest.mark.parametrize(
    ("program", "names", "required"),
    [
        ("rest_em", ["small", "small-rest-em"], ["--tasks", "a.json"]),
        ("eval_self_edits", ["small"], ["--tasks", "a.json"]),
        ("solve", ["small"], ["--task", "a.json"]),
    ],
)
def test_its_presets_are_flags_of_the_programs(program, names, required):
    words = ["--config", *(str(TREE / f"presets/{name}.yaml") for name in names)]
    config_class = load_program("few-shot", program).Config
    config = parse_arguments(config_class, [*words, *required, "--run_dir", "runs/a"])
    assert (REPOSITORY / config.prompts).samefile(SMALL_PROMPTS.prompt_folder)
    # A grid that fills the canvas, its end, and the end of the turn
    assert config.max_answer_tokens >= CANVAS * CANVAS + 2


def test_its_hand_made_configuration_is_one_that_the_model_can_write():
    oracle = load_oracle(SMALL_ORACLE)
    assert oracle.learning_rate in LEARNING_RATES and oracle.epochs in EPOCHS


SHIPPED = TREE / "small_model"


def test_the_shipped_model_carries_out_rules_and_has_tasks():
    model = load_model(str(SHIPPED / "model"), "float32", "cpu")
    tokenizer = load_tokenizer(str(SHIPPED / "model"))
    assert tokenizer.get_vocab() == TOKENIZER.get_vocab()
    skill = Lessons(0, 1, tokenizer=tokenizer).measure(model)
    # Told the rule it can, from demonstrations alone it cannot: so there is something to learn
    assert skill["named"] > 0.8 and skill["unnamed"] < 0.2
    wanted = load_program("few-shot", "pretrain_small_model").Config(run_dir=SHIPPED)
    made = Lessons(0, wanted.pretraining_steps)
    assert read_text(SHIPPED / "model/README.md") == format_card(model, made, skill)
    pools = [
        load_tasks(SHIPPED / f"{name}_challenges.json")
        for name in ("training", "validation", "evaluation")
    ]
    assert [len(pool) for pool in pools] == [
        wanted.training_tasks,
        wanted.validation_tasks,
        wanted.evaluation_tasks,
    ]
    grids = {(task.demonstrations, task.test_input) for pool in pools for task in pool}
    assert len(grids) == sum(map(len, pools)), "no task is in two pools"
    assert all(task.target is not None for pool in pools for task in pool)
