"""Command lines from frozen dataclasses: `arg` declares a flag, `run_program` runs a program.

tyro converts the values and shows the help. A settings class names the group in which help shows
its flags; files of settings (`--config`) are read by `seal.config_files`.
"""

import contextlib
import dataclasses
import io
import re
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from inspect import get_annotations
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_type_hints

import tyro
from tyro import _errors as tyro_errors  # private, hence the exact pin in requirements.txt

from seal.config_files import Given, describe_type, read_config_files, suggest, value_type
from seal.errors import UserError

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
_SWITCHES = {
    **dict.fromkeys(["true", "yes", "t", "y", "1"], True),
    **dict.fromkeys(["false", "no", "f", "n", "0"], False),
}
_METAVARS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}
_FLAG = re.compile(r"--?[A-Za-z]")
_CONFIG_HELP = (
    "YAML files of settings, or config.json of a run; later ones win over earlier ones, and flags"
    " over files"
)


def arg(
    help: str,
    default: Any = dataclasses.MISSING,
    *,
    machine: bool = False,
    at_least: float | None = None,
    group: str | None = None,
) -> Any:
    """A dataclass field that is a flag; without a default it is required.

    `machine=True` marks a flag that says where or how fast to compute, not what: a run may be
    resumed with another value of it. A number below `at_least` is refused. `group` is where help
    shows the flag; by default, the `group` of the class that declares it.
    """
    metadata = {"help": help, "machine": machine, "at_least": at_least, "group": group}
    if isinstance(default, list):
        factory = default.copy if default else list
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def machine_flags(config: Any) -> set[str]:
    """Names of the fields of a config (instance or class) declared with `machine=True`."""
    return {field.name for field in dataclasses.fields(config) if field.metadata.get("machine")}


def parse_arguments(
    config_class: type[Config], arguments: Sequence[str] | None = None, description: str = ""
) -> Config:
    """Read a config from the command line and from the files that --config names.

    Raises UserError, which names the flag, for what cannot be understood; SystemExit after --help.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    program = Path(sys.modules[config_class.__module__].__file__ or "").name
    types = get_type_hints(config_class)
    grouped = _grouped(config_class, types)
    if {"-h", "--help"} & {*words}:
        _show_help(grouped, program, description)
    typed = _read_words(words, types | {"config": list[Path]}, program)
    files = typed.pop("config", Given([], "")).words
    given = read_config_files([Path(file) for file in files], types, program) | typed

    def refuse(event: tyro_errors.ParseErrorEvent) -> None:
        if isinstance(event, tyro_errors.MissingArgs):
            flags = ", ".join(f"--{one.arg.field.intern_name}" for one in event.missing_arguments)
            raise UserError(f"required and not given: {flags} (--help lists all flags)")
        if isinstance(event, tyro_errors.UnrecognizedArgs):
            raise UserError(f"{' '.join(event.tokens)}: belongs to no flag (--help lists all)")
        name = event.argument.field.intern_name
        raise UserError(f"{given[name].place}: must be {describe_type(types[name])}")

    line = [word for name in given for word in _as_line(name, given[name], types[name])]
    with tyro_errors.on_parse_error(refuse):
        parsed = tyro.cli(grouped, args=line, prog=program, use_underscores=True)
    values = {}
    for group in vars(parsed).values():
        values |= vars(group) if dataclasses.is_dataclass(group) else {}
    for field in dataclasses.fields(config_class):
        value, at_least = values[field.name], field.metadata.get("at_least")
        if at_least is not None and value is not None and not value >= at_least:
            raise UserError(f"{given[field.name].place}: must be at least {at_least}")
    return config_class(**values)


def _grouped(config_class: type, types: dict[str, Any]) -> type:
    """A dataclass with --config and a nested dataclass for each group of flags, as tyro shows them.

    A flag belongs to the group of the class that declares it first: one that a subclass gives
    another default stays where it was.
    """
    groups: dict[str, list[Any]] = {title: [] for title in GROUPS}
    for field in dataclasses.fields(config_class):
        bases = [base for base in config_class.__mro__ if field.name in get_annotations(base)]
        group = field.metadata["group"] or vars(bases[-1]).get("group", GROUPS[0])
        optional = value_type(types[field.name]) is not types[field.name]
        metavar = _METAVARS.get(value_type(types[field.name])) if optional else None
        # What None or an empty list stands for is said by the help text where it matters
        hint = "" if field.default is None or field.default_factory is list else None
        flag = tyro.conf.arg(help=field.metadata["help"], metavar=metavar, help_behavior_hint=hint)
        plain = dataclasses.field(default=field.default, default_factory=field.default_factory)
        groups[group].append((field.name, Annotated[types[field.name], flag], plain))
    files = Annotated[
        list[Path],
        tyro.conf.arg(help=_CONFIG_HELP, metavar="FILE [FILE ...]", help_behavior_hint=""),
    ]
    nested: list[Any] = [("config", files, dataclasses.field(default_factory=list))]
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
    print(f"{description.strip()}\n\n{text}")
    raise SystemExit(0)


def _read_words(words: Sequence[str], types: dict[str, Any], program: str) -> dict[str, Given]:
    """The words of a command line by flag; of two alike the later one counts (--config: both)."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in words:
        flag, equals, value = word.partition("=")
        if _FLAG.match(word):
            name = flag.removeprefix("--")
            positive = name.removeprefix("no_")
            if name in types:
                before = found.get(name, []) if name == "config" else []
                found[name] = [*before, value] if equals else [*before]
            elif types.get(positive) is bool and not equals:
                found[positive], name = ["False"], positive
            else:
                like = suggest(name, types, "--")
                raise UserError(f"{flag} is not a flag of {program}{like} (--help lists all)")
        elif name:
            found[name].append(word)
        else:
            raise UserError(f"{word}: belongs to no flag (--help lists all)")
    given = {
        name: Given(of_flag, " ".join([f"--{name}", *of_flag])) for name, of_flag in found.items()
    }
    for name, (of_flag, place) in given.items():
        if not of_flag and types[name] is not bool:
            raise UserError(f"{place}: must be followed by {describe_type(types[name])}")
    return given


