"""A clock that tells the parts of a computation apart."""

from types import ModuleType, SimpleNamespace

import pytest
import torch

from benchmarks.timing import part_clock
from benchmarks.timing.part_clock import PartClock


@pytest.fixture
def advance(monkeypatch):
    """Lets wall and processor clock stand still but for what the test adds."""
    now = [0.0, 0.0]

    def advance(seconds: float, cpu_seconds: float) -> None:
        now[0] += seconds
        now[1] += cpu_seconds

    clocks = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[1])
    monkeypatch.setattr(part_clock, "time", clocks)
    return advance


def test_what_an_inner_part_takes_is_not_the_outer_ones(advance):
    clock = PartClock(torch.device("cpu"))
    advance(100, 100)  # outside all parts
    with clock.part("outer"):
        advance(1, 0.5)
        with clock.part("inner"):
            advance(10, 20)
        advance(2, 0.25)
    advance(100, 100)
    with clock.part("outer"):
        advance(4, 1)
    assert clock.seconds == {"outer": 7, "inner": 10}
    assert clock.cpu_seconds == {"outer": 1.75, "inner": 20}


def test_a_part_within_itself_counts_once(advance):
    clock = PartClock(torch.device("cpu"))
    with clock.part("same"), clock.part("same"):
        advance(3, 1)
    assert clock.seconds == {"same": 3}


def test_a_part_that_fails_is_charged_and_closed(advance):
    clock = PartClock(torch.device("cpu"))
    with clock.part("outer"):
        with pytest.raises(ValueError, match="no"), clock.part("inner"):
            advance(1, 1)
            raise ValueError("no")
        advance(2, 2)
    assert clock.seconds == {"inner": 1, "outer": 2}


def test_watched_calls_are_charged_and_give_back_what_they_return(advance):
    class Worker:
        def __init__(self, cost: float) -> None:
            self.cost = cost

        def work(self, times: int, *, plus: int) -> int:
            advance(self.cost * times, 0)
            return times + plus

    module = ModuleType("module")
    module.sleep = lambda: advance(5, 0)
    before = Worker.work, module.sleep
    clock = PartClock(torch.device("cpu"))
    with clock.watching({(Worker, "work"): "work", (module, "sleep"): "sleep"}):
        assert Worker(2).work(3, plus=4) == 7
        module.sleep()
        module.sleep()
    assert clock.seconds == {"work": 6, "sleep": 10}
    assert (Worker.work, module.sleep) == before
    module.sleep()
    assert clock.seconds["sleep"] == 10
