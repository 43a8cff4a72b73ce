"""Settings from files: YAML as it is written by hand, or config.json as a run keeps it."""

import ast
import difflib
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

import yaml

from seal.errors import UserError
from seal.records import read_text

REPOSITORY = Path(__file__).resolve().parent.parent
_KINDS = {int: "a whole number", float: "a number", bool: "True or False"}


class Given(NamedTuple):
    """The words that a flag was given."""

    words: list[str]
    place: str
    """The flag or the file with its key, and the words: what an error message starts with."""


def read_config_files(
    files: Sequence[Path], types: Mapping[str, Any], program: str
) -> dict[str, Given]:
    """What the files say of the flags of `types`; of two files the later one counts.

    `run_dir` is not taken over, as each run needs a folder of its own. Settings of other programs
    are named on stderr and ignored. Raises UserError for a file that cannot be read, a name that
    no program knows, and a value of a wrong type.
    """
    given = {}
    for file in files:
        settings = _read_settings(file)
        settings.pop("run_dir", None)
        if ignored := [name for name in settings if name not in types]:
            known = _flags_of_all_programs()
            for name in ignored:
                if name not in known:
                    raise UserError(
                        f"{file}: no program has the setting {name}{suggest(name, types)}"
                    )
            names = ", ".join(ignored)
            print(f"ignored from {file.name}: {names} (not flags of {program})", file=sys.stderr)
        for name in settings.keys() & types.keys():
            place = f"{file}: {name}: {settings[name]}"
            given[name] = Given(_as_words(settings[name], types[name], place), place)
    return given


def describe_type(kind: Any) -> str:
    """What the value of a flag of this type has to be, for an error message."""
    if NoneType in get_args(kind):
        return describe_type(value_type(kind))
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is list:
        return "a list" if get_args(kind)[0] is str else "a list of whole numbers"
    return _KINDS.get(kind, "text")


def value_type(kind: Any) -> Any:
    """The type without its None: `int` of `int | None`."""
    others = [other for other in get_args(kind) if other is not NoneType]
    return others[0] if NoneType in get_args(kind) else kind


def suggest(name: str, known: Collection[str], prefix: str = "") -> str:
    """A question whether a known name like this one is meant; empty if there is none."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _read_settings(file: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML: {error}") from None
    if not isinstance(settings, dict):
        raise UserError(f"{file}: must hold settings, each a line `name: value`")
    return {str(name): value for name, value in settings.items()}


def _as_words(value: Any, kind: Any, place: str) -> list[str]:
    """A value as the command line would give it. Raises UserError if its type is wrong.

    Numbers may be text, as YAML reads 3e-4 as text. Text may not be a number: YAML would have
    changed an id such as 00123.
    """
    expected = value_type(kind)
    if value is None and expected is not kind:
        return ["None"]
    if get_origin(expected) is list and isinstance(value, list):
        item = get_args(expected)[0]
        return [_as_words(one, item, f"{place}: {one}")[0] for one in value]
    allowed = {int: (int, str), float: (int, float, str), bool: (bool,)}.get(expected, (str,))
    if get_origin(expected) is list or type(value) not in allowed:
        raise UserError(f"{place}: must be {describe_type(kind)}")
    return [str(value)]


def _flags_of_all_programs() -> set[str]:
    """The names that `arg` declares anywhere, by the syntax: programs are not imported."""
    patterns = ("*/*.py", "*/*/settings.py")
    trees = [ast.parse(read_text(path)) for text in patterns for path in REPOSITORY.glob(text)]
    return {
        node.target.id
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "arg"
    }
