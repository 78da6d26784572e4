"""Pipelines inside pipelines, overrides, and what a call leaves behind for whatever outlives it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import redis
from tenacity import wait_fixed

from resilient_redis import ConfigError, Fallback, Layer, Policy, ResiliencePipeline, Retry, Timeout
from resilient_redis.calls import NO_DEADLINE, Call
from resilient_redis.testing.clock import FakeClock

from .harness import Driver, Script, quietly


class _SpyLayer(Layer):
    policy: Spy

    def enter(self, call: Call) -> None:
        self.policy.calls.append(call)
        self.policy.deadlines.append(call.deadline)


@dataclass(frozen=True, eq=False)
class Spy(Policy):
    """Notes what reaches its place in the stack."""

    calls: list[Call] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    layer_type: ClassVar[type[Layer]] = _SpyLayer


def retry(attempts: int) -> Retry:
    return Retry(attempts=attempts, on=redis.ConnectionError, wait=wait_fixed(0.1))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(start=100.0)


@pytest.fixture
def down(clock: FakeClock, driver: Driver) -> Script:
    return Script([redis.ConnectionError], clock, driver)


def nest(driver: Driver, outer: ResiliencePipeline, inner: ResiliencePipeline, script: Script) -> Any:
    return driver.call(outer, driver.inside(inner, driver.guarded(script.play)))


# --- nested pipelines ---------------------------------------------------------------------------------------------


def test_attempts_of_nested_pipelines_do_not_multiply(driver: Driver, clock: FakeClock, down: Script) -> None:
    outer, inner = quietly([retry(3)], clock=clock), quietly([retry(4)], clock=clock)
    with pytest.raises(redis.ConnectionError):
        nest(driver, outer, inner, down)
    assert down.attempts == 3


def test_an_outer_pipeline_that_makes_one_attempt_leaves_repeating_to_the_inner(
    driver: Driver, clock: FakeClock, down: Script
) -> None:
    outer, inner = quietly([retry(1)], clock=clock), quietly([retry(4)], clock=clock)
    with pytest.raises(redis.ConnectionError):
        nest(driver, outer, inner, down)
    assert down.attempts == 4


def test_the_outer_fallback_wins_over_the_inner(driver: Driver, clock: FakeClock, down: Script) -> None:
    outer, inner = quietly([Fallback("outer")], clock=clock), quietly([Fallback("inner")], clock=clock)
    assert nest(driver, outer, inner, down) == "outer"


def test_an_outer_retry_leaves_the_inner_fallback_in_place(driver: Driver, clock: FakeClock, down: Script) -> None:
    outer, inner = quietly([retry(3)], clock=clock), quietly([Fallback("inner")], clock=clock)
    assert nest(driver, outer, inner, down) == "inner"
    assert down.attempts == 1


@pytest.mark.parametrize(("outside", "inside", "expected"), [(1, 10, 101.0), (10, 1, 101.0), (None, 5, 105.0)])
def test_the_smaller_deadline_holds_inside(
    driver: Driver, clock: FakeClock, outside: float | None, inside: float, expected: float
) -> None:
    spy = Spy()
    outer = quietly([] if outside is None else [Timeout(outside)], clock=clock)
    inner = quietly([Timeout(inside), spy], clock=clock)
    assert nest(driver, outer, inner, Script(["v"], clock, driver)) == "v"
    assert spy.deadlines == [expected]


def test_a_deadline_reaches_through_two_pipelines(driver: Driver, clock: FakeClock) -> None:
    spy = Spy()
    outer, middle, inner = (quietly(stack, clock=clock) for stack in ([Timeout(1)], [Timeout(7)], [spy]))
    body = driver.inside(inner, driver.guarded(lambda: "v"))
    assert driver.call(outer, driver.inside(middle, body)) == "v"
    assert spy.deadlines == [101.0]


def test_what_a_scope_says_ends_with_the_call(driver: Driver, clock: FakeClock, down: Script) -> None:
    outer, inner = quietly([Fallback("outer"), retry(3), Timeout(1)], clock=clock), quietly([retry(2)], clock=clock)
    assert nest(driver, outer, inner, down) == "outer"
    down.attempts = 0
    with pytest.raises(redis.ConnectionError):
        driver.call(inner, driver.guarded(down.play))
    assert down.attempts == 2


def test_what_a_scope_says_ends_with_a_failed_call_too(driver: Driver, clock: FakeClock) -> None:
    outer, spy = quietly([Timeout(1)], clock=clock), Spy()
    with pytest.raises(ZeroDivisionError):
        driver.call(outer, driver.guarded(lambda: 1 // 0))
    driver.call(quietly([spy], clock=clock), driver.guarded(lambda: "v"))
    assert spy.deadlines == [NO_DEADLINE]


# --- what outlives the call ---------------------------------------------------------------------------------------


def test_a_background_task_does_not_inherit_the_closed_scope(clock: FakeClock) -> None:
    spy, calls = Spy(), []
    outer = quietly([Fallback("outer"), retry(3), Timeout(1)], clock=clock)
    inner = quietly([spy, retry(2)], clock=clock)

    async def fails() -> None:
        calls.append("tried")
        raise redis.ConnectionError("down")

    async def main() -> None:
        gate, tasks = asyncio.Event(), []

        async def background() -> None:
            await gate.wait()
            await inner.acall(fails)

        async def guarded() -> str:
            tasks.append(asyncio.create_task(background()))
            await asyncio.sleep(0)
            return "v"

        assert await outer.acall(guarded) == "v"
        gate.set()
        with pytest.raises(redis.ConnectionError):
            await tasks[0]

    asyncio.run(main())
    assert len(calls) == 2, "the outer Retry is long over, so the inner one repeats"
    assert spy.deadlines == [NO_DEADLINE]
    assert not spy.calls[0].fallback_outside


def test_a_background_task_keeps_to_the_scope_while_the_call_is_under_way(clock: FakeClock) -> None:
    spy = Spy()
    outer, inner = quietly([Timeout(1)], clock=clock), quietly([spy], clock=clock)

    async def value() -> str:
        return "v"

    async def guarded() -> str:
        return await asyncio.create_task(inner.acall(value))

    assert asyncio.run(outer.acall(guarded)) == "v"
    assert spy.deadlines == [101.0]


def test_a_copied_context_does_not_keep_the_scope_of_a_sync_call(clock: FakeClock) -> None:
    spy = Spy()
    outer, inner = quietly([Timeout(1)], clock=clock), quietly([spy], clock=clock)
    context = outer.call(contextvars.copy_context)
    context.run(inner.call, lambda: "v")
    assert spy.deadlines == [NO_DEADLINE]


# --- overrides ----------------------------------------------------------------------------------------------------


def test_overrides_timeout_replaces_each_timeouts_own(driver: Driver, clock: FakeClock) -> None:
    spy = Spy()
    pipeline = quietly([Timeout(1), spy], clock=clock)
    with pipeline.overrides(timeout=5):
        driver.call(pipeline, driver.guarded(lambda: "v"))
    driver.call(pipeline, driver.guarded(lambda: "v"))
    assert spy.deadlines == [105.0, 101.0]


@pytest.mark.parametrize(("own", "deadline", "expected"), [(9, "250ms", 100.25), (1, 5, 101.0), (None, 5, 105.0)])
def test_overrides_deadline_only_shortens(
    driver: Driver, clock: FakeClock, own: float | None, deadline: Any, expected: float
) -> None:
    spy = Spy()
    pipeline = quietly([spy] if own is None else [Timeout(own), spy], clock=clock)
    with pipeline.overrides(deadline=deadline):
        driver.call(pipeline, driver.guarded(lambda: "v"))
    assert spy.deadlines == [expected]


def test_overrides_deadline_is_counted_from_each_calls_start(driver: Driver, clock: FakeClock) -> None:
    spy = Spy()
    pipeline = quietly([spy], clock=clock)
    with pipeline.overrides(deadline=5):
        for _ in range(2):
            driver.call(pipeline, driver.guarded(lambda: "v"))
            clock.advance(3)
    assert spy.deadlines == [105.0, 108.0]


def test_overrides_deadline_ends_the_retries(driver: Driver, clock: FakeClock, down: Script) -> None:
    pipeline = quietly([retry(99)], clock=clock)
    with pipeline.overrides(deadline=0.25), pytest.raises(redis.ConnectionError):
        driver.call(pipeline, driver.guarded(down.play))
    assert down.attempts == 3


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_overrides_attempts_replaces_the_retrys_own(
    driver: Driver, clock: FakeClock, down: Script, attempts: int
) -> None:
    pipeline = quietly([retry(3)], clock=clock)
    with pipeline.overrides(attempts=attempts), pytest.raises(redis.ConnectionError):
        driver.call(pipeline, driver.guarded(down.play))
    assert down.attempts == attempts


def test_overrides_attempts_repeats_nothing_that_nobody_named(driver: Driver, clock: FakeClock, down: Script) -> None:
    pipeline = quietly([Retry(attempts=1)], clock=clock)
    with pipeline.overrides(attempts=3), pytest.raises(redis.ConnectionError):
        driver.call(pipeline, driver.guarded(down.play))
    assert down.attempts == 1


@pytest.mark.parametrize("value", ["other", None, 0, []])
def test_overrides_fallback_replaces_the_value(driver: Driver, clock: FakeClock, down: Script, value: Any) -> None:
    pipeline = quietly([Fallback("own")], clock=clock)
    with pipeline.overrides(fallback=value):
        assert driver.call(pipeline, driver.guarded(down.play)) == value
    assert driver.call(pipeline, driver.guarded(down.play)) == "own"


def test_overrides_of_one_pipeline_leave_another_alone(driver: Driver, clock: FakeClock, down: Script) -> None:
    one, other = quietly([Fallback("one")], clock=clock), quietly([Fallback("other")], clock=clock)
    with one.overrides(fallback="overridden"):
        assert driver.call(other, driver.guarded(down.play)) == "other"


def test_overrides_of_an_inner_pipeline_reach_through_the_outer(driver: Driver, clock: FakeClock, down: Script) -> None:
    outer, inner = quietly([Timeout(9)], clock=clock), quietly([Fallback("own")], clock=clock)
    with inner.overrides(fallback="overridden"):
        assert nest(driver, outer, inner, down) == "overridden"


def test_the_innermost_override_of_a_name_wins(driver: Driver, clock: FakeClock, down: Script) -> None:
    pipeline = quietly([Fallback("own")], clock=clock)
    with pipeline.overrides(fallback="outer"), pipeline.overrides(fallback="inner"):
        assert driver.call(pipeline, driver.guarded(down.play)) == "inner"


def test_nested_overrides_add_up(driver: Driver, clock: FakeClock, down: Script) -> None:
    pipeline = quietly([retry(4)], clock=clock)
    with pipeline.overrides(attempts=2), pipeline.overrides(deadline=50), pytest.raises(redis.ConnectionError):
        driver.call(pipeline, driver.guarded(down.play))
    assert down.attempts == 2


def test_overrides_attempts_one_leaves_repeating_to_the_inner(driver: Driver, clock: FakeClock, down: Script) -> None:
    outer, inner = quietly([retry(3)], clock=clock), quietly([retry(4)], clock=clock)
    with outer.overrides(attempts=1), pytest.raises(redis.ConnectionError):
        nest(driver, outer, inner, down)
    assert down.attempts == 4


def test_overrides_stay_with_their_pipeline_where_the_policies_are_shared(driver: Driver, clock: FakeClock) -> None:
    shared = Fallback("own")
    one, other = ResiliencePipeline([shared]), ResiliencePipeline([shared])
    down = Script([redis.ConnectionError], clock, driver)
    with one.overrides(fallback="overridden"):
        assert driver.call(other, driver.guarded(down.play)) == "own"


def test_overrides_end_with_their_block_even_when_it_raises(driver: Driver, clock: FakeClock, down: Script) -> None:
    pipeline = quietly([Fallback("own")], clock=clock)
    with pytest.raises(ZeroDivisionError), pipeline.overrides(fallback="other"):
        raise ZeroDivisionError
    assert driver.call(pipeline, driver.guarded(down.play)) == "own"


def test_overrides_are_not_seen_by_another_thread(clock: FakeClock) -> None:
    pipeline, seen = quietly([Fallback("own")], clock=clock), []

    def fails() -> str:
        raise redis.ConnectionError("down")

    with pipeline.overrides(fallback="other"):
        thread = threading.Thread(target=lambda: seen.append(pipeline.call(fails)))
        thread.start()
        thread.join()
    assert seen == ["own"]


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"attempts": 0}, "attempts", ["0", "give 1 or more"]),
        ({"attempts": 1.5}, "attempts", ["1.5", "give 1 or more"]),
        ({"attempts": True}, "attempts", ["True", "give 1 or more"]),
        ({"timeout": -1}, "overrides.timeout", ["-1", "0 or more"]),
        ({"timeout": 0}, "timeout", ["0", "more than 0"]),
        ({"deadline": "5"}, "overrides.deadline", ["'5'", '"5s"']),
        ({"deadlines": 5}, "deadlines", ["deadlines", "known: timeout, deadline, attempts, fallback"]),
    ],
)
def test_overrides_refuses_a_bad_value(values: dict[str, Any], field: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught, quietly([Timeout(1)]).overrides(**values):
        pass
    assert caught.value.field == field
    assert all(word in str(caught.value) for word in ["overrides", *words])
