"""Command lines from `Settings`: `arg` declares a flag, `run_program` runs a program.

tyro parses the flags and shows the help. A settings class names the group in which help shows its
flags. `--config` names files of settings: YAML as it is written by hand, or config.json of a run.
"""

import argparse
import contextlib
import dataclasses
import difflib
import io
import re
import reprlib
import sys
import typing
from collections.abc import Collection, Mapping, Sequence
from inspect import get_annotations
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import tyro
import yaml
from tyro import _errors as tyro_errors  # private, hence the exact pin in requirements.txt

from seal.command_line.flag_values import Form, demand
from seal.errors import UserError
from seal.records import read_text

Config = TypeVar("Config")
GROUPS = (
    "what to run on",
    "how much",
    "model",
    "self-edits",
    "inner loop",
    "reward and judge",
    "M-step",
    "sampling server",
    "run",
)
"""Groups of flags in the order of the help."""
REPOSITORY = Path(__file__).resolve().parents[2]
_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    list[int]: "a list of whole numbers",
    list[str]: "a list of text",
    list[Path]: "a list of paths",
}
_FLAG = re.compile(r"--?(?!(?i:inf|infinity|nan)\b)[A-Za-z]")
_YAML_INT = "tag:yaml.org,2002:int"
_LONGEST_PLACE, _LARGEST_CONFIG = 300, 1_000_000
_METAVARS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}
_CONFIG = tyro.conf.arg(
    help="YAML files of settings, or config.json of a run; later files win over earlier ones, and"
    " flags over files",
    metavar="FILE [FILE ...]",
    help_behavior_hint="",
)


def arg(
    help: str,
    default: Any = dataclasses.MISSING,
    *,
    machine: bool = False,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    form: Form | None = None,
    unique: bool = False,
    group: str | None = None,
) -> Any:
    """A dataclass field that is a flag; without a default it is required.

    `machine=True` marks a flag that says where or how fast to compute, not what: a run may be
    resumed with another value of it. A number out of the range is refused, a whole number also
    beyond MOST if `at_most` does not say otherwise, and a text that is not of the `form`; of a
    list, each is looked at; if it is `unique`, all differ and there is one at least. `group` is
    where help shows the flag; by default, the `group` of the class that declares it.
    """
    limits = {"at_least": at_least, "above": above, "at_most": at_most, "below": below}
    checks = {"limits": limits, "form": form, "unique": unique}
    metadata = {"help": help, "machine": machine, "group": group, **checks}
    return dataclasses.field(**_default(default), metadata=metadata)


def _default(value: Any) -> dict[str, Any]:
    """The default of a field, as `dataclasses.field` takes it: of a list, a copy each time."""
    return {"default_factory": value.copy} if isinstance(value, list) else {"default": value}


@typing.dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(arg,))
class Settings:
    """What a program can be asked: each subclass is a frozen dataclass, made by keywords.

    `group` is where help shows the flags that the subclass declares.
    """

    def __init_subclass__(cls, group: str = GROUPS[0]) -> None:
        cls.group = group
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def machine_flags(config: Any) -> set[str]:
    """Names of the fields of a config (instance or class) declared with `machine=True`."""
    return {field.name for field in dataclasses.fields(config) if field.metadata.get("machine")}


