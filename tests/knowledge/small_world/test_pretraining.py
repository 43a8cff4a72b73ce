"""Pre-training the small model: its tokens lose nothing, it learns, and it resumes exactly."""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from knowledge.data.passages import Passage, Question, load_passages
from knowledge.data.prompts import answer_prompt, check_prompts, self_edit_prompt
from knowledge.method.self_edits import read_self_edits
from knowledge.method.training_texts import training_texts
from knowledge.settings import RewardSettings, SelfEditSettings
from knowledge.small_world.people import (
    RELATIONS,
    STYLES,
    World,
    all_texts,
    answer,
    make_world,
    passage_records,
    passage_text,
    question,
    self_edit_text,
    statement,
    style_of,
)
from knowledge.small_world.pretraining import (
    LONGEST_SELF_EDIT,
    ORACLE,
    PASSAGE_REPEATED,
    Lessons,
    reference_self_edits,
    self_edit_request,
)
from knowledge.small_world.tokenizer import PROMPTS, UNKNOWN, word_tokenizer
from seal.command_line.arguments import parse_arguments
from seal.lora.jobs import IGNORED_LABEL
from seal.models.load import load_model, load_tokenizer
from seal.records import read_json, read_text, write_json
from seal.run import Run
from seal.training.from_scratch import (
    format_card,
    learning_rate_factor,
    pretrain,
    training_facts,
)
from tests.programs.programs import load_program, parse_command
from tests.support.data import REPOSITORY
from tests.support.killed_pretraining import Killed, kill_before

WORLD = make_world(0)
TOKENIZER = word_tokenizer()
NARROW = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
}
BRIEF = {"demonstrations": 2, "passages": 2, "documents": 4}


@dataclass(frozen=True)
class Flags:
    """A run needs some config."""

    seed: int = 0


def texts(seed: int) -> Iterable[str]:
    """One of everything that is written about somebody."""
    rng = random.Random(seed)
    person = WORLD.stranger(rng)
    passage = passage_text(person, rng)
    yield passage
    for relation, value in zip(RELATIONS, person.facts, strict=True):
        yield statement(relation, person.name, value, rng)
        yield f"{question(relation, person.name, rng)} {answer(value)}"
        yield answer_prompt(
            person.name, question(relation, person.name, rng), RewardSettings(prompts=PROMPTS)
        )
    for style in STYLES:
        written = self_edit_text(style, person, passage, rng)
        yield written
        yield self_edit_request(person, passage) + written
        yield from training_texts(person.name, passage, written)


# Tokens


@pytest.mark.parametrize("seed", range(30))
def test_texts_survive(seed):
    for text in texts(seed):
        ids = TOKENIZER(text)["input_ids"]
        assert UNKNOWN not in TOKENIZER.convert_ids_to_tokens(ids)
        assert TOKENIZER.decode(ids) == text


def test_words_are_whole_and_marks_stand_alone():
    text = "Ada Dorn\nWhere was Ada Dorn born? Arvel."
    expected = ["Ada", "Dorn", "\n", "Where", "was", "Ada", "Dorn", "born", "?", "Arvel", "."]
    assert TOKENIZER.tokenize(text) == expected
    assert TOKENIZER("Notes:\n")["input_ids"][-1] == TOKENIZER("\n")["input_ids"][0]


def test_every_token_is_used():
    used = {*TOKENIZER.convert_ids_to_tokens(TOKENIZER(" ".join(all_texts()))["input_ids"])}
    used |= {*TOKENIZER.tokenize("Notes:\n"), TOKENIZER.eos_token, UNKNOWN}
    assert used == {*TOKENIZER.get_vocab()}


def test_other_words_are_unknown():
    assert TOKENIZER.tokenize("Ada flew.") == ["Ada", UNKNOWN, "."]


@pytest.mark.parametrize("style", STYLES)
def test_self_edits_fit(style):
    for seed in range(100):
        rng = random.Random(seed)
        person = WORLD.stranger(rng)
        written = self_edit_text(style, person, passage_text(person, rng), rng)
        assert len(TOKENIZER(written)["input_ids"]) < LONGEST_SELF_EDIT


# Prompts


