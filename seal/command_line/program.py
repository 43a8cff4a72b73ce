"""Run a program: parse its flags, and end in order whatever happens."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from seal.command_line.arguments import REPOSITORY, Config, parse_arguments
from seal.command_line.process import (
    INTERRUPTED,
    Stopped,
    drop_output,
    lacking,
    mend_streams,
    print_error,
    stop_on_signals,
)
from seal.errors import UserError


def run_program(
    main: Callable[[Config], None],
    config_class: type[Config],
    arguments: Sequence[str] | None = None,
) -> None:
    """Parse, run, and turn what the user can fix into one line on stderr and exit status 2.

    Every other exception is a defect of ours: it keeps its traceback, and a line says so. `main`
    imports what is slow to load, such as PyTorch, by itself: --help and a wrong flag need not wait
    for it.
    """
    is_program = main.__module__ == "__main__"  # a test calls it otherwise
    mend_streams()
    with stop_on_signals(within_seconds=is_program):
        status = _run(main, config_class, arguments)
        if status and is_program:
            os._exit(status)  # threads that still compute or wait do not hold it
    if status:
        raise SystemExit(status)


def _run(
    main: Callable[[Config], None], config_class: type[Config], arguments: Sequence[str] | None
) -> int:
    """The exit status, after the one line about what went wrong."""
    config = None
    kept = "; what was computed so far is kept"
    try:
        _check_surroundings(config_class)
        config = parse_arguments(config_class, arguments)
        main(config)
        sys.stdout.flush()
    except UserError as error:
        return print_error(str(error), 2)
    except (KeyboardInterrupt, Stopped) as error:
        return print_error(INTERRUPTED, getattr(error, "code", 130))
    except BrokenPipeError:  # of `| head`, which has read enough
        drop_output()
        return print_error(f"nobody reads what it prints any more{kept}", 1) if config else 1
    except OSError as error:
        # Disk full, no permission: the machine's condition, not a defect; the place is what matters
        where = error.filename or getattr(config, "run_dir", None) or "the machine"
        return print_error(f"{where}: {error.strerror or error}{kept}", 2)
    except Exception as error:
        if lack := lacking(error):
            return print_error(f"{lack}{kept}", 2)
        traceback.print_exc()
        run_dir = getattr(config, "run_dir", None)
        resume = f"; {run_dir} keeps what was computed, the same command resumes it"
        defect = "this is a defect of the program, not of its input: please report it"
        return print_error(f"{defect}{resume if run_dir else ''}", 1)
    return 0


def _check_surroundings(config_class: type) -> None:
    """Raise UserError where a program of one checkout would run the package of another.

    Likewise where the current folder is gone.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UserError("the current folder does not exist any more; cd to another") from None
    program = Path(sys.modules[config_class.__module__].__file__ or "").resolve()
    own = program.parent.parent
    if own != REPOSITORY and (own / "seal" / "__init__.py").exists():
        raise UserError(
            f"{program} would use the package of another checkout, {REPOSITORY}; install its own:"
            f" pip install -e {own}"
        )