def parse_arguments(config_class: type[Config], arguments: Sequence[str] | None = None) -> Config:
    """Read a config from the command line and from the files that --config names.

    The program is the module of the config class: --help shows its docstring. Raises UserError,
    which names the flag, for what cannot be understood; SystemExit after --help.
    """
    module = sys.modules[config_class.__module__]
    program = Path(module.__file__ or "").name
    types = typing.get_type_hints(config_class)
    before = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    before.add_argument("--config", nargs="*", action="append", default=[], type=Path)
    named, words = before.parse_known_args(arguments)
    if [] in named.config:
        raise UserError("--config: must be followed by files")
    from_files, places = _read_config_files([*chain(*named.config)], types, program)
    grouped = _grouped(config_class, types, from_files)
    if {"-h", "--help"} & {*words}:
        _show_help(grouped, program, module.__doc__ or "")
    flag = program
    for word in words:
        value = word
        if _FLAG.match(word):
            flag, equals, value = word.partition("=")
            name = flag.removeprefix("--")
            if name not in types and types.get(name.removeprefix("no_")) is not bool:
                like = _suggest(name, types, "--")
                raise UserError(
                    f"{flag[:_LONGEST_PLACE]} is not a flag of {program}{like} (--help lists all)"
                )
            value = value if equals else flag
        if not value.strip():
            raise UserError(f"{flag}: must not be followed by a blank word")

    def place(name: str) -> str:
        given = re.findall(rf"--{name}\b(?:[ =](?!{_FLAG.pattern})\S*)*", " ".join(words))
        return (given[-1] if given else places[name])[:_LONGEST_PLACE]

    def refuse(event: tyro_errors.ParseErrorEvent) -> None:
        if isinstance(event, tyro_errors.MissingArgs):
            flags = ", ".join(f"--{one.arg.field.intern_name}" for one in event.missing_arguments)
            raise UserError(f"required and not given: {flags} (--help lists all flags)")
        if isinstance(event, tyro_errors.UnrecognizedArgs):
            raise UserError(
                f"{event.tokens[0][:_LONGEST_PLACE]}: belongs to no flag (--help lists all)"
            )
        name = event.argument.field.intern_name
        must = "must be followed by" if isinstance(event, tyro_errors.BadValue) else "must be"
        raise UserError(f"{place(name)}: {must} {_describe_type(types[name])}")

    with tyro_errors.on_parse_error(refuse):
        parsed = tyro.cli(grouped, args=words, prog=program, use_underscores=True)
    groups = [group for group in vars(parsed).values() if dataclasses.is_dataclass(group)]
    values = {name: value for group in groups for name, value in vars(group).items()}
    for field in dataclasses.fields(config_class):
        value, checks = values[field.name], field.metadata
        if value == [] and f"--{field.name}" in words:
            raise UserError(f"--{field.name}: must be followed by a list")
        if wish := demand(value, checks["limits"], checks["form"]):
            raise UserError(f"{place(field.name)}: must be {wish}")
        if checks["unique"] and not 0 < len(value) == len(set(value)):
            raise UserError(f"{place(field.name)}: must be words that differ, one at least")
    return config_class(**values)


def _grouped(config_class: type, types: Mapping[str, Any], from_files: Mapping[str, Any]) -> type:
    """A dataclass with --config and a nested dataclass for each group of flags, as tyro shows them.

    A flag belongs to the group of the class that declares it first: one that a subclass gives
    another default stays where it was. What the files say are the defaults.
    """
    groups: dict[str, list[Any]] = {title: [] for title in GROUPS}
    for field in dataclasses.fields(config_class):
        bases = [base for base in config_class.__mro__ if field.name in get_annotations(base)]
        group = field.metadata["group"] or vars(bases[-1]).get("group", GROUPS[0])
        kind = _value_type(types[field.name])
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        flag = tyro.conf.arg(
            help=field.metadata["help"],
            metavar=None if kind is types[field.name] else _METAVARS.get(kind),
            # What None or an empty list stands for is said by the help text where it matters
            help_behavior_hint="" if default in (None, []) else None,
        )
        plain = dataclasses.field(**_default(from_files.get(field.name, default)))
        groups[group].append((field.name, Annotated[types[field.name], flag], plain))
    files = dataclasses.field(default_factory=list)
    nested: list[Any] = [("config", Annotated[list[Path], _CONFIG], files)]
    for number, fields in enumerate(groups.values()):
        group = dataclasses.make_dataclass(f"Group{number}", fields, kw_only=True)
        if fields:
            nested.append((f"group_{number}", tyro.conf.OmitArgPrefixes[group]))
    return dataclasses.make_dataclass("Grouped", nested, kw_only=True)