def test_the_prompts_are_those_of_the_programs():
    check_prompts(SelfEditSettings(prompts=PROMPTS))
    check_prompts(RewardSettings(prompts=PROMPTS))
    passage = Passage("", "Ada Dorn", "She lives.", (Question("a", "b"),))
    person = WORLD.stranger(random.Random(0))
    assert (
        self_edit_prompt(passage, SelfEditSettings(prompts=PROMPTS))
        == "Ada Dorn\nShe lives.\nNotes:\n"
    )
    assert self_edit_request(person, "He.") == f"{person.name}\nHe.\nNotes:\n"
    # No line break at its end: in the documents too, the answer follows in the question's line
    assert answer_prompt("Ada Dorn", "Why?", RewardSettings(prompts=PROMPTS)) == "Ada Dorn\nWhy?"


# What a step is trained on


def decoded(ids: Iterable[int]) -> str:
    return TOKENIZER.decode([*ids])


def test_a_step_has_three_batches():
    lessons = Lessons(0, 10, WORLD)
    (_, demonstrations), (weight, passages), (_, documents) = lessons.batches(0)
    assert (len(demonstrations), len(passages), len(documents)) == (8, 6, 48)
    assert weight == 0.6
    others, known = {*WORLD.others}, {person.name for person in WORLD.known}
    for ids, labels in demonstrations:
        written = [label for label in labels if label != IGNORED_LABEL]
        # The loss is on the self-edit and its end alone
        assert decoded(ids).startswith(decoded(ids).splitlines()[0])
        assert list(ids[-len(written) :]) == written and written[-1] == TOKENIZER.eos_token_id
        request = decoded(ids[: -len(written)])
        assert request.endswith("\nNotes:\n") and request.splitlines()[0] in others
    for ids, labels in [*passages, *documents]:
        assert list(ids) == list(labels) and ids[-1] == TOKENIZER.eos_token_id
    assert {decoded(ids).splitlines()[0] for ids, _ in passages} <= known


def test_steps_depend_on_seed_and_number_alone():
    lessons = Lessons(0, 10, WORLD, **BRIEF)
    first = [*lessons.batches(3)]
    assert first == [*lessons.batches(3)]
    assert first != [*lessons.batches(4)]
    assert first != [*replace(lessons, seed=1).batches(3)]


def test_nobody_is_given_away():
    """Those of the loops are never written about, and of some known people nothing is asked."""
    lessons = Lessons(0, 10, WORLD, demonstrations=4, passages=4, documents=400)
    seen = [
        decoded(ids) for step in range(10) for _, batch in lessons.batches(step) for ids, _ in batch
    ]
    unseen = [person.name for person in WORLD.evaluation + WORLD.training]
    assert not any(name in text for name in unseen for text in seen)
    asked = [text for text in seen if "?" in text and "Notes" not in text]
    assert len(asked) > 1000
    assert not any(person.name in text for person in WORLD.unasked for text in asked)
    assert any(person.name in text for person in WORLD.unasked for text in seen)