def _as_line(name: str, given: Given, kind: Any) -> list[str]:
    """What tyro is given for a flag. Raises UserError for a value that it would misunderstand."""
    words = given.words
    if kind is bool:
        value = _SWITCHES.get(words[0].lower() if words else "true")
        if value is None or len(words) > 1:
            raise UserError(f"{given.place}: must be {describe_type(kind)}")
        return [f"--{name}" if value else f"--no_{name}"]
    return [f"--{name}={words[0]}"] if len(words) == 1 else [f"--{name}", *words]


def labelled(flag: str, values: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """LABEL=VALUE words of a flag as a mapping; a label also names a folder.

    Raises UserError for a word without a label, and for a label that cannot name a folder, is given
    twice or is `taken`.
    """
    pairs: dict[str, str] = {}
    for word in values:
        label, equals, value = word.partition("=")
        if not equals or not value or not re.fullmatch(r"[\w.+-]+", label):
            raise UserError(
                f"{flag} {word}: give LABEL=VALUE, the label of letters, digits, '.', '+' and '-'"
            )
        if label in pairs or label in taken:
            raise UserError(f"{flag} {word}: another row has this label; choose a new one")
        pairs[label] = value
    return pairs


def run_program(
    main: Callable[[Config], None],
    config_class: type[Config],
    arguments: Sequence[str] | None = None,
) -> None:
    """Parse, run, and turn what the user can fix into one line on stderr and exit status 2.

    Every other exception is a defect of ours and keeps its traceback.
    """
    # SIGTERM (Slurm's way to end a job) unwinds the stack, so servers are stopped and files closed
    before = signal.signal(signal.SIGTERM, _exit_on_signal)
    description = sys.modules[main.__module__].__doc__ or ""
    config = None
    try:
        config = parse_arguments(config_class, arguments, description)
        main(config)
    except UserError as error:
        _fail(str(error), 2)
    except OSError as error:
        # Disk full, no permission: the machine's condition, not a defect; the place is what matters
        where = error.filename or getattr(config, "run_dir", None) or "the machine"
        _fail(f"{where}: {error.strerror or error}; what was computed so far is kept", 2)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to resume", 130)
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit_on_signal(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _fail(message: str, status: int) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.stdout.flush()
    raise SystemExit(status)
