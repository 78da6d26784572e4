"""A call is cut off at each of its await points in turn, and each time nothing is lost and nothing counted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import random
import threading
import types
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest
import redis
from nested_reference import no_scope_is_open

from resilient_redis.calls import Call
from resilient_redis.errors import PipelineOrderWarning
from resilient_redis.pipeline import ResiliencePipeline
from resilient_redis.pipeline.classify import classify
from resilient_redis.policies import (
    Bulkhead,
    CircuitBreaker,
    CircuitBreakerLayer,
    Fallback,
    Policy,
    Reject,
    Retry,
    Timeout,
    Wait,
)
from resilient_redis.policies.bulkhead import BulkheadLayer
from resilient_redis.testing.clock import FakeClock

CALL = Call("somebody else", "callable")
ORDERS = list(itertools.permutations(["retry", "bulkhead", "breaker", "timeout"]))


BALLAST = 1
"""A place taken all the time. The count of calls under way stops at 0, and would not show a place given back twice."""


class Killed(BaseException):
    pass


# What the function does, attempt by attempt. TypeError says nothing about the server, so a probe may be repeated.
SCRIPTS: dict[str, list[type[Exception] | None]] = {
    "answers": [],
    "fails once": [TypeError],
    "fails twice": [TypeError, TypeError],
    "is down": [redis.ConnectionError, redis.ConnectionError, redis.ConnectionError],
    "fails, then is down": [TypeError, redis.ConnectionError, redis.ConnectionError],
}


class Bench:
    """A stack with its circuit half-open, and perhaps its only place taken by somebody else."""

    def __init__(self, order: tuple[str, ...], script: str, *, occupied: bool, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.script = list(SCRIPTS[script])
        policies: dict[str, Policy] = {
            "retry": Retry(
                attempts=3, on=(TypeError, redis.ConnectionError), total_time=5000, wait_initial=1, wait_max=1
            ),
            "bulkhead": Bulkhead(1 + BALLAST, max_waiting=2, max_wait=10),
            "breaker": CircuitBreaker(fail_max=1, reset_timeout=30, success_threshold=3, half_open_max=1),
            "timeout": Timeout(1000),  # real seconds to asyncio: it never fires, but its code is on the way
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PipelineOrderWarning)
            self.pipeline = ResiliencePipeline(
                [Fallback.using(self.instead), *(policies[name] for name in order)],
                clock=self.clock,
                rng=random.Random(5),
            )
        layers = self.pipeline.plan.layers
        self.breaker = next(layer for layer in layers if isinstance(layer, CircuitBreakerLayer))
        self.bulkhead = next(layer for layer in layers if isinstance(layer, BulkheadLayer))
        self.breaker.exit(self.breaker.enter(CALL), classify(CALL, redis.ConnectionError()))
        assert self.breaker.state == "open"
        self.clock.advance(30)
        assert self.bulkhead.enter(CALL) is not None  # the ballast
        self.permit = self.bulkhead.enter(CALL) if occupied else None
        self.behind: Any = None

    def leave(self) -> None:
        """The other one gives its place back."""
        if self.permit is not None:
            permit, self.permit = self.permit, None
            self.bulkhead.release(permit)

    def line_up(self) -> None:
        """A third one queues behind our call."""
        if self.behind is None:
            answer = self.bulkhead.enter(CALL)
            if isinstance(answer, Wait):
                self.behind = answer.ticket
            else:
                self.permit = answer

    async def coroutine(self) -> str:
        await asyncio.sleep(0)
        failure = self.script.pop(0) if self.script else None
        await asyncio.sleep(0)
        if failure is not None:
            raise failure
        return "answer"

    def instead(self, call: Call, error: Exception) -> Any:
        async def answer() -> str:
            await asyncio.sleep(0)
            return "instead"

        return answer()

    def counted(self) -> tuple[Any, ...]:
        machine = self.breaker._machine
        return machine.period, machine.failures, machine.successes, machine.open_for

    def check_at_rest(self) -> None:
        self.leave()
        if self.behind is not None:
            assert self.behind.cancel(), "a place that was freed did not reach the next in the queue"
            self.bulkhead.release(self.behind.token)
            self.behind = None
        assert self.bulkhead.running == BALLAST
        assert not self.bulkhead.queue
        assert self.breaker._machine.probes == 0


@types.coroutine
def stepped(coroutine: Coroutine[Any, Any, Any], at: Callable[[int], BaseException | None]) -> Generator[Any, Any, Any]:
    """Await ``coroutine``; at each of its await points ask ``at`` what to throw there, if anything."""
    waits_for = coroutine.send(None)
    for point in itertools.count():
        error = at(point)
        if isinstance(error, GeneratorExit):
            coroutine.close()
            raise error
        try:
            if error is not None:
                waits_for = coroutine.throw(error)
                continue
            try:
                sent = yield waits_for
            except BaseException as thrown:
                waits_for = coroutine.throw(thrown)
            else:
                waits_for = coroutine.send(sent)
        except StopIteration as end:
            return end.value


def cancel_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


CUTS: dict[str, Callable[[], BaseException | None]] = {
    "cancel": cancel_task,  # as asyncio does it: the future that is waited for is cancelled
    "killed": Killed,
    "interrupt": KeyboardInterrupt,
    "closed": GeneratorExit,  # the coroutine is thrown away
}


async def cut_at(bench: Bench, point: int, cut: str, leaves: int | None, lines_up: int | None) -> bool:
    """Run one call, cut off at await point number ``point``. Was there such a point?"""
    reached = False
    before: tuple[Any, ...] = ()

    def at(now: int) -> BaseException | None:
        nonlocal reached, before
        if now == lines_up:
            bench.line_up()
        if now == leaves:
            bench.leave()  # in the same moment, when now == point
        if now != point:
            return None
        reached, before = True, bench.counted()
        return CUTS[cut]()

    error: BaseException | None = None
    result = None
    try:
        result = await stepped(bench.pipeline.acall(bench.coroutine), at)
    except BaseException as raised:
        error = raised
    if not reached:
        # Only with the place taken for good may a repeatable error leave: the repeat was refused.
        assert result in ("answer", "instead") or (isinstance(error, TypeError) and lines_up is not None)
    else:
        assert error is not None, "the cut was swallowed"
        assert type(error) is (asyncio.CancelledError if cut == "cancel" else CUTS[cut])
        assert bench.counted() == before, "a call that was cut off was counted"
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
    assert no_scope_is_open()
    return reached


async def finish(bench: Bench) -> None:
    """The service is well again: once the reset time is over, calls go through and the circuit closes."""
    bench.check_at_rest()
    bench.script.clear()
    bench.clock.advance(bench.breaker.retry_after or 0)
    for _ in range(3):
        assert await bench.pipeline.acall(bench.coroutine) == "answer"
    assert bench.breaker.state == "closed"
    bench.check_at_rest()


async def sweep(build: Callable[[], Bench], cut: str, leaves: int | None, lines_up: int | None) -> int:
    for point in itertools.count():
        bench = build()
        reached = await cut_at(bench, point, cut, leaves, lines_up)
        await finish(bench)
        if not reached:
            return point
    raise AssertionError


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("script", SCRIPTS)
async def test_cut_off_at_any_await_nothing_is_lost(script: str, cut: str) -> None:
    points = 0
    for order in ORDERS:
        points += await sweep(lambda order=order: Bench(order, script, occupied=False), cut, None, None)
    assert points >= 2 * len(ORDERS)  # the function alone has two


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("lines_up", [None, 0])
@pytest.mark.parametrize("leaves", [None, 0, 1, 2, 3])
async def test_cut_off_in_the_queue_the_permit_goes_on(leaves: int | None, lines_up: int | None, cut: str) -> None:
    """The place becomes free before, in the very moment of, or after the cut; somebody may queue behind."""
    for order in ORDERS:
        await sweep(lambda order=order: Bench(order, "fails once", occupied=True), cut, leaves, lines_up)


async def test_the_sweep_passes_through_queue_pause_run_and_fallback() -> None:
    """The sweep proves nothing if the call has no such points."""
    bench = Bench(("bulkhead", "retry", "timeout", "breaker"), "fails, then is down", occupied=True)
    result = await stepped(bench.pipeline.acall(bench.coroutine), lambda point: bench.leave() if point == 0 else None)
    assert result == "instead"
    assert bench.breaker.state == "open"
    assert len(bench.clock.sleeps) == 2
    bench.check_at_rest()


# --- the driver for threads: the same, with what a signal handler raises ------------------------------------------


class CuttingClock(FakeClock):
    """Raises at the n-th moment at which a thread would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.cut_at: int | None = None
        self.points = 0
        self.on_point: Callable[[int], None] = lambda point: None

    def point(self) -> None:
        point, self.points = self.points, self.points + 1
        self.on_point(point)
        if point == self.cut_at:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        self.point()
        super().sleep(seconds)

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        self.point()
        return super().wait(event, seconds)


