"""The code keeps the rules of this house: who imports whom, what runs when, how large files are.

What ruff can check is in pyproject.toml: docstrings, types, unsafe calls, absolute imports.
"""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.support.data import REPOSITORY
from tests.support.house import (
    BROUGHT_BY,
    TREES,
    import_breaches,
    imported,
    is_program,
    module_name,
    program_breaches,
    read_pins,
    requires,
    sources,
    third_party,
    unmirrored,
)

SOURCES = sources()
PROGRAMS = [path for path in SOURCES if is_program(path)]
MODULES = [path for path in SOURCES if not is_program(path) and path.parts[0] != "benchmarks"]
PINS = {
    name: read_pins((REPOSITORY / name).read_text())
    for name in ["requirements.txt", "requirements-cpu.txt", "requirements-dev.txt"]
}
# vLLM is a server of its own: it is run, never imported, so the CPU's requirements are all
# and what the offline judge is fitted with
FITTING = {name: PINS["requirements-dev.txt"].get(name) for name in ("scikit-learn", "scipy")}
THIRD_PARTY = third_party(PINS["requirements-cpu.txt"] | FITTING)
MOST_LINES = 400
# Tests that are not of one module: of the release's files, of the shipped model
BESIDE = {
    "knowledge": ["release/test_blanks.py"],
    "arc": ["small_world/test_model_card.py"],
}

# What reads settings, prompts, files and replies, or counts: it loads in milliseconds
LIGHT_MODULES = [
    "seal/*.py",
    "seal/chat/client.py",
    "seal/report/*.py",
    "seal/training/sft.py",
    "general-knowledge/knowledge/settings.py",
    "general-knowledge/knowledge/data/*.py",
    "general-knowledge/knowledge/judging/*.py",
    "general-knowledge/knowledge/release/*.py",
    "general-knowledge/knowledge/tables/*.py",
    "few-shot/arc/settings.py",
    "few-shot/arc/puzzles/*.py",
    "few-shot/arc/method/prompts.py",
    "few-shot/arc/method/configurations.py",
]
DRAWS = "plots.py"
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


def test_packages_are_built_in_layers(capsys):
    kept = lint_imports(str(REPOSITORY / "pyproject.toml"), no_cache=True, no_logo=True)
    assert kept == 0, capsys.readouterr().out


# What ruff does not refuse. A user may ask for a model's own code, but by the flag alone
CODE_FROM_DATA = re.compile(
    r"trust_remote_code=True|weights_only=False|__import__|(?<![\w.])compile\("
    r"|torch\.load\((?![^)]*weights_only=True)"
)


def test_no_code_comes_from_data():
    assert [str(path) for path in SOURCES if CODE_FROM_DATA.search(text_of(path))] == []


@pytest.mark.parametrize(
    "text",
    [
        "load(x, trust_remote_code=True)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "__import__(x)",
        "compile(x)",
    ],
)
def test_code_from_data_is_found(text):
    assert CODE_FROM_DATA.search(text)


def test_what_only_looks_like_code_from_data_passes():
    assert not CODE_FROM_DATA.search("re.compile(x)\ntorch.load(x, weights_only=True)\n")


@pytest.mark.parametrize("path", PROGRAMS, ids=str)
def test_programs_do_nothing_at_import(path):
    assert program_breaches(path, text_of(path)) == []


def test_programs_shadow_no_module():
    # A program's folder comes first on its import path, so its own name hides what is named alike
    installed = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()}
    assert {path.stem for path in PROGRAMS} & {*installed, *TREES.values()} == set()


def test_files_are_short():
    lines = {str(path): len(text_of(path).splitlines()) for path in SOURCES}
    assert {path: n for path, n in lines.items() if n > MOST_LINES} == {}


@pytest.mark.parametrize("package", ["seal", *TREES.values()])
def test_tests_lie_as_the_modules_do(package):
    folder = next(path.parent for path in MODULES if module_name(path) == package)
    assert [str(p) for p in unmirrored(package, REPOSITORY / folder)] == BESIDE.get(package, [])


def test_a_tree_has_one_package():
    for tree, package in TREES.items():
        found = {path.parent.name for path in REPOSITORY.glob(f"{tree}/*/__init__.py")}
        assert found <= {package}


def test_light_modules_load_no_heavy_package():
    found = {glob: [*REPOSITORY.glob(glob)] for glob in LIGHT_MODULES}
    assert all(found.values())
    paths = [path.relative_to(REPOSITORY) for paths in found.values() for path in paths]
    names = [module_name(path) for path in paths if path.name != DRAWS]
    ended = import_each(names, [REPOSITORY, *(REPOSITORY / tree for tree in TREES)])
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
        (SEAL, "import pandas"),
        (SEAL, "import vllm"),
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
        (Path("benchmarks/a.py"), "import knowledge.data.splits\nfrom timing.jobs import make_job"),
    ],
)
def test_allowed_imports_pass(path, text):
    assert import_breaches(path, text, THIRD_PARTY) == []


GOOD_PROGRAM = """import re
from pathlib import Path
LIMIT: int = 3
PATTERN = re.compile("a")
class Config: ...
def main(config): ...
if __name__ == "__main__":
    run_program(main, Config)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
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
