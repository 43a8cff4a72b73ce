"""Every command in a README, in docs/ and in a docstring is understood by what it calls."""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from seal.errors import UserError
from tests.programs.programs import (
    load_program,
    parse_command,
    program_paths,
    record_wrapper,
    wrapper_variables,
)
from tests.support.data import REPOSITORY
from tests.support.house import TREES

DOCUMENTS = sorted(
    path.relative_to(REPOSITORY)
    for pattern in ["*.md", "[!.]*/README.md", "docs/*.md"]
    for path in REPOSITORY.glob(pattern)
)
PROGRAMS = program_paths()
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*", re.DOTALL)
_VARIABLE = re.compile(r"\$\{\w+:-([^}]*)\}|\$\{?\w+\}?")
_SHELL_WORDS = {"do", "then", "else", "time", "exec", "export"}
_OPERATORS = {"&&", "||", ";", "|", "&"}
_PYTHON = re.compile(r"(\S*/)?python3?|1")  # 1 is what a variable such as $PYTHON becomes
_MODULES = {"pip", "pytest", "ruff", "venv"}


@dataclass(frozen=True)
class Command:
    """One command of a shell text: `A=1 python x.py --k 3`."""

    variables: dict[str, str]
    words: list[str]


def read_commands(text: str) -> list[Command]:
    """The commands of a shell text, in order; a variable in them counts as the number 1."""
    commands = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        line = _VARIABLE.sub(lambda found: found[1] or "1", line)
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _OPERATORS:
                words.append(word)
            elif words:
                commands.append(_command(words))
                words = []
    return [command for command in commands if command.words]


def _command(words: list[str]) -> Command:
    assigned = {}
    while words and (words[0] in _SHELL_WORDS or _ASSIGNMENT.fullmatch(words[0])):
        name, _, value = words[0].partition("=")
        if value:
            assigned[name] = value
        words = words[1:]
    redirections = [i for i, word in enumerate(words) if re.fullmatch(r"[<>][<>&]*", word)]
    return Command(assigned, words[: redirections[0]] if redirections else words)


def check_command(command: Command, folder: Path) -> list[str]:
    """Refuse what would not work here, and return what was checked: programs, targets, wrappers.

    `folder` is an empty one for records of wrappers. Raises UserError (a program's own refusal),
    FileNotFoundError or ValueError. Commands of other tools (git, cd) are taken as they are.
    """
    first, *rest = command.words
    if _PYTHON.fullmatch(first):
        return [_check_python(rest)]
    if first == "make":
        targets = [word for word in rest if not word.startswith("-") and "=" not in word]
        unknown = set(targets) - make_targets()
        if unknown:
            raise ValueError(f"no such make target: {sorted(unknown)}")
        return targets
    if first in {"bash", "sbatch", "source"}:
        while rest and rest[0].startswith("-"):
            rest = rest[1:]  # sbatch's own options precede the file
        wrapper, *arguments = rest
        if not (REPOSITORY / wrapper).is_file() and not wrapper.startswith(".venv/"):
            raise FileNotFoundError(wrapper)
        if Path(wrapper).parts[0] in {"slurm", "scripts", *TREES}:
            _check_wrapper(Path(wrapper), arguments, command.variables, folder)
        return [wrapper]
    return []


def _check_python(words: list[str]) -> str:
    if words[0] == "-m":
        if words[1] not in _MODULES:
            raise ValueError(f"no such module: {words[1]}")
        paths = [word for word in words[2:] if word.startswith("tests/")]
        for path in paths:
            if not (REPOSITORY / path.partition("::")[0]).exists():
                raise FileNotFoundError(path)
        return words[1]
    path = Path(words[0])
    if path not in PROGRAMS:
        raise FileNotFoundError(path)
    if "--help" not in words:
        parse_command(path, words[1:])
    return words[0]


def _check_wrapper(
    wrapper: Path, arguments: list[str], assigned: dict[str, str], folder: Path
) -> None:
    unread = set(assigned) - wrapper_variables(wrapper)
    if unread:
        raise ValueError(f"{wrapper} does not read {sorted(unread)}")
    recorded = record_wrapper(wrapper, folder, arguments, assigned)
    if recorded.status != 0 or not recorded.configs():
        raise ValueError(f"{wrapper} failed: {recorded.error}")