class ThreadBench(Bench):
    def __init__(self, order: tuple[str, ...], script: str, *, occupied: bool) -> None:
        self.cutting = CuttingClock()
        super().__init__(order, script, occupied=occupied, clock=self.cutting)

    def function(self) -> str:
        self.cutting.point()
        failure = self.script.pop(0) if self.script else None
        if failure is not None:
            raise failure
        return "answer"

    def instead(self, call: Call, error: Exception) -> Any:
        self.cutting.point()
        return "instead"


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("leaves", [None, 0, 1])
@pytest.mark.parametrize("occupied", [False, True])
def test_interrupted_at_any_wait_nothing_is_lost(script: str, leaves: int | None, occupied: bool) -> None:
    for order in ORDERS:
        for cut in itertools.count():
            bench = ThreadBench(order, script, occupied=occupied)
            bench.cutting.cut_at = cut
            bench.cutting.on_point = lambda point, bench=bench: bench.leave() if point == leaves else None
            try:
                bench.pipeline.call(bench.function)
            except KeyboardInterrupt:
                done = False
            else:
                done = True
            bench.cutting.cut_at = None
            assert no_scope_is_open()
            bench.check_at_rest()
            bench.script.clear()
            bench.clock.advance(bench.breaker.retry_after or 0)
            for _ in range(3):
                assert bench.pipeline.call(bench.function) == "answer"
            assert bench.breaker.state == "closed"
            bench.check_at_rest()
            if done:
                break


