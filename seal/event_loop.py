"""One asyncio event loop in a thread of its own, for clients that are called from many threads."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_GRACE = 3.0  # seconds in which cancelled calls may clean up after themselves


class EventLoop:
    """Runs coroutines for any thread; what waits in it can be given up at any moment.

    Its thread is a daemon, and so are those that look up names: a process that ends joins none.
    """

    def __init__(self, name: str) -> None:
        """`name` is the thread's."""
        self._loop = _Loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises; of a group of errors, the first.

        An exception that strikes while it waits, such as Ctrl-C, cancels the coroutine.
        """
        running = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return running.result()
        except BaseExceptionGroup as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from error.__cause__
        except BaseException:
            running.cancel()
            raise

    def close(self, *last: Callable[[], Awaitable[None]]) -> None:
        """Cancel what other threads wait for, await the `last` calls, and end the thread.

        The other threads get a CancelledError. May be repeated.
        """
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_finish(last), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Loop(asyncio.SelectorEventLoop):
    def run_in_executor(
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        """Call `func`, such as a name lookup, in a daemon thread.

        Threads of asyncio's own pool are joined when the process ends, and a lookup may hang.
        """
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        done.set_running_or_notify_cancel()  # who gives up waiting does not cancel it

        def call() -> None:
            try:
                done.set_result(func(*args))
            except Exception as error:
                done.set_exception(error)

        threading.Thread(target=call, daemon=True).start()
        return asyncio.wrap_future(done, loop=self)


async def _finish(last: tuple[Callable[[], Awaitable[None]], ...]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_GRACE)
    for call in last:
        await call()
