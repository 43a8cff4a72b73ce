"""The code keeps the rules of this house: who imports whom, what runs when, how large files are."""

import ast
import importlib.metadata
import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support.data import REPOSITORY
from tests.support.house import (
    BROUGHT_BY,
    TREES,
    documentation_breaches,
    import_breaches,
    imported,
    is_program,
    module_name,
    program_breaches,
    read_pins,
    requires,
    sources,
    third_party,
    unsafe_breaches,
)

SOURCES = sources()
PROGRAMS = [path for path in SOURCES if is_program(path)]
MODULES = [path for path in SOURCES if not is_program(path) and path.parts[0] != "benchmarks"]
PINS = {
    name: read_pins((REPOSITORY / name).read_text())
    for name in ["requirements.txt", "requirements-cpu.txt", "requirements-dev.txt"]
}
# vLLM is a server of its own: it is run, never imported, so the CPU's requirements are all
THIRD_PARTY = third_party(PINS["requirements-cpu.txt"])
MOST_LINES = 400

# The modules that import torch, transformers or openai; every other one loads without them
HEAVY_MODULES = [
    "arc.method.round_curves",
    "arc.method.encoding",
    "arc.method.few_shot_table",
    "arc.show.png",
    "arc.small_world.tokenizer",
    "arc.method.inner_loop",
    "arc.method.outer_loop",
    "arc.method.prediction",
    "arc.small_world.pretraining",
    "arc.method.self_edits",
    "arc.small_world.format_model",
    "arc.small_world.task_pools",
    "knowledge.experiments.continued_pretraining",
    "knowledge.experiments.entigraph",
    "knowledge.method.single_passage_table",
    "knowledge.method.closed_book",
    "knowledge.method.round_curves",
    "knowledge.method.inner_loop",
    "knowledge.method.outer_loop",
    "knowledge.small_world.pretraining",
    "knowledge.small_world.reference_self_edits",
    "knowledge.method.self_edits",
    "knowledge.experiments.continual",
    "knowledge.experiments.continual_table",
    "knowledge.tables.plots",
    "knowledge.small_world.tokenizer",
    "knowledge.method.writers",
    "seal.loop.inner_loops",
    "seal.lora*",
    "seal.models.load",
    "seal.report.plots",
    "seal.loop.policy",
    "seal.training.from_scratch",
    "seal.training.weighted",
    "seal.samplers.in_process",
    "seal.models.untrained",
    "seal.samplers.vllm",
]
HEAVY_PACKAGES = {
    "accelerate", "datasets", "matplotlib", "openai", "peft", "torch", "transformers", "vllm",
}  # fmt: skip
_IMPORT_EACH = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
    for package in sorted(set(sys.argv[1].split(",")) & set(sys.modules)):
        sys.exit(f"{name} imports {package}")
