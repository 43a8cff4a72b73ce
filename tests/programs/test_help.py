"""Every program explains itself; flags mean the same everywhere and default to the paper's."""

import dataclasses
import os
import re
import subprocess
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from seal.command_line.arguments import GROUPS
from seal.command_line.program import run_program
from tests.programs.programs import load_program, program_paths
from tests.support.data import REPOSITORY
from tests.support.house import TREES

PROGRAMS = program_paths()
OF_TREES = [path for path in PROGRAMS if path.parts[0] in TREES]

# The paper's values, and the release's where the paper is silent
DEFAULTS = {
    "general-knowledge": {
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
        "selection": "best",
        "judge_model": "gpt-4.1-2025-04-14",
        # The M-step
        "sft_learning_rate": 3e-4,
        "sft_schedule": "linear",
        "sft_epochs": 2,
        "sft_rank": 64,
        "sft_alpha": 128,
        "sft_target_modules": [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ],
        "sft_batch_size": 10,
        # Other ways to write self-edits, and to reward them
        "writer": "policy",
        "writer_model": "gpt-4.1-2025-04-14",
        "max_missing": 0.02,
        "relations": "pairs",
        "max_pairs": 15,
        "max_triples": 15,
        "reward": "inner-loop",
    },
    "few-shot": {
        "model": "meta-llama/Llama-3.2-1B-Instruct",
        "dtype": "bfloat16",
        "task_ids": None,
        "n_tasks": None,
        "rounds": 1,
        # Self-edits: E-step
        "k": 15,
        "max_new_tokens": 128,
        "temperature": 0.8,
        "top_p": 1.0,
        "skip_repeated_configs": False,
        # The inner loop
        "lora_rank": 128,
        "lora_alpha": 16,
        "target_modules": ["q_proj", "v_proj", "gate_proj", "down_proj", "up_proj"],
        "warmup_steps": 11,
        "max_items": 250,
        "max_length": 8192,
        "max_steps": 375,
        # The prediction
        "n_permutations": 2,
        "max_answer_tokens": None,
        "release_bugs": False,
        # The M-step
        "sft_learning_rate": 5e-5,
        "sft_schedule": "cosine",
        "sft_epochs": 8,
        "sft_rank": 16,
        "sft_alpha": 16,
        "sft_target_modules": ["q_proj", "v_proj", "gate_proj", "down_proj", "up_proj"],
        "sft_batch_size": 5,
        "selection": "rewarded",
    },
}
OWN_DEFAULTS = {
    "general-knowledge/eval_single_passage.py": {"n_passages": 200, "k": 1, "repeats": 1},
    "general-knowledge/adapt.py": {"k": 1},
    "general-knowledge/run_cpt.py": {
        "n_passages": 200,
        "epochs": 1,
        "learning_rate": 7e-5,
        "batch_size": 4,
        "gradient_accumulation": 2,
    },
    "general-knowledge/run_continual.py": {"n_passages": 8, "k": 1},
    "few-shot/eval_self_edits.py": {"k": 5},
    "few-shot/solve.py": {"k": 1},
}
# What a flag of this name is in every program: its type, and words of its help
MEANINGS = {
    "model": (str, "policy"),
    "passages": (str, "SQuAD"),
    "n_passages": (int, "passages"),
    "tasks": (Path, "challenges"),
    "task": (Path, "one ARC task"),
    "task_ids": (str, "preset"),
    "n_tasks": (int, "drawn by --seed"),
    "self_edits": (str, "self_edits.jsonl"),
    "policies": (list, "LABEL=MODEL"),
    "k": (int, "self-edits"),
    "oracle_file": (Path, "hand-made configuration"),
    "selection": (Literal, "rewards"),
    "repeats": (int, "inner loops per self-edit"),
    "rounds": (int, "rounds"),
    "prompts": (Path, "prompt files"),
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
    "tasks": r"tasks_file|task_folder|challenges|arc_data",
    "task": r"task_(file|path)|puzzle",
    "task_ids": r"ids|only|subset|filter",
    "n_tasks": r"(num|max)_tasks|tasks_limit",
    "self_edits": r"(self_edits|configs)_(file|path)|edits|configurations",
    "policies": r"models|other_(models|policies)",
    "k": r"(n|num)_(samples|completions|self_edits)|samples|completions",
    "repeats": r"(n|num)_(repeats|repetitions|seeds|trials)|eval_times",
    "rounds": r"(n|num)_(rounds|iterations)|iterations",
    "prompts": r"prompt_(folder|dir|files)|templates",
    "prompt_kind": r"prompt(_type|_key|_name|_style)?|kind",
    "max_new_tokens": r"max_tokens|max_completion_tokens",
    "sampler": r"backend|engine|sampling_backend",
    "judge": r"grader|grading|judge_kind|judge_type",
    "seed": r"random_seed|rng_seed",
    "run_dir": r"run_folder|out|out_dir|output_dir|exp_dir|exp_name|experiment",
}


