"""Run a program: parse its flags, and end in order whatever happens."""

import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from seal.arguments import REPOSITORY, Config, parse_arguments
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
    # SIGTERM (Slurm's way to end a job) unwinds the stack, so servers are stopped and files closed
    before = signal.signal(signal.SIGTERM, _stop)
    config = None
    try:
        _check_surroundings(config_class)
        config = parse_arguments(config_class, arguments)
        main(config)
    except UserError as error:
        _fail(str(error), 2)
    except BrokenPipeError:  # of `| head`, which has read enough
        sys.stdout = None  # or Python would complain at its exit
        raise SystemExit(1) from None
    except OSError as error:
        # Disk full, no permission: the machine's condition, not a defect; the place is what matters
        where = error.filename or getattr(config, "run_dir", None) or "the machine"
        _fail(f"{where}: {error.strerror or error}; what was computed so far is kept", 2)
    except MemoryError:
        _fail("this machine's memory is full; what was computed so far is kept", 2)
    except (KeyboardInterrupt, _Stopped) as error:
        status = error.code if isinstance(error, _Stopped) else 128 + signal.SIGINT
        _say("interrupted; run the same command again to resume")
        # Threads that compute or wait must not hold a program that was told to end
        if any(not thread.daemon for thread in threading.enumerate()[1:]):
            os._exit(status)
        raise SystemExit(status) from None
    except Exception:
        traceback.print_exc()
        kept = getattr(config, "run_dir", None)
        resume = f"; what was computed is kept in {kept}, the same command resumes it"
        _fail(f"this is a defect of the program: please report it{resume if kept else ''}", 1)
    finally:
        signal.signal(signal.SIGTERM, before)


class _Stopped(SystemExit):
    """SIGTERM has come."""


def _stop(number: int, _frame: object) -> None:
    raise _Stopped(128 + number)


def _check_surroundings(config_class: type) -> None:
    """Raise UserError where a program of one checkout would run the package of another.

    Likewise where the current folder is gone. What a terminal cannot show is shown otherwise.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UserError("the current folder does not exist any more; cd to another") from None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    program = Path(sys.modules[config_class.__module__].__file__ or "").resolve()
    own = program.parent.parent
    if own != REPOSITORY and (own / "seal" / "arguments.py").exists():
        raise UserError(
            f"{program} would use the package of another checkout, {REPOSITORY}; install its own:"
            f" pip install -e {own}"
        )


def _fail(message: str, status: int) -> NoReturn:
    _say(message)
    raise SystemExit(status)


def _say(message: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads any more
        print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
        sys.stdout.flush()