"""


def text_of(path: Path) -> str:
    return (REPOSITORY / path).read_text()


def test_all_parts_are_looked_at():
    assert {path.parts[0] for path in SOURCES} == {"seal", "benchmarks", "scripts", *TREES}
    assert Path("general-knowledge/rest_em.py") in PROGRAMS
    assert Path("general-knowledge/knowledge/data/splits.py") in MODULES


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_go_one_way(path):
    assert import_breaches(path, text_of(path), THIRD_PARTY) == []


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_nothing_unsafe(path):
    assert unsafe_breaches(path, text_of(path)) == []


@pytest.mark.parametrize("path", PROGRAMS, ids=str)
def test_programs_do_nothing_at_import(path):
    assert program_breaches(path, text_of(path)) == []


def test_programs_shadow_no_module():
    # A program's folder comes first on its import path, so its own name hides what is named alike
    installed = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()}
    assert {path.stem for path in PROGRAMS} & {*installed, *TREES.values()} == set()


@pytest.mark.parametrize("path", [*PROGRAMS, *MODULES], ids=str)
def test_names_are_documented_and_typed(path):
    assert documentation_breaches(path, text_of(path)) == []


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_files_are_short(path):
    assert len(text_of(path).splitlines()) <= MOST_LINES


def test_a_tree_has_one_package():
    for tree, package in TREES.items():
        found = {path.parent.name for path in REPOSITORY.glob(f"{tree}/*/__init__.py")}
        assert found <= {package}


def test_pure_modules_load_no_heavy_package():
    names = [module_name(path) for path in MODULES]
    pure = [name for name in names if not any(fnmatch(name, heavy) for heavy in HEAVY_MODULES)]
    assert {"seal", "seal.run", "knowledge.settings", "knowledge.data.prompts"} <= set(pure)
    assert all(any(fnmatch(name, heavy) for name in names) for heavy in HEAVY_MODULES)
    ended = import_each(pure, [REPOSITORY, *(REPOSITORY / tree for tree in TREES)])
    assert (ended.returncode, ended.stderr) == (0, "")


def import_each(modules: list[str], folders: list[Path]) -> subprocess.CompletedProcess:
    """Import modules one after the other in a new Python; 1 and a line if one is heavy."""
    return subprocess.run(
        [sys.executable, "-c", _IMPORT_EACH, ",".join(HEAVY_PACKAGES), *modules],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        capture_output=True,
        text=True,
    )


# Requirements


def test_the_cpus_requirements_are_those_of_gpus_without_vllm():
    pins = PINS["requirements.txt"]
    assert "vllm" in pins
    assert {**PINS["requirements-cpu.txt"], "vllm": pins["vllm"]} == pins
    for name in ["requirements.txt", "requirements-cpu.txt"]:
        assert "-e ." in text_of(Path(name)).splitlines()


def test_every_requirement_is_used():
    trees = [ast.parse(text_of(path)) for path in SOURCES]
    used = {name.split(".")[0] for tree in trees for _, name in imported(tree)}
    assert THIRD_PARTY - used - set(BROUGHT_BY) == set()


@pytest.mark.parametrize(("name", "bringer"), BROUGHT_BY.items())
def test_requirements_bring_what_is_imported(name, bringer):
    assert requires(bringer, name)


# The checks themselves must find what they are for

SEAL, PACKAGE = Path("seal/a.py"), Path("general-knowledge/knowledge/a.py")
PROGRAM, OTHER = Path("general-knowledge/a.py"), Path("few-shot/arc/a.py")
SCRIPT = Path("scripts/a.py")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (SEAL, "import knowledge.data.splits"),
        (SEAL, "def f():\n    from arc import grids"),
        (PACKAGE, "import rest_em"),
        (PACKAGE, "from arc.puzzles.grids import Grid"),
        (OTHER, "from knowledge import passages"),
        (PROGRAM, "import adapt"),
        (PROGRAM, "from arc import grids"),
        (PROGRAM, "from tests.support.data import REPOSITORY"),
        (SCRIPT, "from knowledge import passages"),
        (SCRIPT, "import summarize_seeds"),
        (PACKAGE, "from .passages import Passage"),
        (PACKAGE, "from . import passages"),
        (SEAL, "import pandas"),
        (SEAL, "import vllm"),
        (SEAL, "import pickle"),
        (SEAL, "import pdb"),
    ],
)
def test_forbidden_imports_are_found(path, text):
    assert len(import_breaches(path, text, THIRD_PARTY)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (SEAL, "import json, torch\nfrom seal.errors import UserError"),
        (PACKAGE, "from knowledge.data.passages import Passage\nfrom seal.run import Run"),
        (PROGRAM, "from dotenv import load_dotenv\nimport knowledge\nimport tokenizers"),
        (OTHER, "import arc.puzzles.grids\nimport seal"),
        (Path("benchmarks/a.py"), "import knowledge.data.splits\nfrom hf_trainer import run"),
    ],
)
def test_allowed_imports_pass(path, text):
    assert import_breaches(path, text, THIRD_PARTY) == []


@pytest.mark.parametrize(
    "text",
    [
        "load(x, trust_remote_code=True)",
        "subprocess.run(x, shell=True)",
        "eval(x)",
        "exec(x)",
        "__import__(x)",
        "importlib.import_module(x)",
        "breakpoint()",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "sys.path.insert(0, x)",
        "os.system(x)",
        "def f(x):\n    assert x",
    ],
)
def test_unsafe_code_is_found(text):
    assert len(unsafe_breaches(SEAL, text)) == 1


def test_safe_code_passes():
    text = (
        "model.eval()\nre.compile(x)\ntorch.load(x, weights_only=True)\nload(trust_remote_code=y)"
    )
    assert unsafe_breaches(SEAL, text) == []
    assert unsafe_breaches(Path("benchmarks/a.py"), "sys.path.append(x)") == []


GOOD_PROGRAM = '''"""Do."""
import re
from pathlib import Path
LIMIT: int = 3
PATTERN = re.compile("a")
class Config: ...
def main(config): ...
if __name__ == "__main__":
    run_program(main, Config)
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Do."""\n', ""),
        ("LIMIT: int = 3", "LIMIT = int(input())"),
        ("LIMIT: int = 3", "print(3)"),
        ("LIMIT: int = 3", "torch.manual_seed(0)"),
        ("LIMIT: int = 3", "if True:\n    LIMIT = 3"),
        ("LIMIT: int = 3", "for LIMIT in range(3): ..."),
        ("    run_program(main, Config)", "    main(Config())"),
        ('if __name__ == "__main__":\n    ', ""),
        ("LIMIT: int = 3", "LIMIT = 3\n" * 150),
    ],
)
def test_faulty_programs_are_found(old, new):
    assert program_breaches(PROGRAM, GOOD_PROGRAM) == []
    assert len(program_breaches(PROGRAM, GOOD_PROGRAM.replace(old, new))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "def f() -> None: ...",
        "class A: ...",
        "def _f(x) -> None: ...",
        "def _f(x: int): ...",
        "class _A:\n    def f(self, *, x) -> None: ...",
    ],
)
def test_undocumented_and_untyped_names_are_found(text):
    assert len(documentation_breaches(SEAL, f'"""Doc."""\n{text}')) == 1


def test_documented_and_typed_names_pass():
    text = '"""Doc."""\ndef f(x: int) -> None:\n    """Doc."""\n    def g(x): ...\n'
    text += 'class A:\n    """Doc."""\n    def f(self) -> None: ...'
    assert documentation_breaches(SEAL, text) == []


@pytest.mark.parametrize(
    "line", ["torch", "torch>=2", "torch==2.*", "-r other.txt", "git+https://x"]
)
def test_loose_requirements_are_found(line):
    with pytest.raises(ValueError, match="exact pin"):
        read_pins(f"numpy==1.2.3  # why\n{line}\n")


def test_heavy_imports_are_found(tmp_path):
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "light.py").write_text("def f():\n    import torch")
    (tmp_path / "heavy.py").write_text("import json, light, torch")
    assert import_each(["light"], [tmp_path]).returncode == 0
    ended = import_each(["light", "heavy"], [tmp_path])
    assert (ended.returncode, ended.stderr) == (1, "heavy imports torch\n")