_HELP_OF_EACH = """
import contextlib, io, sys
from pathlib import Path
from tests.programs.programs import parse_command
for path in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        parse_command(path, ["--help"])
    heavy = "accelerate datasets matplotlib openai pandas peft torch transformers".split()
    if found := [package for package in heavy if package in sys.modules]:
        sys.exit(f"{path} imports {found}")
"""


def flags(path: Path) -> dict[str, dataclasses.Field]:
    """The fields of a program's config by name, with the types that annotations stand for."""
    config = load_program(path.parts[0], path.stem).Config
    types = get_type_hints(config)
    fields = {field.name: field for field in dataclasses.fields(config)}
    for name, field in fields.items():
        field.type = types[name]
    return fields


def type_of_words(field: dataclasses.Field) -> Any:
    """What the words of a flag become; None is what it is without any."""
    kinds = [kind for kind in get_args(field.type) if kind is not NoneType]
    return kinds[0] if get_origin(field.type) in (UnionType, Union) else field.type


def default(field: dataclasses.Field) -> Any:
    """A field's default; MISSING if the flag is required."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def test_there_are_programs():
    assert {path.parts[0] for path in OF_TREES if path.stem == "rest_em"} == set(TREES)
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
    words = "".join(shown.split())
    for name, field in flags(path).items():
        assert f"--{name}" in re.split(r"[\s,\[\]]+", shown)
        text = field.metadata.get("help", "")
        assert text.strip(), f"--{name} has no help"
        assert "".join(text.split()) in words  # it is wrapped between words and behind commas


def test_help_waits_for_no_heavy_package():
    light = [str(path) for path in PROGRAMS if path.parts[0] != "benchmarks"]
    ended = subprocess.run(
        [sys.executable, "-c", _HELP_OF_EACH, *light],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([".", *TREES])},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("path", PROGRAMS, ids=str)
def test_groups_of_flags_are_in_order(path, capsys):
    program = load_program(path.parts[0], path.stem)
    with pytest.raises(SystemExit):
        run_program(program.main, program.Config, ["--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    titles = [above for above, line in pairwise(lines) if line and not line.strip("-")]
    assert titles[0] == "options"
    assert titles[1:] == [group for group in GROUPS if group in titles]


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


@pytest.mark.parametrize("path", OF_TREES, ids=str)
def test_defaults_are_the_papers(path):
    expected = DEFAULTS[path.parts[0]] | OWN_DEFAULTS.get(str(path), {})
    found = {name: default(field) for name, field in flags(path).items() if name in expected}
    assert found == {name: expected[name] for name in found}


@pytest.mark.parametrize("tree", TREES)
def test_every_expected_default_is_a_flag(tree):
    names = {str(path): set(flags(path)) for path in OF_TREES if path.parts[0] == tree}
    assert set(DEFAULTS[tree]) <= set.union(*names.values())
    for program in names.keys() & OWN_DEFAULTS.keys():
        assert set(OWN_DEFAULTS[program]) <= names[program]


@pytest.mark.parametrize("name", MEANINGS)
def test_one_name_means_one_thing(name):
    programs = [path for path in OF_TREES if name in flags(path)]
    assert programs
    kind, words = MEANINGS[name]
    for path in programs:
        field = flags(path)[name]
        found = type_of_words(field)
        assert (get_origin(found) or found) is kind, path
        assert words in field.metadata["help"], path


def test_one_name_has_one_type():
    types = defaultdict(set)
    for path in OF_TREES:
        for name, field in flags(path).items():
            kind = type_of_words(field)
            # What there is to choose among may depend on the domain
            tree = path.parts[0] if get_origin(kind) is Literal else None
            types[name, tree].add(str(kind))
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", OF_TREES, ids=str)
def test_one_thing_has_one_name(path):
    for name in flags(path):
        for usual, others in SYNONYMS.items():
            assert not re.fullmatch(others, name), f"--{name}: elsewhere it is --{usual}"


@pytest.mark.parametrize("tree", TREES)
def test_programs_run_from_any_folder(tree, tmp_path):
    ended = subprocess.run(
        [sys.executable, str(REPOSITORY / tree / "rest_em.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--run_dir" in ended.stdout


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("flag", ["--no_such_flag", "--round"])
def test_unknown_and_shortened_flags_are_refused(tree, flag, capsys):
    program = load_program(tree, "rest_em")
    required = {"general-knowledge": "--passages", "few-shot": "--tasks"}[tree]
    with pytest.raises(SystemExit) as ended:
        run_program(program.main, program.Config, ["--run_dir", "r", required, "x", flag, "1"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {flag} is not a flag of rest_em.py") and error.count("\n") == 1