def make_targets() -> set[str]:
    """Targets that the Makefile declares as phony: those to be called by name."""
    lines = re.findall(r"^\.PHONY:(.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    return {target for line in lines for target in line.split()}


def commands_of_markdown(text: str) -> list[Command]:
    """Commands in ```bash blocks, and in code within a sentence or table."""
    blocks = [block for language, block in _FENCE.findall(text) if language == "bash"]
    inline = [
        code
        for code in _INLINE.findall(_FENCE.sub("", text))
        if re.match(r"([A-Z_]+=\S* )*(python3?|make|bash|sbatch) \S", code)
        and not re.search(r"\.\.\.|…", code)
    ]
    return [command for block in [*blocks, *inline] for command in read_commands(block)]


def run_part(docstring: str) -> str:
    """What follows "Run" in a docstring, up to the next blank line."""
    found = re.search(r"^Run\s+(.*?)(?:\n\s*\n|\Z)", docstring, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_commands_of_documents(path, tmp_path):
    for command in commands_of_markdown((REPOSITORY / path).read_text()):
        check_command(command, tmp_path)


def test_documents_have_commands(tmp_path):
    checked = {
        path: [
            what
            for command in commands_of_markdown((REPOSITORY / path).read_text())
            for what in check_command(command, tmp_path)
        ]
        for path in DOCUMENTS
    }
    assert {"demo", "test"} <= set(checked[Path("README.md")])
    for tree in TREES:
        assert f"{tree}/rest_em.py" in checked[Path(tree, "README.md")]
    assert "slurm/rest_em.sbatch" in checked[Path("slurm/README.md")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_fences_name_their_language(path):
    languages = {language for language, _ in _FENCE.findall((REPOSITORY / path).read_text())}
    assert not languages & {"", "sh", "shell", "console", "zsh"}, "shell commands are ```bash"


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_lead_to_files(path):
    links = re.findall(r"\]\(([^)#\s]+)", _FENCE.sub("", (REPOSITORY / path).read_text()))
    files = [link for link in links if not link.startswith(("http:", "https:", "mailto:"))]
    assert [link for link in files if not (REPOSITORY / path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PROGRAMS, ids=str)
def test_commands_of_docstrings(path, tmp_path):
    docstring = load_program(path.parts[0], path.stem).__doc__
    commands = read_commands(run_part(docstring))
    assert commands
    assert [check_command(command, tmp_path) for command in commands] == [[str(path)]] * len(
        commands
    )


def test_commands_of_the_continuous_integration(tmp_path):
    for command in read_commands((REPOSITORY / ".ci/run").read_text()):
        check_command(command, tmp_path)


@pytest.mark.parametrize("tree", TREES)
def test_programs_are_in_their_readme(tree):
    text = (REPOSITORY / tree / "README.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)\.py`", text, re.MULTILINE))
    assert listed == {path.stem for path in PROGRAMS if path.parts[0] == tree}


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("demo", "bash scripts/demo.sh"),
        ("demo-knowledge", "bash scripts/demo_knowledge.sh"),
        ("demo-few-shot", "bash scripts/demo_few_shot.sh"),
        ("test", "-m pytest"),
        ("lint", "-m ruff format --check"),
    ],
)
def test_makefile(target, command):
    assert target in make_targets()
    shown = subprocess.run(
        ["make", "--dry-run", target], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert command in shown.stdout


# What the checks above rest on


def test_shell_text_becomes_commands():
    text = """
# python commented.py
A=1 B="two words" python x.py --k 3 \\
    --flag "a b"   # a remark
for seed in 1 2; do python y.py --seed "$seed" --out ${OUT:-runs}/z --no "" >> log.txt; done
cd here && make test
"""
    assert read_commands(text) == [
        Command({"A": "1", "B": "two words"}, ["python", "x.py", "--k", "3", "--flag", "a b"]),
        Command({}, ["for", "seed", "in", "1", "2"]),
        Command({}, ["python", "y.py", "--seed", "1", "--out", "runs/z", "--no", ""]),
        Command({}, ["done"]),
        Command({}, ["cd", "here"]),
        Command({}, ["make", "test"]),
    ]


def test_markdown_commands_are_found_in_blocks_and_sentences():
    text = "Run `make test` or `X=1 bash a.sh`; `makes` is no command.\n```bash\nmake demo\n```\n"
    assert [command.words for command in commands_of_markdown(text)] == [
        ["make", "demo"],
        ["make", "test"],
        ["bash", "a.sh"],
    ]


def test_run_part_ends_at_a_blank_line():
    assert run_part("Do.\n\nReads   x\nRun     python a.py \\\n          --k 1\n\nMore.") == (
        "python a.py \\\n          --k 1"
    )
    assert run_part("Do.\n\nRunning is all.") == ""


@pytest.mark.parametrize(
    "text",
    [
        "make no_such_target",
        "bash scripts/none.sh",
        "sbatch --time=1 slurm/none.sbatch",
        "sbatch slurm/rest_em.sbatch --no_such_flag 1",
        "NO_SUCH_VARIABLE=1 bash general-knowledge/scripts/rest_em.sh",
        "python general-knowledge/none.py",
        "python general-knowledge/rest_em.py --run_dir runs/x",
        "python general-knowledge/rest_em.py --run_dir runs/x --passages p.json --k many",
        "python general-knowledge/rest_em.py --run_dir runs/x --passages p.json --n_rounds 2",
        "cd x && python3 -m no_such_module",
        ".venv/bin/python -m pytest tests/none",
        'echo "$A" | python general-knowledge/adapt.py',
    ],
)
def test_commands_that_would_not_work_are_found(text, tmp_path):
    with pytest.raises((UserError, FileNotFoundError, ValueError)):
        for command in read_commands(text):
            check_command(command, tmp_path)
