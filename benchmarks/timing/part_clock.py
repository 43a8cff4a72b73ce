"""Where the time of a computation goes, part by part, without a profiler's own cost."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch


class PartClock:
    """Wall and processor seconds of named parts; what an inner part takes is not the outer one's.

    A part begins and ends with the GPU's work done, so on a GPU the host's work is not hidden.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: Counter[str] = Counter()
        self.cpu_seconds: Counter[str] = Counter()
        """Processor time of all threads."""
        self._device = device
        self._open: list[str] = []
        self._last = (0.0, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Charge what happens inside to `name`."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    @contextmanager
    def watching(self, calls: Mapping[tuple[Any, str], str]) -> Iterator[None]:
        """Charge calls to parts: {(module or class, name of its function): part}."""
        with ExitStack() as stack:
            for (owner, name), part in calls.items():
                watched = self._watched(getattr(owner, name), part)
                stack.enter_context(patch.object(owner, name, watched))
            yield

    def _watched(self, function: Callable, part: str) -> Callable:
        @wraps(function)
        def watched(*arguments: Any, **options: Any) -> Any:
            with self.part(part):
                return function(*arguments, **options)

        return watched

    def _charge(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter(), time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now[0] - self._last[0]
            self.cpu_seconds[self._open[-1]] += now[1] - self._last[1]
        self._last = now
