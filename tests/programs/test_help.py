"""Every program explains itself; flags mean the same everywhere and default to the paper's."""

import dataclasses
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

import pytest

from seal.arguments import run_program
from tests.data import REPOSITORY
from tests.house import TREES
from tests.programs.programs import load_program, program_paths

PROGRAMS = program_paths()
OF_TREES = [path for path in PROGRAMS if path.parts[0] in TREES]

# The paper's values, and the release's where the paper is silent
DEFAULTS = {
    "model": "Qwen/Qwen2.5-7B",
    "dtype": "bfloat16",
    "n_passages": 50,
    "shuffle": True,
    "rounds": 2,
    # Self-edits: E-step
    "k": 5,
    "prompt_kind": "implications",
    "max_new_tokens": 8192,
    "temperature": 1.0,
    "top_p": 0.95,
    # The inner loop
    "lora_rank": 32,
    "lora_alpha": 64,
    "learning_rate": 1e-3,
    "epochs": 10,
    "batch_size": 1,
    "gradient_accumulation": 1,
    "max_length": 2048,
    "max_answer_tokens": 64,
    "answer_style": "plain",
    # The reward and the selection
    "repeats": 3,
    "keep": 1,
    "judge_model": "gpt-4.1-2025-04-14",
    # The M-step
    "sft_learning_rate": 3e-4,
    "sft_epochs": 2,
    "sft_rank": 64,
    "sft_alpha": 128,
    "sft_batch_size": 10,
}
OWN_DEFAULTS = {
    "eval_single_passage": {"n_passages": 200, "k": 1, "repeats": 1},
    "adapt": {"k": 1},
}
# What a flag of this name is in every program: its type, and words of its help
MEANINGS = {
    "model": (str, "policy"),
    "passages": (str, "SQuAD"),
    "n_passages": (int, "passages"),
    "k": (int, "self-edits"),
    "repeats": (int, "inner loops per self-edit"),
    "rounds": (int, "rounds"),
    "prompt_kind": (Literal, "ask for"),
    "max_new_tokens": (int, "longest self-edit, in tokens"),
    "sampler": (Literal, "vLLM server"),
    "judge": (Literal, "offline"),
    "seed": (int, "random"),
    "run_dir": (Path, "run folder"),
}
SYNONYMS = {
    "model": r"model_(name|path|name_or_path)|policy|base_model|model_id",
    "passages": r"data|data_file|dataset|articles",
    "n_passages": r"(num|max)_(passages|articles|contexts)|n_(articles|contexts)|limit",
    "k": r"(n|num)_(samples|completions|self_edits)|samples|completions",
    "repeats": r"(n|num)_(repeats|repetitions|seeds|trials)|eval_times",
    "rounds": r"(n|num)_(rounds|iterations)|iterations",
    "prompt_kind": r"prompt(_type|_key|_name|_style)?|kind",
    "max_new_tokens": r"max_tokens|max_completion_tokens",
    "sampler": r"backend|engine|sampling_backend",
    "judge": r"grader|grading|judge_kind|judge_type",
    "seed": r"random_seed|rng_seed",
    "run_dir": r"run_folder|out|out_dir|output_dir|exp_dir|exp_name|experiment",
}


def flags(path: Path) -> dict[str, dataclasses.Field]:
    """The fields of a program's config by name, with the types that annotations stand for."""
    config = load_program(path.parts[0], path.stem).Config
    types = get_type_hints(config)
    fields = {field.name: field for field in dataclasses.fields(config)}
    for name, field in fields.items():
        field.type = types[name]
    return fields


def default(field: dataclasses.Field) -> Any:
    """A field's default; MISSING if the flag is required."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def test_there_are_programs():
    assert {"rest_em", "eval_single_passage", "adapt"} <= {path.stem for path in OF_TREES}
    files = [path for tree in TREES for path in REPOSITORY.glob(f"{tree}/*.py")]
    assert sorted(REPOSITORY / path for path in OF_TREES) == sorted(files)


@pytest.mark.parametrize("path", PROGRAMS, ids=str)
def test_help_shows_docstring_and_flags(path, capsys):
    program = load_program(path.parts[0], path.stem)
    with pytest.raises(SystemExit) as ended:
        run_program(program.main, program.Config, ["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert program.__doc__.strip() in shown
    words = shown.split()
    for name, field in flags(path).items():
        assert f"--{name}" in re.split(r"[\s,\[\]]+", shown)
        text = field.metadata.get("help", "")
        assert text.strip(), f"--{name} has no help"
        # argparse wraps help texts anywhere between words
        assert " ".join(text.replace("%%", "%").split()) in " ".join(words)


@pytest.mark.parametrize("path", OF_TREES, ids=str)
def test_config_is_a_frozen_dataclass_of_keywords(path):
    config = load_program(path.parts[0], path.stem).Config
    assert config.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(config))


@pytest.mark.parametrize("path", PROGRAMS, ids=str)
def test_docstring_says_what_is_read_written_and_run(path):
    lines = load_program(path.parts[0], path.stem).__doc__.splitlines()
    assert re.fullmatch(r"[A-Z].*\.", lines[0]) and lines[1] == ""
    starts = {line.split()[0] for line in lines if line and not line.startswith(" ")}
    assert {"Reads", "Writes", "Run"} <= starts


@pytest.mark.parametrize("path", PROGRAMS, ids=str)
def test_defaults_are_the_papers(path):
    expected = DEFAULTS | OWN_DEFAULTS.get(path.stem, {})
    found = {name: default(field) for name, field in flags(path).items() if name in expected}
    assert found == {name: expected[name] for name in found}


def test_every_expected_default_is_a_flag():
    names = {path.stem: set(flags(path)) for path in OF_TREES}
    assert set(DEFAULTS) <= set.union(*names.values())
    for program, expected in OWN_DEFAULTS.items():
        assert set(expected) <= names[program]


@pytest.mark.parametrize("name", MEANINGS)
def test_one_name_means_one_thing(name):
    programs = [path for path in OF_TREES if name in flags(path)]
    assert programs
    kind, words = MEANINGS[name]
    for path in programs:
        field = flags(path)[name]
        assert (get_origin(field.type) or field.type) is kind, path
        assert words in field.metadata["help"], path


def test_one_name_has_one_type():
    types = defaultdict(set)
    for path in OF_TREES:
        for name, field in flags(path).items():
            types[name].add(str(field.type))
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", OF_TREES, ids=str)
def test_one_thing_has_one_name(path):
    for name in flags(path):
        for usual, others in SYNONYMS.items():
            assert not re.fullmatch(others, name), f"--{name}: elsewhere it is --{usual}"


def test_programs_run_from_any_folder(tmp_path):
    ended = subprocess.run(
        [sys.executable, str(REPOSITORY / "general-knowledge" / "rest_em.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--run_dir" in ended.stdout


@pytest.mark.parametrize("flag", ["--no_such_flag", "--round"])
def test_unknown_and_shortened_flags_are_refused(flag, capsys):
    program = load_program("general-knowledge", "rest_em")
    with pytest.raises(SystemExit) as ended:
        run_program(
            program.main, program.Config, ["--run_dir", "r", "--passages", "p.json", flag, "1"]
        )
    assert ended.value.code == 2
    assert f"unknown flags: {flag}" in capsys.readouterr().err
