"""How calls end: computed fallbacks, late results, the error that leaves, and what it carries."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import Any

import pytest
import redis
from tenacity import wait_fixed

from resilient_redis import (
    Bulkhead,
    CallTimeoutError,
    CircuitBreaker,
    CircuitOpenError,
    Fallback,
    Retry,
    Timeout,
)
from resilient_redis.calls import Call
from resilient_redis.events import AttemptFailed, CallRejected, FallbackUsed, RetriesExhausted, RetryScheduled
from resilient_redis.policies.breaker_machine import PROBE_PATIENCE
from resilient_redis.testing.clock import FakeClock

from .harness import Asyncio, Driver, Slow, Sync, bench, quietly

Down = redis.ConnectionError


def retry(attempts: int = 3, **options: Any) -> Retry:
    return Retry(attempts=attempts, on=redis.RedisError, wait=wait_fixed(0.1), **options)


# --- Fallback.using -----------------------------------------------------------------------------------------------


def test_a_computed_fallback_is_given_the_call_and_the_error(driver: Driver) -> None:
    error = Down("down")
    stand = bench(driver, [Fallback.using(lambda call, error: (call, error))], error)
    call, given = stand.call()
    assert isinstance(call, Call)
    assert (call.target, call.attempts, given) == ("callable", 1, error)


def test_an_async_fallback_is_awaited_in_asyncio() -> None:
    async def compute(call: Call, error: Exception) -> str:
        await asyncio.sleep(0)
        return f"after {type(error).__name__}"

    assert bench(Asyncio(), [Fallback.using(compute)], Down).call() == "after ConnectionError"


def test_an_async_fallback_in_a_sync_call_says_what_to_give() -> None:
    async def compute(call: Call, error: Exception) -> str:
        return "never"

    with pytest.raises(TypeError, match="give a plain function") as caught:
        bench(Sync(), [Fallback.using(compute)], Down).call()
    assert isinstance(caught.value.__cause__, Down)


def test_what_a_computed_fallback_raises_leaves_with_the_error_as_its_cause(driver: Driver) -> None:
    def compute(call: Call, error: Exception) -> str:
        raise LookupError("no default")

    end = bench(driver, [Fallback.using(compute)], Down).ends()
    assert type(end) is LookupError
    assert type(end.__cause__) is Down


def test_what_an_async_fallback_raises_leaves_with_the_error_as_its_cause() -> None:
    async def compute(call: Call, error: Exception) -> str:
        await asyncio.sleep(0)
        raise LookupError("no default")

    end = bench(Asyncio(), [Fallback.using(compute)], Down).ends()
    assert type(end) is LookupError
    assert type(end.__cause__) is Down


def test_a_computed_fallback_may_raise_the_error_again(driver: Driver) -> None:
    def compute(call: Call, error: Exception) -> str:
        raise error

    end = bench(driver, [Fallback.using(compute)], Down).ends()
    assert type(end) is Down
    assert end.__cause__ is not end


def test_what_a_computed_fallback_raises_may_be_covered_outside(driver: Driver) -> None:
    def compute(call: Call, error: Exception) -> str:
        raise redis.TimeoutError("the replica is slow too")

    stand = bench(driver, [Fallback("outer", name="o"), Fallback.using(compute, name="i")], Down)
    assert stand.call() == "outer"


def test_a_keyboard_interrupt_in_a_computed_fallback_releases_the_layers_outside(driver: Driver) -> None:
    def compute(call: Call, error: Exception) -> str:
        raise KeyboardInterrupt

    stand = bench(driver, [Bulkhead(1), Fallback.using(compute)], Down)
    assert type(stand.ends()) is KeyboardInterrupt
    assert stand.bulkhead.running == 0


def test_each_caller_gets_a_fallback_of_its_own(driver: Driver) -> None:
    stand = bench(driver, [Fallback({"items": []})], Down)
    first = stand.call()
    first["items"].append("mine")
    assert stand.call() == {"items": []}


# --- late results -------------------------------------------------------------------------------------------------


def test_a_late_failure_is_not_counted_after_a_change_of_state(driver: Driver) -> None:
    stand = bench(driver, [CircuitBreaker(fail_max=1, reset_timeout=10)], None)

    def changed_meanwhile() -> None:
        stand.breaker.isolate()
        stand.breaker.reset()
        raise Down("late")

    stand.script.entries = [changed_meanwhile]
    assert type(stand.ends()) is Down
    assert (stand.breaker.state, stand.breaker.fail_counter) == ("closed", 0)


def test_a_late_success_is_not_counted_as_a_probe(driver: Driver) -> None:
    stand = bench(driver, [CircuitBreaker(fail_max=1, reset_timeout=10, success_threshold=2)], None)

    def opened_and_probed_meanwhile() -> str:
        layer, call = stand.breaker, Call("GET", "command")
        token = layer.enter(call)
        layer.exit(token, failed(call))  # the circuit opens
        stand.clock.advance(10)
        layer.release(layer.enter(call))  # … and is half-open, with no probe under way
        return "late"

    stand.script.entries = [opened_and_probed_meanwhile, "v", "v"]
    assert stand.call() == "late"
    assert stand.breaker.state == "half-open"
    stand.call()
    assert stand.breaker.state == "half-open", "the late success was no probe"
    stand.call()
    assert stand.breaker.state == "closed"


def failed(call: Call) -> Any:
    from resilient_redis.pipeline.classify import classify

    return classify(call, Down("down"))


def test_a_late_probe_of_an_earlier_period_does_not_free_the_place_of_a_newer_one(driver: Driver) -> None:
    stand = bench(driver, [CircuitBreaker(fail_max=1, reset_timeout=10)], Down)
    stand.ends()
    layer, call = stand.breaker, Call("GET", "command")
    stand.clock.advance(10)
    hung = layer.enter(call)
    stand.clock.advance(PROBE_PATIENCE)  # the probe hangs: another one is let through
    second = layer.enter(call)
    layer.release(hung)
    assert type(stand.ends()) is CircuitOpenError
    layer.exit(second, failed(call))
    assert layer.state == "open"


# --- the error that leaves ----------------------------------------------------------------------------------------


def test_an_unknown_attempt_then_a_refusal_leaves_the_earlier_error_with_a_note(driver: Driver) -> None:
    first = Down("lost after sending")
    stand = bench(driver, [retry(), CircuitBreaker(fail_max=1, reset_timeout=10)], first)
    end = stand.ends()
    assert end is first
    assert any("attempt 2 then failed with CircuitOpenError (circuit_open)" in note for note in end.__notes__)


def test_unknown_then_full_then_exhausted_leaves_the_unknown_error(driver: Driver) -> None:
    first = Down("lost after sending")
    stand = bench(driver, [retry(retry_rejected=True), Bulkhead(1)], None)

    def fails_and_leaves_the_bulkhead_full() -> None:
        stand.bulkhead.running += 1
        raise first

    stand.script.entries = [fails_and_leaves_the_bulkhead_full]
    assert stand.ends() is first
    assert sum("then failed with BulkheadFullError" in note for note in first.__notes__) == 1


def test_the_latest_of_errors_known_equally_well_leaves(driver: Driver) -> None:
    first, second, third = Down("1"), Down("2"), Down("3")
    assert bench(driver, [retry()], first, second, third).ends() is third


def test_a_refusal_carries_what_is_known(driver: Driver) -> None:
    stand = bench(driver, [CircuitBreaker(fail_max=1, reset_timeout=10)], Down)
    stand.ends()
    stand.clock.advance(4)
    end = stand.ends()
    assert (end.delivery, end.attempts, end.elapsed, end.retry_after) == ("not_sent", 0, 0.0, 6.0)
    assert any("0 attempts" in note and "not_sent (circuit_open)" in note for note in end.__notes__)
    assert "last failure: ConnectionError" in str(end)
    assert "(retry after 6 s)" in str(end)


def test_the_error_of_a_guarded_function_leaves_as_it_is(driver: Driver) -> None:
    error = RuntimeError("mine")
    end = bench(driver, [retry(), Timeout(1)], error).ends()
    assert end is error
    assert not hasattr(end, "delivery")
    assert not hasattr(end, "__notes__")


def test_a_refusal_from_inside_the_function_keeps_its_own_stamp(driver: Driver) -> None:
    inner = bench(driver, [CircuitBreaker()], "v")
    inner.breaker.isolate()
    outer = quietly([Timeout(1)], clock=inner.clock)
    with pytest.raises(CircuitOpenError) as caught:
        driver.call(outer, driver.inside(inner.pipeline, driver.guarded(inner.script.play)))
    assert caught.value.delivery == "not_sent"
    assert len(caught.value.__notes__) == 1


def test_a_failed_call_leaves_no_reference_cycle(driver: Driver) -> None:
    pipeline, alive = quietly([Fallback("fb"), retry(2), CircuitBreaker()], clock=FakeClock()), []

    class Watched(redis.ResponseError):
        def __init__(self) -> None:
            super().__init__("WRONGTYPE")
            alive.append(weakref.ref(self))

    def fails() -> None:
        raise Watched

    async def main() -> None:
        with contextlib.suppress(Watched):
            await pipeline.acall(fails)
        assert alive[-1]() is None

    gc.collect()
    gc.disable()
    try:
        if driver.name == "asyncio":
            asyncio.run(main())
        else:
            with contextlib.suppress(Watched):
                pipeline.call(fails)
            assert alive[-1]() is None
        assert len(alive) == 2
    finally:
        gc.enable()


# --- deadlines in asyncio -----------------------------------------------------------------------------------------


def test_a_coroutine_is_cancelled_at_its_deadline() -> None:
    cancelled = []

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(CallTimeoutError, match=r"hangs did not end within \S+ s and was cancelled"):
        asyncio.run(quietly([Timeout("1ms")]).acall(hangs))
    assert cancelled == [True]


def test_a_deadline_counts_as_a_failure_and_is_covered_and_repeated() -> None:
    attempts = []

    async def hangs() -> None:
        attempts.append(1)
        await asyncio.Event().wait()

    stack = [Fallback("fb"), retry(2), CircuitBreaker(fail_max=2), Timeout("1ms")]
    pipeline = quietly(stack, clock=FakeClock())
    assert asyncio.run(pipeline.acall(hangs)) == "fb"
    assert len(attempts) == 2
    assert pipeline.breakers["circuit_breaker"].state == "open"


def test_a_timeout_error_of_the_function_itself_is_not_taken_for_the_deadline() -> None:
    async def own() -> None:
        await asyncio.sleep(0)
        raise TimeoutError("own")

    with pytest.raises(TimeoutError, match="own") as caught:
        asyncio.run(quietly([Timeout(60)]).acall(own))
    assert type(caught.value) is TimeoutError


def test_a_sync_function_is_not_interrupted_at_its_deadline() -> None:
    assert bench(Sync(), [Timeout(1)], Slow(5, "late")).call() == "late"


def test_a_partial_and_a_callable_object_can_be_awaited_under_a_deadline() -> None:
    import functools

    async def double(value: int) -> int:
        await asyncio.sleep(0)
        return value * 2

    class Doubler:
        async def __call__(self, value: int) -> int:
            return await double(value)

    pipeline = quietly([Timeout(60)])
    assert asyncio.run(pipeline.acall(functools.partial(double, 2))) == 4
    assert asyncio.run(pipeline.acall(Doubler(), 3)) == 6


def test_acall_takes_a_plain_function() -> None:
    assert asyncio.run(quietly([Timeout(60), Fallback("fb")]).acall(lambda: "v")) == "v"


def test_a_future_is_awaited_under_the_deadline() -> None:
    async def main() -> Any:
        future = asyncio.get_running_loop().create_future()
        return await quietly([Timeout("1ms")]).acall(lambda: future)

    with pytest.raises(CallTimeoutError, match="did not end within"):
        asyncio.run(main())


# --- events -------------------------------------------------------------------------------------------------------


def test_every_use_of_a_policy_is_an_event(driver: Driver) -> None:
    stand = bench(driver, [Fallback("fb"), retry(2), CircuitBreaker(fail_max=9)], Down)
    stand.call()
    kinds = [type(event) for event in stand.events]
    assert kinds == [AttemptFailed, RetryScheduled, AttemptFailed, RetriesExhausted, FallbackUsed]
    assert stand.events[1].wait == pytest.approx(0.1)  # type: ignore[attr-defined]
    assert stand.events[3].attempts == 2  # type: ignore[attr-defined]
    assert {event.kind for event in stand.events} == {"unreachable"}  # type: ignore[attr-defined]


def test_a_refusal_is_an_event(driver: Driver) -> None:
    stand = bench(driver, [CircuitBreaker(name="cache"), Bulkhead(1)], "v")
    stand.bulkhead.running = 1
    stand.ends()
    stand.breaker.isolate()
    stand.ends()
    told = [(event.policy, event.kind) for event in stand.events if isinstance(event, CallRejected)]
    assert told == [("bulkhead", "bulkhead_full"), ("cache", "circuit_open")]


def test_a_success_is_no_event(driver: Driver) -> None:
    stand = bench(driver, [Fallback("fb"), retry(), CircuitBreaker(), Timeout(1), Bulkhead(1)], "v")
    stand.call()
    assert stand.events == []
