"""A program as a process: what it prints can be shown, and it ends at once when it is told to."""

import io
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SECONDS = 4.0
"""How long a program may take to stop its servers and close its files."""
INTERRUPTED = "interrupted; run the same command again to resume"
_LONGEST_LINE = 2000
_SECRET = re.compile(r"://[^/\s]*@")
_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory|not enough memory")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """SIGTERM (Slurm's way to end a job) or Ctrl-C has come; `code` is the exit status."""


@contextmanager
def stop_on_signals(*, within_seconds: bool) -> Iterator[None]:
    """Have the first signal raise Stopped in the main thread; later ones change nothing.

    `within_seconds`: the process ends SECONDS after the signal even if the stack could not unwind,
    as the main thread computes or something waits. For a process that is a program of its own.
    """
    # A program that a shell started in the background ignores Ctrl-C, and goes on doing so
    before = {n: signal.getsignal(n) for n in _SIGNALS if signal.getsignal(n) != signal.SIG_IGN}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in before:
        signal.signal(number, _stop)
    if within_seconds:
        # Python writes to the pipe even while the main thread is busy outside of Python
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=_end_in_time, args=(reader,), daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if within_seconds:
            signal.set_wakeup_fd(-1)
        os.close(writer)  # the thread, if any, reads the end of the pipe


def _stop(number: int, _frame: object) -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(128 + number)


def _end_in_time(reader: int) -> None:
    while received := os.read(reader, 1):
        if (number := received[0]) in _SIGNALS:
            time.sleep(SECONDS)
            with suppress(OSError):
                os.write(2, f"error: {INTERRUPTED}\n".encode())
            os._exit(128 + number)
    os.close(reader)


def mend_streams() -> None:
    """Replace output that was closed before the start; show otherwise what a terminal cannot.

    Else the first file that is opened would be taken for the closed output.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)
    sys.stdout = sys.stdout or io.StringIO()
    sys.stderr = sys.stderr or io.StringIO()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Print nowhere from now on, as nobody reads; Python would complain about it at its exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(message: str, status: int) -> int:
    """Print one line on stderr, without passwords and control characters; returns the status."""
    line = _SECRET.sub("://***@", " ".join(message.split()))
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    cut = f"{shown[:_LONGEST_LINE]} ..." if len(shown) > _LONGEST_LINE else shown
    with suppress(OSError, ValueError):  # nobody reads any more
        print(f"error: {cut}", file=sys.stderr, flush=True)
        sys.stdout.flush()
    return status


def lacking(error: Exception) -> str | None:
    """What the machine lacks for the program, if the error is that; None if it is a defect."""
    if isinstance(error, RecursionError):
        return "something is nested too deeply to be read"
    if isinstance(error, UnicodeEncodeError) and error.encoding not in ("utf-8", "idna"):
        return f"this locale cannot name {error.object[:100]}; set LC_ALL=C.UTF-8"
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
        return "the memory is full; try a smaller --slots or --sampling_batch"
    return None
