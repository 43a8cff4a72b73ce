"""Threads wait for coroutines, and can stop waiting at any moment."""

import asyncio
import subprocess
import sys
import threading

import pytest

from seal.event_loop import EventLoop


@pytest.fixture
def events():
    loop = EventLoop("test")
    yield loop
    loop.close()


async def fail(seconds: float, error: Exception) -> None:
    await asyncio.sleep(seconds)
    raise error


def test_what_a_coroutine_returns_or_raises(events):
    assert events.run(asyncio.sleep(0, 7)) == 7
    with pytest.raises(KeyError):
        events.run(fail(0, KeyError("a")))


def test_of_a_group_the_first_error_is_raised_and_the_rest_cancelled(events):
    cancelled = []

    async def wait():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def several():
        async with asyncio.TaskGroup() as outer:
            outer.create_task(wait())
            async with asyncio.TaskGroup() as inner:
                inner.create_task(fail(0, KeyError("a")))

    with pytest.raises(KeyError) as raised:
        events.run(several())
    assert cancelled == [True] and not isinstance(raised.value, ExceptionGroup)


def test_closing_awaits_what_is_last_and_may_be_repeated():
    before = threading.active_count()
    events, called = EventLoop("test"), []

    async def last():
        called.append(len(asyncio.all_tasks()))

    assert threading.active_count() == before + 1
    events.close(last)
    events.close(last)
    assert called == [1] and threading.active_count() == before


HANGING = """
import asyncio, threading, time
from seal.event_loop import EventLoop

async def look_up():
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)

async def ask():
    async with asyncio.timeout(0.05):
        await look_up()

events = EventLoop("test")
try:
    events.run(ask())
except TimeoutError:
    print("given up")
threading.Thread(target=lambda: events.run(look_up()), daemon=True).start()
"""


def test_a_process_ends_while_a_name_is_looked_up():
    ended = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=30
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "given up\n", "")