def test_learning_rate_rises_and_falls():
    rates = [learning_rate_factor(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01) and rates[99] == pytest.approx(1)
    assert rates[:101] == sorted(rates[:101]) and rates[100:] == sorted(rates[100:])[::-1]
    assert 0 < rates[-1] < 1e-4


# Training


def small_world() -> World:
    """One whose few people are soon known."""
    return make_world(0, n_known=3, n_unasked=1, n_evaluation=1, n_training=2)


def trained(folder: Path, steps: int, seed: int = 0) -> Path:
    lessons = Lessons(seed, steps, small_world(), **BRIEF)
    pretrain(Run.open(folder, Flags(seed)), lessons, measure_every=2, **NARROW)
    return folder / "model"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(first[k].equal(second[k]) for k in first)


def test_a_killed_run_resumes_exactly(tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole", steps=5)
    steps = kill_before(monkeypatch, 3)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", steps=5)
    assert not (tmp_path / "killed/model").exists()
    resumed = trained(tmp_path / "killed", steps=5)
    # From the checkpoint after two steps
    assert steps == [0, 1, 2, 3, 2, 3, 4]
    assert equal(whole, resumed)
    # Nor is there anything left to do
    trained(tmp_path / "killed", steps=5)
    assert len(steps) == 7 and equal(whole, resumed)
    assert not equal(whole, trained(tmp_path / "other", steps=5, seed=1))


def test_the_folder_is_what_programs_load(tmp_path):
    folder = trained(tmp_path / "run", steps=1)
    tokenizer, model = load_tokenizer(str(folder)), load_model(str(folder), "float32", "cpu")
    assert tokenizer.get_vocab() == TOKENIZER.get_vocab()
    text = "Ada Dorn\nWhere was Ada Dorn born? Arvel."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_the_shipped_size():
    model = Lessons(0, 1, WORLD).new_model()
    assert 1.0e6 < sum(weight.numel() for weight in model.parameters()) < 1.2e6
    # vLLM serves no narrower heads on a CPU
    assert model.config.hidden_size // model.config.num_attention_heads >= 32


def test_it_learns(tmp_path):
    world = small_world()
    sizes = {"demonstrations": 2, "passages": 2, "documents": 24}
    lessons = Lessons(0, 200, world, learning_rate=1e-2, **sizes)
    before = lessons.measure(lessons.new_model(**NARROW))
    run = Run.open(tmp_path / "run", Flags())
    after = pretrain(run, lessons, measure_every=lessons.steps, **NARROW)
    assert before["known"]["asked"] == 0
    # Guessing the most popular value would give 0.12
    assert after["known"]["asked"] > 0.3
    assert sum(after["styles"].values()) == pytest.approx(1)
    card = read_text(run.path("model/README.md"))
    assert card_table(card) == expected_table(after)
    assert "--seed 0 --pretraining_steps 200\n" in card


# Its card


def card_table(card: str) -> list[tuple[str, str]]:
    """What the card says that the model can do, and how well."""
    return re.findall(r"^\| (.+?) +\| +(\d+%) \|$", card, re.MULTILINE)


def expected_table(skill: dict) -> list[tuple[str, str]]:
    said = "right answers, closed-book: on people"
    return [
        (f"{said} with questions in training", f"{skill['known']['asked']:.0%}"),
        (f"{said} without questions in training", f"{skill['known']['unasked']:.0%}"),
        *(
            (f"self-edits in the style {style}", f"{share:.0%}")
            for style, share in skill["styles"].items()
        ),
    ]


def test_training_facts_are_of_this_model_and_training():
    class Growing(Lessons):
        def batches(self, step: int) -> list:
            first, second = ([0] * 50, [0] * 50), ([0] * (50 + step), [0] * (50 + step))
            return [(1.0, [first]), (0.5, [second])]

    model = Lessons(0, 1, WORLD).new_model(**NARROW)
    weights = sum(weight.numel() for weight in model.parameters())
    for steps, tokens in [(1, 100), (3, 300 + 0 + 1 + 2), (20, 2000 + 190), (999, 99900 + 498501)]:
        facts = training_facts(model, Growing(0, steps, WORLD))
        assert facts.keys() == {"weights", "steps", "tokens"} and facts["steps"] == str(steps)
        for name, exact in [("weights", weights), ("tokens", tokens)]:
            assert float(facts[name].replace(",", "")) == pytest.approx(exact, rel=0.06)


def test_a_card_says_what_this_model_can_do():
    curriculum = Lessons(7, 5, WORLD, **BRIEF)
    model = curriculum.new_model(**NARROW)
    shares = dict(zip(STYLES, (0.5, 0.2, 0.15, 0.1, 0.05, 0.0), strict=True))
    skill = {"known": {"asked": 0.984, "unasked": 0.371}, "styles": shares}
    card = format_card(model, curriculum, skill)
    assert card_table(card) == expected_table(skill)
    facts = training_facts(model, curriculum)
    assert f"{facts['weights']} weights" in card and f"{facts['tokens']} tokens" in card
    assert "\nlicense: mit\n" in card
    (command,) = re.findall(r"^    python (\S+) (.+)$", card, re.MULTILINE)
    config = parse_command(command[0], [*command[1].split(), "--run_dir", "runs/a"])
    assert (config.seed, config.pretraining_steps) == (7, 5)


# What a policy's own self-edits are measured by


@pytest.fixture
def evaluation(tmp_path) -> list[Passage]:
    """The passages of `WORLD.evaluation`, with the ids that programs give them."""
    write_json(tmp_path / "evaluation.json", passage_records(WORLD.evaluation, 0))
    return load_passages(tmp_path / "evaluation.json")


def test_the_oracle_answers_all_that_is_asked(evaluation):
    oracle = reference_self_edits(WORLD.evaluation, evaluation, 0)[ORACLE]
    assert [self_edit.passage_id for self_edit in oracle] == [each.id for each in evaluation]
    for self_edit, person in zip(oracle, WORLD.evaluation, strict=True):
        lines = self_edit.text.splitlines()
        assert {line.split()[-1].rstrip(".") for line in lines} == {*person.facts}
        assert len(lines) == len(RELATIONS)
        assert style_of(self_edit.text, person) == "question-answer"


def test_a_repeated_passage_takes_as_many_steps_as_the_oracle(evaluation):
    by_kind = reference_self_edits(WORLD.evaluation, evaluation, 0)
    pairs = zip(evaluation, by_kind[ORACLE], by_kind[PASSAGE_REPEATED], strict=True)
    for passage, oracle, repeated in pairs:
        texts = training_texts(passage.title, passage.context, repeated.text)
        assert {*texts} == {f"{passage.title}\n{passage.context}"}
        assert len(texts) == len(training_texts(passage.title, passage.context, oracle.text))


def test_reference_self_edits_depend_on_the_seed_alone(evaluation):
    people = WORLD.evaluation
    assert reference_self_edits(people, evaluation, 0) == reference_self_edits(
        people, evaluation, 0
    )
    assert reference_self_edits(people, evaluation, 0) != reference_self_edits(
        people, evaluation, 1
    )
    with pytest.raises(ValueError, match="shorter"):
        reference_self_edits(people, evaluation[:-1], 0)


# The program, and what it made


def test_the_program_leaves_what_others_read(tmp_path, capsys):
    program = load_program("general-knowledge", "pretrain_small_model")
    config = program.Config(run_dir=tmp_path / "run", seed=3, pretraining_steps=1)
    program.main(config)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"model", "results.json", "training.json", "evaluation.json"} <= files
    assert "checkpoint.pt" not in files
    world = make_world(3)
    for name, people in [("training", world.training), ("evaluation", world.evaluation)]:
        passages = load_passages(tmp_path / f"run/{name}.json")
        assert [passage.title for passage in passages] == [person.name for person in people]
    for kind, self_edits in reference_self_edits(world.evaluation, passages, 3).items():
        assert read_self_edits(tmp_path / f"run/{kind}.jsonl", passages, 1) == self_edits
    before = (tmp_path / "run/model/model.safetensors").stat().st_mtime_ns
    program.main(config)
    assert (tmp_path / "run/model/model.safetensors").stat().st_mtime_ns == before
    assert "known people closed-book" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("program", "names"),
    [("rest_em", ["small", "small-rest-em"]), ("eval_single_passage", ["small"])],
)
def test_its_presets_are_flags_of_the_programs(program, names):
    presets = PROMPTS.parent.parent / "presets"
    words = ["--config", *(str(presets / f"{name}.yaml") for name in names)]
    required = ["--passages", "a.json", "--run_dir", "runs/a"]
    config_class = load_program("general-knowledge", program).Config
    config = parse_arguments(config_class, [*words, *required])
    assert (REPOSITORY / config.prompts).samefile(PROMPTS)
    assert config.max_new_tokens == LONGEST_SELF_EDIT