def _show_help(grouped: type, program: str, description: str) -> NoReturn:
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        # Into a text buffer tyro writes without boxes and colours
        tyro.cli(grouped, args=["--help"], prog=program, description="", use_underscores=True)
    text = re.sub(
        r"^ group_(\d) options$",
        lambda found: f" {GROUPS[int(found[1])]}",
        "\n".join(line.rstrip() for line in shown.getvalue().strip().splitlines()),
        flags=re.MULTILINE,
    )
    print(f"{description.strip()}\n\n{text}", flush=True)
    raise SystemExit(0)


def _read_config_files(
    files: Sequence[Path], types: Mapping[str, Any], program: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """What the files say of the flags of `types`, and where; of two files the later one counts.

    `run_dir` is not taken over, as each run needs a folder of its own. Settings of other programs
    are named on stderr and ignored. Raises UserError for a file that cannot be read, a name that
    no program knows, and a value of a wrong type.
    """
    values, places = {}, {}
    for file in files:
        settings = _read_yaml(file)
        settings.pop("run_dir", None)
        if ignored := [str(name) for name in settings if name not in types]:
            known = _flags_of_all_programs()
            if unknown := [name for name in ignored if name not in known]:
                like = _suggest(unknown[0], types)
                raise UserError(f"{file}: no program has the setting {unknown[0]}{like}")
            names = ", ".join(ignored)
            print(f"ignored from {file.name}: {names} (not flags of {program})", file=sys.stderr)
        for name in [name for name in settings if name in types]:
            value = settings[name]
            shown = value if isinstance(value, str) else reprlib.repr(value)
            places[name] = f"{file}: {name}: {shown}"
            values[name] = _converted(settings[name], types[name], places[name])
    return values, places


def _read_yaml(file: Path) -> dict[Any, Any]:
    text = read_text(file)
    if len(text) > _LARGEST_CONFIG:
        raise UserError(f"{file}: {len(text):,} characters are too many for settings")
    try:
        node, settings = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except Exception as error:  # YAML's constructors raise all kinds
        raise UserError(f"{file} is not YAML: {error}; fix it") from None
    if not isinstance(settings, dict):
        raise UserError(f"{file}: must hold settings, each a line `name: value`")
    names = [key.value for key, _ in node.value]
    for key, value in node.value:
        if value.tag == _YAML_INT and not re.fullmatch(r"[+-]?(0|[1-9]\d*)", value.value):
            raise UserError(
                f"{file}: {key.value}: {value.value}: YAML reads another number; use decimal"
                " digits, or quotes for a text"
            )
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise UserError(f"{file}: {twice[0]} is set twice; remove one of the two")
    return settings


def _converted(value: Any, kind: Any, place: str) -> Any:
    """A value of a file as its flag has it. Raises UserError, with the place, if its type is wrong.

    Numbers may be text, as YAML reads 3e-4 as text. Text may not be a number: YAML would have
    changed an id such as 00123.
    """
    from pydantic import TypeAdapter, ValidationError  # takes a while; most commands have no file

    with contextlib.suppress(ValidationError):
        if isinstance(value, str) and not value.strip():
            raise UserError(f"{place}: must not be blank")
        if isinstance(value, bool) == (kind is bool):
            return TypeAdapter(kind).validate_python(value)
    raise UserError(f"{place}: must be {_describe_type(kind)}")


def _describe_type(kind: Any) -> str:
    """What the value of a flag of this type has to be, for an error message."""
    kind = _value_type(kind)
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(typing.get_args(kind))}"
    return _KINDS.get(kind, "text")


def _value_type(kind: Any) -> Any:
    """The type without its None: `int` of `int | None`."""
    return typing.get_args(kind)[0] if NoneType in typing.get_args(kind) else kind


def _suggest(name: str, known: Collection[str], prefix: str = "") -> str:
    """A question whether a known name like this one is meant; empty if there is none."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _flags_of_all_programs() -> set[str]:
    """The names that `arg` declares anywhere, by their text: programs are not imported."""
    files = [*REPOSITORY.glob("*/*.py"), *REPOSITORY.glob("*/*/settings.py")]
    declared = re.compile(r"^    (\w+): .* = arg\(", re.MULTILINE)
    return {name for file in files for name in declared.findall(read_text(file))}
