"""How this repository is built, as checks on source text; each returns one line per breach.

A *program* is run by path (`general-knowledge/rest_em.py`), a *package* is imported (`knowledge`).
"""

import ast
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePath

from tests.support.data import REPOSITORY

TREES = {"general-knowledge": "knowledge", "few-shot": "arc"}
"""Folder of programs to the one package in it."""
SCRIPTS = "scripts"
"""Folder of what concerns both trees; its programs know `seal` alone."""

# Import names that differ from the requirement's, and those that a requirement brings along
_IMPORT_NAMES = {"python-dotenv": "dotenv", "scikit-learn": "sklearn", "PyYAML": "yaml"}
BROUGHT_BY = {
    "tokenizers": "transformers",
    "safetensors": "transformers",
    "huggingface_hub": "transformers",
    "jinja2": "torch",
    "httpx2": "openai",
    "pydantic": "openai",
}
_UNSAFE_MODULES = {"pickle", "dill", "shelve", "marshal", "pdb", "ipdb"}
_UNSAFE_CALLS = {"eval", "exec", "compile", "breakpoint", "__import__", "import_module"}
_HARMLESS_CONSTANTS = {"re.compile", "Path", "frozenset", "tuple"}
_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_GUARD = "if __name__ == '__main__':\n    run_program(main, Config)"


def sources() -> list[Path]:
    """Every Python file but the tests, relative to the repository."""
    folders = ["seal", "benchmarks", SCRIPTS, *TREES]
    return sorted(
        p.relative_to(REPOSITORY) for f in folders for p in (REPOSITORY / f).rglob("*.py")
    )


def is_program(path: PurePath) -> bool:
    """Whether this file of a tree, or of scripts/, is run rather than imported."""
    return path.parts[0] in {SCRIPTS, *TREES} and len(path.parts) == 2


def module_name(path: PurePath) -> str:
    """`general-knowledge/knowledge/data/splits.py` is imported as `knowledge.data.splits`."""
    parts = path.with_suffix("").parts[path.parts[0] in TREES :]
    return ".".join(parts).removesuffix(".__init__")


def read_pins(text: str) -> dict[str, str]:
    """Name to version of a requirements file; ValueError on a line that is no exact pin."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    pins = [line for line in lines if line and line != "-e ."]
    for line in pins:
        if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.+]*", line):
            raise ValueError(f"not an exact pin: {line}")
    return dict(line.split("==") for line in pins)


def third_party(pins: dict[str, str]) -> set[str]:
    """What may be imported: the requirements, and some of what they need themselves."""
    names = {_IMPORT_NAMES.get(name, name.replace("-", "_")) for name in pins}
    return names | {name for name, bringer in BROUGHT_BY.items() if bringer in pins}


def requires(package: str, needed: str) -> bool:
    """Whether the installed `package` declares that it cannot do without `needed`."""
    requirements = [r for r in metadata.requires(package) or [] if "extra ==" not in r]
    return needed.replace("_", "-") in {re.split(r"[^\w-]", r)[0] for r in requirements}


def import_breaches(path: PurePath, text: str, allowed_third_party: set[str]) -> list[str]:
    """Imports other than: a program its tree's package, a package itself, and all of them seal.

    Benchmarks stand above: they may import every package, and their own, `timing`.
    """
    own = {"seal"}
    if path.parts[0] in TREES:
        own.add(TREES[path.parts[0]])
    elif path.parts[0] == "benchmarks":
        own |= {*TREES.values(), "timing"}
    allowed = own | allowed_third_party | set(sys.stdlib_module_names) - _UNSAFE_MODULES
    return [
        f"{path}:{line} imports {name or 'a relative name'}"
        for line, name in imported(ast.parse(text))
        if name.split(".")[0] not in allowed
    ]


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and module name of every import, lazy ones too; a relative import has no name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "" if node.level else node.module or ""


def unsafe_breaches(path: PurePath, text: str) -> list[str]:
    """Code from data (eval, pickles, a hub's code, a shell), asserts, and changed import paths.

    Benchmarks lie in no tree, so they have to name the folders of the packages that they measure.
    """
    forbidden = {"os.system"} if path.parts[0] == "benchmarks" else {"os.system", "sys.path"}
    tree = ast.parse(text)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in forbidden:
            found.append((node.lineno, ast.unparse(node)))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            words = {f"{k.arg}={ast.unparse(k.value)}" for k in node.keywords}
            # A method of this name is another thing: model.eval(), re.compile()
            if name in _UNSAFE_CALLS or name == "importlib.import_module":
                found.append((node.lineno, f"{name}()"))
            if name == "torch.load" and "weights_only=True" not in words:
                found.append((node.lineno, "torch.load of more than weights"))
            found += [
                (node.lineno, word)
                for word in sorted(words & {"trust_remote_code=True", "shell=True"})
            ]
        elif isinstance(node, ast.Assert):
            found.append((node.lineno, "assert, which python -O drops"))
    return [f"{path}:{line} has {what}" for line, what in found]


def program_breaches(path: PurePath, text: str) -> list[str]:
    """A program is docstring, imports, constants, Config, functions, guard; 150 lines at most."""
    tree = ast.parse(text)
    *body, last = tree.body or [ast.Pass()]
    found = [
        f"{path}:{node.lineno} runs at import: {ast.unparse(node).splitlines()[0]}"
        for node in body
        if not _is_inert(node)
    ]
    if ast.unparse(last) != _GUARD:
        found.append(f"{path} does not end with run_program(main, Config) in its guard")
    if not (ast.get_docstring(tree) or "").strip():
        found.append(f"{path} has no docstring")
    if len(text.splitlines()) > 150:
        found.append(f"{path} has more than 150 lines")
    return found


def _is_inert(node: ast.stmt) -> bool:
    """Whether a module-level statement does no work when the module is imported."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        calls = {ast.unparse(n.func) for n in ast.walk(node.value) if isinstance(n, ast.Call)}
        return calls <= _HARMLESS_CONSTANTS
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | _FUNCTION)


def documentation_breaches(path: PurePath, text: str) -> list[str]:
    """Public functions and classes without a docstring, and signatures without types."""
    tree = ast.parse(text)
    found = [] if ast.get_docstring(tree) else [f"{path} has no docstring"]
    for node in tree.body:
        named = isinstance(node, _FUNCTION | ast.ClassDef)
        if named and not node.name.startswith("_") and not ast.get_docstring(node):
            found.append(f"{path}:{node.lineno} {node.name} has no docstring")
    for node in _functions(tree):
        parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        untyped = {p.arg for p in parameters if p.annotation is None} - {"self", "cls"}
        if untyped or node.returns is None:
            found.append(f"{path}:{node.lineno} {node.name} is not fully typed")
    return found


def _functions(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods, but no local functions."""
    for child in node.body:
        if isinstance(child, _FUNCTION):
            yield child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child)