def test_the_shipped_model_knows_its_world():
    folder = PROMPTS.parent
    for name, people in [("training", WORLD.training), ("evaluation", WORLD.evaluation)]:
        assert read_json(folder / f"{name}.json") == passage_records(people, 0)
    passages = load_passages(folder / "evaluation.json")
    for kind, self_edits in reference_self_edits(WORLD.evaluation, passages, 0).items():
        assert read_self_edits(folder / f"{kind}.jsonl", passages, 1) == self_edits
    model = load_model(str(folder / "model"), "float32", "cpu")
    tokenizer = load_tokenizer(str(folder / "model"))
    assert tokenizer.get_vocab() == TOKENIZER.get_vocab()
    program = load_program("general-knowledge", "pretrain_small_model")
    steps = program.Config(run_dir=Path()).pretraining_steps
    lessons = Lessons(0, steps, WORLD, tokenizer=tokenizer)
    skill = lessons.measure(model)
    assert skill["known"]["asked"] > 0.95 and skill["known"]["unasked"] > 0.9
    # Left to itself it writes useful self-edits and useless ones
    assert skill["styles"]["filler"] > 0.1 and skill["styles"]["full"] < 0.3
    expected = format_card(model, lessons, skill)
    card = read_text(folder / "model/README.md")
    # Sampled: where arithmetic rounds otherwise, a share may be another by a self-edit or two
    shares = [[int(n) for n in re.findall(r" (\d+)%", text)] for text in (card, expected)]
    assert shares[0] == pytest.approx(shares[1], abs=2)
    rest = [re.sub(r" +\d+%", "", text) for text in (card, expected)]
    assert rest[0] == rest[1]
