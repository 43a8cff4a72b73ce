"""Command lines from frozen dataclasses: `arg` declares a flag, `run_program` runs a program."""

import dataclasses
import re
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from seal.errors import UserError

Config = TypeVar("Config")
_REQUIRED = object()


class _Help(str):
    """A help text that knows more of its flag: all other metadata would go to argparse."""

    machine: bool
    at_least: float | None


def arg(
    help: str,
    default: Any = _REQUIRED,
    *,
    machine: bool = False,
    at_least: float | None = None,
) -> Any:
    """A dataclass field that is a flag; without a default it is required.

    `machine=True` marks a flag that says where or how fast to compute, not what: a run may be
    resumed with another value of it. A number below `at_least` is refused.
    """
    text = _Help(help.replace("%", "%%"))  # argparse formats help texts with the % operator
    text.machine, text.at_least = machine, at_least
    metadata = {"help": text}
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def machine_flags(config: Any) -> set[str]:
    """Names of the fields of a config (instance or class) declared with `machine=True`."""
    fields = dataclasses.fields(config)
    return {field.name for field in fields if getattr(field.metadata.get("help"), "machine", False)}


def parse_arguments(
    config_class: type[Config], arguments: Sequence[str] | None = None, description: str = ""
) -> Config:
    """Read a config from the command line; unknown flags and bad values end the program with 2."""
    # transformers' parser, so flags read like every other Hugging Face program's. Its import takes
    # a second, which programs that are only imported (by tests) should not pay.
    from argparse import ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter

    from transformers.hf_argparser import HfArgumentParser

    class Formatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
        """Docstrings as they are written, and every flag's default."""

    parser = HfArgumentParser(config_class, description=description, formatter_class=Formatter)
    parser.allow_abbrev = False  # "--k" must never mean "--keep_adapters"
    config, unknown = parser.parse_args_into_dataclasses(
        arguments, look_for_args_file=False, return_remaining_strings=True
    )
    if unknown:
        parser.error(f"unknown flags: {' '.join(unknown)}")
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        at_least = getattr(field.metadata.get("help"), "at_least", None)
        if at_least is not None and value is not None and not value >= at_least:
            parser.error(f"--{field.name} {value}: must be at least {at_least}")
    return config


def labelled(flag: str, values: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """LABEL=VALUE words of a flag as a mapping; a label also names a folder.

    Raises UserError for one without a label, a label that is no name for a folder, one given twice,
    or one of those that are `taken`.
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
    """Parse, run, and turn what the user can mend into one line on stderr and exit status 2.

    Every other exception propagates with its traceback: it is a defect of ours.
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
