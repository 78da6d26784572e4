"""On the quiet path no hook runs, and yet a circuit that goes by a rate or by slow calls misses nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from resilient_redis import CircuitBreaker, CircuitOpenError, ResiliencePipeline, Timeout
from resilient_redis.calls import Call, Kind, Outcome, Verdict
from resilient_redis.policies.windows import MOST_NOTED
from resilient_redis.testing.clock import FakeClock


class Lost(ConnectionError):
    pass


class Side:
    """A pipeline used by threads or in a loop."""

    def __init__(self, kind: str, *breakers: CircuitBreaker) -> None:
        self.kind, self.clock = kind, FakeClock()
        self.pipeline = ResiliencePipeline(breakers, clock=self.clock)
        self.circuit = next(iter(self.pipeline.breakers.values()))

    def call(
        self, seconds: float = 0.0, error: Exception | None = None, meanwhile: Callable[[], None] | None = None
    ) -> None:
        def work() -> None:
            self.clock.advance(seconds)
            if meanwhile is not None:
                meanwhile()
            if error is not None:
                raise error

        async def later() -> None:
            work()

        if self.kind == "sync":
            self.pipeline.call(work)
        else:
            asyncio.run(self.pipeline.acall(later))

    def fails(self) -> None:
        with pytest.raises(Lost):
            self.call(error=Lost())


def failure() -> Outcome:
    return Outcome(Call("f", "callable"), None, Lost(), Kind.UNREACHABLE, "unknown", Verdict.FAILURE)


@pytest.fixture(params=["sync", "asyncio"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize(("window", "more"), [({"window_calls": 10}, 1), ({"window_time": 60}, 3)])
def test_successes_of_the_quiet_path_count_in_the_rate(kind: str, window: dict[str, Any], more: int) -> None:
    side = Side(kind, CircuitBreaker(fail_max=None, failure_rate=0.5, minimum_calls=10, **window))
    for _ in range(6):
        side.call()
    assert side.circuit.calm is not None
    for _ in range(3):
        side.fails()
    assert side.circuit.state == "closed"  # 3 of 9 calls
    side.call()
    side.fails()  # 4 of 11, or of the last 10
    for _ in range(more):  # 5 of the last 10, or 7 of 14
        assert side.circuit.state == "closed"
        side.fails()
    assert side.circuit.state == "open"
    with pytest.raises(CircuitOpenError):
        side.call()


def test_a_slow_call_of_the_quiet_path_counts_as_a_failure(kind: str) -> None:
    side = Side(kind, CircuitBreaker(fail_max=2, slow_call=1))
    side.call(0.9)
    assert side.circuit.calm is not None
    side.call(1.1)
    assert side.circuit.fail_counter == 1
    assert side.circuit.calm is None
    side.call(1.1)
    assert side.circuit.state == "open"


def test_a_quick_call_after_a_slow_one_makes_it_calm_again(kind: str) -> None:
    side = Side(kind, CircuitBreaker(fail_max=2, slow_call=1, failure_rate=0.9))
    side.call(2)
    side.call(0.5)
    assert side.circuit.fail_counter == 0
    assert side.circuit.calm is not None


@pytest.mark.filterwarnings("ignore::resilient_redis.PipelineOrderWarning")
@pytest.mark.parametrize("which", [0, 1])
def test_of_several_circuits_each_is_looked_at(kind: str, which: int) -> None:
    """Before the call, so that an open one refuses; and after it, so that a success ends its row of failures."""
    side = Side(kind, CircuitBreaker(name="outer"), CircuitBreaker(name="inner"))
    circuit = list(side.pipeline.breakers.values())[which]
    side.call()
    assert side.pipeline.plan.quiet is not None
    side.call(meanwhile=lambda: circuit.exit(circuit._machine.period, failure()))
    assert circuit.fail_counter == 0  # a failure of another call, and then this success
    circuit.isolate()
    with pytest.raises(CircuitOpenError):
        side.call()


def test_any_number_of_successes_takes_bounded_memory() -> None:
    side = Side("sync", CircuitBreaker(failure_rate=0.5, window_time=10))
    for _ in range(3 * MOST_NOTED):
        side.call()
    window: Any = side.circuit._machine.window
    assert len(window.noted) <= MOST_NOTED + 1
    assert window.totals(side.clock.monotonic()) == (3 * MOST_NOTED, 0)


def test_threads_lose_no_success() -> None:
    pipeline = ResiliencePipeline([CircuitBreaker(failure_rate=0.5, window_time=3600), Timeout(5)])
    (circuit,) = pipeline.breakers.values()

    def work() -> None:
        for _ in range(2500):
            pipeline.call(int)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    window: Any = circuit._machine.window
    assert window.totals(circuit.runtime.clock.monotonic()) == (10_000, 0)
