"""One pipeline shared by threads and by tasks of several event loops, in real time, with everything going wrong."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import warnings
from collections import Counter
from typing import Any

import pytest
import redis
from tenacity import retry_if_result

from resilient_redis.calls import Call
from resilient_redis.errors import BulkheadFullError, CircuitOpenError, PipelineOrderWarning
from resilient_redis.pipeline import ResiliencePipeline
from resilient_redis.policies import (
    Bulkhead,
    CircuitBreaker,
    CircuitBreakerLayer,
    Fallback,
    Policy,
    Reject,
    Retry,
    Timeout,
)
from resilient_redis.policies.bulkhead import BulkheadLayer
from resilient_redis.testing.clock import FakeClock

MOST = 4
RESET = 0.01
BUSY_FOR = 0.6  # seconds of turmoil for each order of the stack


CALL = Call("somebody else", "callable")


class Killed(BaseException):
    """What a signal handler may raise in the middle of a call; asyncio lets it through like any other."""


EXPECTED = (redis.ConnectionError, redis.TimeoutError, TypeError, BulkheadFullError, CircuitOpenError, Killed)


def layers_of(pipeline: ResiliencePipeline) -> tuple[BulkheadLayer, CircuitBreakerLayer]:
    layers = pipeline.plan.layers
    bulkhead = next(layer for layer in layers if isinstance(layer, BulkheadLayer))
    return bulkhead, next(layer for layer in layers if isinstance(layer, CircuitBreakerLayer))


class Turmoil:
    """Calls from all sides until the time is over; notes what each ended in, and how many ran at once."""

    def __init__(self, pipeline: ResiliencePipeline, seed: int) -> None:
        self.pipeline = pipeline
        self.seed = seed
        self.ends = time.monotonic() + BUSY_FOR
        self.lock = threading.Lock()
        self.running = self.most = 0
        self.seen: Counter[str] = Counter()
        self.wrong: list[BaseException] = []

    def came(self) -> None:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)

    def went(self) -> None:
        with self.lock:
            self.running -= 1

    def end(self, chance: float) -> str:
        if chance < 0.5:
            return "fine"
        raise (redis.ConnectionError, redis.ConnectionError, TypeError, redis.TimeoutError, Killed)[
            int(chance * 10) - 5
        ]

    def function(self, rng: random.Random) -> str:
        self.came()
        try:
            time.sleep(rng.random() * 0.001)
            return self.end(rng.random())
        finally:
            self.went()

    async def coroutine(self, rng: random.Random) -> str:
        self.came()
        try:
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(rng.random() * 0.001)
            return self.end(rng.random())
        finally:
            self.went()

    def note(self, error: BaseException | None) -> None:
        with self.lock:
            self.seen["fine" if error is None else type(error).__name__] += 1
            if error is not None and not isinstance(error, (*EXPECTED, asyncio.CancelledError)):
                self.wrong.append(error)

    def thread(self, number: int) -> None:
        rng = random.Random(self.seed * 100 + number)
        while time.monotonic() < self.ends:
            try:
                assert self.pipeline.call(self.function, rng) == "fine"
            except BaseException as error:
                self.note(error)
            else:
                self.note(None)

    def loop(self, number: int) -> None:
        try:
            asyncio.run(self.tasks(number))
        except BaseException as error:
            self.note(error)

    async def tasks(self, number: int) -> None:
        rng = random.Random(self.seed * 1000 + number)
        async with asyncio.timeout(BUSY_FOR + 10):
            await asyncio.gather(*(self.client(random.Random(rng.random())) for _ in range(10)))

    async def client(self, rng: random.Random) -> None:
        while time.monotonic() < self.ends:
            task = asyncio.create_task(self.one(rng))
            if rng.random() < 0.4:  # cancelled somewhere on its way, perhaps twice
                await asyncio.sleep(rng.random() * 0.002)
                task.cancel()
                if rng.random() < 0.3:
                    await asyncio.sleep(0)
                    task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                self.note(asyncio.CancelledError())
            else:
                self.note(task.result())

    async def one(self, rng: random.Random) -> BaseException | None:
        try:
            assert await self.pipeline.acall(self.coroutine, rng) == "fine"
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            return error
        return None


ORDERS: dict[str, list[str]] = {
    "bulkhead outside": ["bulkhead", "retry", "breaker", "timeout"],
    "breaker outside": ["breaker", "retry", "bulkhead", "timeout"],
    "retry outside": ["retry", "bulkhead", "breaker", "timeout"],
    "breaker around bulkhead": ["retry", "breaker", "timeout", "bulkhead"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_after_the_turmoil_nothing_is_lost(order: str) -> None:
    policies: dict[str, Policy] = {
        "retry": Retry(
            attempts=3,
            on=(redis.ConnectionError, redis.TimeoutError),
            wait_initial=0.001,
            wait_max=0.002,
            retry_rejected=True,
        ),
        "bulkhead": Bulkhead(MOST + 1, max_waiting=20, max_wait=0.005),
        "breaker": CircuitBreaker(fail_max=4, reset_timeout=RESET, half_open_max=2, success_threshold=2),
        "timeout": Timeout(1),
    }
    seed = 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PipelineOrderWarning)
        pipeline = ResiliencePipeline([policies[name] for name in ORDERS[order]], rng=random.Random(seed))
    bulkhead, breaker = layers_of(pipeline)
    # One place is taken all the time: the count stops at 0, and would not show a place that was given back twice.
    assert bulkhead.enter(CALL) is not None
    turmoil = Turmoil(pipeline, seed)
    threads = [threading.Thread(target=turmoil.thread, args=(number,)) for number in range(8)]
    threads += [threading.Thread(target=turmoil.loop, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "a call hangs"

    assert not turmoil.wrong
    assert turmoil.running == 0
    assert turmoil.most <= MOST
    # It was a turmoil: each way to end was taken.
    assert min(turmoil.seen[name] for name in ("fine", "Killed", "CancelledError", "CircuitOpenError")) > 0, (
        turmoil.seen
    )
    assert sum(turmoil.seen.values()) > 200, turmoil.seen
    # And at rest nobody holds anything.
    assert bulkhead.running == 1
    assert not bulkhead.queue
    assert breaker._machine.probes == 0
    assert breaker.state in ("closed", "open", "half-open")
    time.sleep(breaker.retry_after or 0)
    for _ in range(4):
        assert pipeline.call(lambda: "fresh") == "fresh"

    async def fresh() -> str:
        await asyncio.sleep(0)
        return "fresh"

    async def all_at_once() -> list[str]:
        return list(await asyncio.gather(*(pipeline.acall(fresh) for _ in range(MOST))))

    assert asyncio.run(all_at_once()) == ["fresh"] * MOST
    assert breaker.state == "closed"
    assert bulkhead.running == 1


def test_places_pass_between_threads_and_loops_in_order() -> None:
    """One place; threads and tasks of two loops queue for it; it goes to them in the order in which they came."""
    pipeline = ResiliencePipeline([Bulkhead(1, max_waiting=20, max_wait=10)], rng=random.Random(1))
    bulkhead, *_ = (layer for layer in pipeline.plan.layers if isinstance(layer, BulkheadLayer))
    came: list[int] = []
    first = bulkhead.enter(CALL)

    def thread(number: int) -> None:
        pipeline.call(came.append, number)

    def loop(number: int) -> None:
        asyncio.run(pipeline.acall(came.append, number))

    threads = [threading.Thread(target=thread if number % 3 else loop, args=(number,)) for number in range(12)]
    for number, waiter in enumerate(threads):
        waiter.start()
        until = time.monotonic() + 10
        while len(bulkhead.queue) <= number and time.monotonic() < until:
            time.sleep(0.0005)
    bulkhead.release(first)
    for waiter in threads:
        waiter.join(20)
    assert came == list(range(12))
    assert bulkhead.running == 0


def test_half_open_admits_so_many_and_no_more() -> None:
    """64 threads fall upon a circuit whose time is over: exactly the permitted probes go through."""
    for half_open_max in (1, 3):
        clock = FakeClock()  # however long the threads take, no probe is written off
        breaker = CircuitBreaker(fail_max=1, reset_timeout=RESET, half_open_max=half_open_max, success_threshold=99)
        pipeline = ResiliencePipeline([breaker], clock=clock)
        with pytest.raises(redis.ConnectionError):
            pipeline.call(_down)
        clock.advance(RESET)
        ready, gate = threading.Barrier(64), threading.Event()
        seen: Counter[str] = Counter()
        lock = threading.Lock()

        def count(name: str, seen: Counter[str] = seen, lock: threading.Lock = lock) -> None:
            with lock:
                seen[name] += 1

        def fall(pipeline: ResiliencePipeline, ready: threading.Barrier, gate: threading.Event, count: Any) -> None:
            def probe() -> None:
                count("probe")
                gate.wait(10)

            ready.wait(10)
            try:
                pipeline.call(probe)
            except CircuitOpenError:
                count("refused")

        threads = [threading.Thread(target=fall, args=(pipeline, ready, gate, count)) for _ in range(64)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 10
        while sum(seen.values()) < 64 and time.monotonic() < until:
            time.sleep(0.001)
        assert seen == {"probe": half_open_max, "refused": 64 - half_open_max}
        gate.set()
        for thread in threads:
            thread.join(10)
        assert pipeline.breakers["circuit_breaker"]._machine.probes == 0


def _down() -> None:
    raise redis.ConnectionError("down")


async def test_failures_and_successes_in_turn_are_no_failures_in_a_row() -> None:
    """Ten calls under way at once end failure, success, failure, success …: never two failures in a row."""
    pipeline = ResiliencePipeline([CircuitBreaker(fail_max=2, reset_timeout=60)], rng=random.Random(1))
    gates = [asyncio.Event() for _ in range(10)]

    async def guarded(number: int) -> None:
        await gates[number].wait()
        if number % 2 == 0:
            raise redis.ConnectionError

    tasks = [asyncio.create_task(pipeline.acall(guarded, number)) for number in range(10)]
    await asyncio.sleep(0)
    for gate, task in zip(gates, tasks, strict=True):
        gate.set()
        await asyncio.wait([task])
        task.exception()
    assert pipeline.breakers["circuit_breaker"].state == "closed"


def test_a_refusal_after_an_attempt_that_ran_is_not_called_unsent() -> None:
    """A slow, unwelcome answer opens the circuit; the repeat is refused. But the function did run."""
    ran = []
    clock = FakeClock()

    def poor() -> str:
        ran.append(1)
        clock.advance(2)
        return "poor"

    retry = Retry(retry=retry_if_result(lambda value: value == "poor"), wait_initial=0, wait_max=0)
    pipeline = ResiliencePipeline([retry, CircuitBreaker(fail_max=1, slow_call=1)], clock=clock)
    assert pipeline.call(poor) == "poor"
    assert ran == [1]
    assert pipeline.breakers["circuit_breaker"].state == "open"


@pytest.mark.parametrize("inner", [Fallback("instead", on=Exception), Timeout(60)])
def test_a_layer_may_be_shared_by_pipelines(inner: Policy) -> None:
    """The same policy object in two pipelines is one circuit and one bulkhead."""
    bulkhead, breaker = Bulkhead(1), CircuitBreaker(fail_max=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PipelineOrderWarning)
        one, two = ResiliencePipeline([bulkhead, breaker]), ResiliencePipeline([bulkhead, breaker, inner])
    assert layers_of(one) == layers_of(two)
    room = layers_of(one)[0]
    token = room.enter(CALL)
    answer = layers_of(two)[0].enter(CALL)
    assert isinstance(answer, Reject)
    room.release(token)
    assert room.running == 0