# --- what a hook raises -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("order", ORDERS)
async def test_what_a_predicate_raises_loses_nothing(order: tuple[str, ...], error: type[BaseException]) -> None:
    """A predicate is the user's code, asked in the middle of the way up."""

    def predicate(failure: BaseException) -> bool:
        raise error

    clock = FakeClock()
    policies: dict[str, Policy] = {
        "retry": Retry(attempts=3, on=predicate, total_time=5000),
        "bulkhead": Bulkhead(1 + BALLAST, max_waiting=1),
        "breaker": CircuitBreaker(fail_max=3, exclude=predicate),
        "timeout": Timeout(100),
    }
    pipeline = ResiliencePipeline([policies[name] for name in order], clock=clock)
    bulkhead = next(layer for layer in pipeline.plan.layers if isinstance(layer, BulkheadLayer))
    assert bulkhead.enter(CALL) is not None  # the ballast
    breaker = pipeline.breakers["circuit_breaker"]

    def down() -> None:
        raise redis.ConnectionError

    async def down_too() -> None:
        raise redis.ConnectionError

    for _ in range(2):
        breaker._change("half-open", "by the test")
        with pytest.raises(error):
            pipeline.call(down)
        with pytest.raises(error):
            await pipeline.acall(down_too)
        assert bulkhead.running == BALLAST
        assert breaker._machine.probes == 0


# --- a loop that goes away ----------------------------------------------------------------------------------------


@pytest.fixture
def queued_in_a_closed_loop() -> Iterator[tuple[BulkheadLayer, Any, Coroutine[Any, Any, Any]]]:
    """A call queues in a loop that is then closed under it, as a program does that forgets its tasks."""
    pipeline = ResiliencePipeline([Bulkhead(1 + BALLAST, max_waiting=1, max_wait=50)], rng=random.Random(1))
    layer = pipeline.plan.layers[0]
    assert isinstance(layer, BulkheadLayer)
    assert layer.enter(CALL) is not None  # the ballast
    permit = layer.enter(CALL)
    loop = asyncio.new_event_loop()
    call = pipeline.acall(lambda: "never")
    task = loop.create_task(call)
    loop.run_until_complete(asyncio.sleep(0))
    assert len(layer.queue) == 1
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    yield layer, permit, call
    # The coroutine inside asyncio.wait cannot clean up in a closed loop; that is the program's fault, not ours.
    del task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def throw_away(call: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(RuntimeError):  # asyncio's own clean-up: the event loop is closed
        call.close()


def test_a_call_thrown_away_with_its_loop_leaves_the_queue(queued_in_a_closed_loop: Any) -> None:
    layer, permit, call = queued_in_a_closed_loop
    throw_away(call)
    assert not layer.queue
    layer.release(permit)
    assert layer.running == BALLAST


def test_a_permit_granted_to_a_closed_loop_goes_on(queued_in_a_closed_loop: Any) -> None:
    layer, permit, call = queued_in_a_closed_loop
    layer.release(permit)
    assert layer.running == BALLAST
    throw_away(call)


def test_a_permit_granted_to_a_closed_loop_is_given_back_once(queued_in_a_closed_loop: Any) -> None:
    layer, permit, call = queued_in_a_closed_loop
    layer.release(permit)
    throw_away(call)
    assert layer.running == BALLAST
    tokens = [layer.enter(CALL), layer.enter(CALL)]
    assert isinstance(tokens[1], (Wait, Reject)), "two calls at once through a bulkhead for one"
