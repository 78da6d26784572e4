"""tenacity's objects work as they are: each decides here as it does in tenacity's own loop."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
import tenacity
from tenacity import (
    retry_all,
    retry_any,
    retry_if_exception,
    retry_if_exception_cause_type,
    retry_if_exception_message,
    retry_if_exception_type,
    retry_if_not_exception_type,
    retry_if_not_result,
    retry_if_result,
    retry_never,
    retry_unless_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_never,
    stop_when_event_set,
    wait_chain,
    wait_combine,
    wait_exponential,
    wait_fixed,
    wait_incrementing,
    wait_none,
    wait_random,
)

from resilient_redis import ResiliencePipeline, Retry
from resilient_redis.calls import Outcome
from resilient_redis.policies.tenacity_bridge import state
from resilient_redis.testing.clock import FakeClock

from .kit import failure, function, success

stop_before_delay: Any = getattr(tenacity, "stop_before_delay", None)  # since tenacity 9


def waits(wait: Any, attempts: int = 5, took: float = 0.0, error: type[Exception] = OSError) -> list[float]:
    """What ``Retry`` sleeps between attempts that each take ``took`` seconds."""
    clock = FakeClock()
    policy = Retry(attempts=attempts, total_time=1e9, wait=wait, on=Exception)

    def fails() -> None:
        clock.advance(took)
        raise error("down")

    with pytest.raises(error):
        ResiliencePipeline([policy], clock=clock, rng=random.Random(1)).call(fails)
    return clock.sleeps


def attempts(stop: Any, wait: float = 1.0, took: float = 0.0) -> int:
    clock, made = FakeClock(), []

    def fails() -> None:
        made.append(1)
        clock.advance(took)
        assert len(made) < 50, "it never stops"
        raise OSError

    with pytest.raises(OSError):
        ResiliencePipeline([Retry(stop=stop, wait=wait_fixed(wait), on=OSError)], clock=clock).call(fails)
    return len(made)


def tenacitys_waits(wait: Any, tries: int) -> list[float]:
    """What tenacity's own loop would sleep."""
    slept: list[float] = []
    retrying = tenacity.Retrying(wait=wait, stop=stop_after_attempt(tries), sleep=slept.append, reraise=True)

    def fails() -> None:
        raise OSError

    with pytest.raises(OSError):
        retrying(fails)
    return slept


@pytest.mark.parametrize(
    "wait",
    [
        wait_none(),
        wait_fixed(0.5),
        wait_incrementing(start=1, increment=2),
        wait_exponential(multiplier=0.1, max=0.5),
        wait_fixed(1) + wait_incrementing(0, 1),
        wait_combine(wait_fixed(1), wait_fixed(2)),
        wait_chain(wait_fixed(1), wait_fixed(2), wait_fixed(7)),
        sum([wait_fixed(1), wait_fixed(2)]),
    ],
    ids=lambda wait: type(wait).__name__,
)
def test_a_wait_object_waits_as_in_tenacity(wait: Any) -> None:
    assert waits(wait) == tenacitys_waits(wait, 5)


def test_random_waits_stay_in_their_bounds() -> None:
    assert all(1 <= second <= 3 for second in waits(wait_fixed(1) + wait_random(0, 2), attempts=20))


@pytest.mark.skipif(not hasattr(tenacity, "wait_exception"), reason="newer tenacity")
def test_wait_exception_is_given_the_error() -> None:
    asked = tenacity.wait_exception(lambda error: 2.0 if isinstance(error, OSError) else 9.0)
    assert waits(asked, attempts=3) == [2.0, 2.0]
    assert waits(asked, attempts=2, error=RuntimeError) == [9.0]


def test_a_plain_function_of_the_state_is_a_wait() -> None:
    assert waits(lambda state: state.attempt_number * 10, attempts=4) == [10, 20, 30]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (stop_after_attempt(4), 4),
        (stop_after_delay(3), 4),  # at 0, 1, 2 and 3 s: it looks at the time so far
        *([(stop_before_delay(3), 3)] if stop_before_delay else []),  # a wait that would end at 3 s is not begun
        (stop_after_attempt(2) | stop_after_delay(100), 2),
        (stop_after_attempt(2) & stop_after_delay(5), 6),
        (stop_never | stop_after_attempt(7), 7),
    ],
)
def test_a_stop_object_stops_as_in_tenacity(stop: Any, expected: int) -> None:
    assert attempts(stop) == expected


def test_delays_include_what_the_attempts_took() -> None:
    assert attempts(stop_after_delay(10), wait=1, took=4) == 3  # ends at 4, 9, 14
    if stop_before_delay:
        assert attempts(stop_before_delay(10), wait=1, took=4) == 2  # the wait after 9 s would end at 10


def test_a_stop_may_look_at_an_event() -> None:
    event = threading.Event()
    event.set()
    assert attempts(stop_when_event_set(event)) == 1


@pytest.mark.parametrize(
    ("retry", "repeated", "left"),
    [
        (retry_if_exception_type(OSError), OSError(), RuntimeError()),
        (retry_if_not_exception_type(OSError), RuntimeError(), OSError()),
        (retry_if_exception(lambda error: "again" in str(error)), RuntimeError("again"), RuntimeError()),
        (retry_if_exception_message(message="again"), RuntimeError("again"), RuntimeError("no")),
        (
            retry_if_exception_type(OSError) | retry_if_exception_message(match="ag"),
            RuntimeError("again"),
            RuntimeError(),
        ),
        (retry_if_exception_type(OSError) & retry_if_exception_message(match="ag"), OSError("again"), OSError("no")),
        (retry_any(retry_never, retry_if_exception_type(OSError)), OSError(), RuntimeError()),
        (retry_all(retry_if_exception_type(OSError)), OSError(), RuntimeError()),
        (retry_unless_exception_type(OSError), RuntimeError(), OSError()),
    ],
)
def test_a_retry_object_decides_about_errors(retry: Any, repeated: Exception, left: Exception) -> None:
    def attempts_of(error: Exception) -> int:
        made = []

        def fails() -> None:
            made.append(1)
            raise error

        with pytest.raises(type(error)):
            ResiliencePipeline([Retry(attempts=3, retry=retry)], clock=FakeClock()).call(fails)
        return len(made)

    assert (attempts_of(repeated), attempts_of(left)) == (3, 1)


def test_a_cause_can_be_asked_for() -> None:
    def fails() -> None:
        made.append(1)
        raise RuntimeError from OSError()

    made: list[int] = []
    policy = Retry(attempts=2, retry=retry_if_exception_cause_type(OSError))
    with pytest.raises(RuntimeError):
        ResiliencePipeline([policy], clock=FakeClock()).call(fails)
    assert len(made) == 2


@pytest.mark.parametrize(
    "retry",
    [
        retry_if_result(lambda value: value is None),
        retry_if_not_result(lambda value: value is not None),
        retry_if_exception_type(OSError) | retry_if_result(lambda value: value is None),
    ],
)
@pytest.mark.parametrize("mode", ["sync", "asyncio"])
def test_a_retry_object_decides_about_results(retry: Any, mode: str) -> None:
    import asyncio

    values = iter([None, None, "v"])
    pipeline = ResiliencePipeline([Retry(retry=retry)], clock=FakeClock())
    if mode == "sync":
        assert pipeline.call(lambda: next(values)) == "v"
    else:
        assert asyncio.run(pipeline.acall(lambda: next(values))) == "v"


def test_the_last_unwanted_result_is_returned_without_an_error() -> None:
    policy = Retry(attempts=2, retry=retry_if_result(lambda value: value < 9))
    values = iter([1, 2, 3])
    assert ResiliencePipeline([policy], clock=FakeClock()).call(lambda: next(values)) == 2


def test_a_result_of_a_command_is_never_asked_about() -> None:
    from .kit import bind, command

    bench = bind(Retry(retry=retry_if_result(lambda value: True)))
    assert bench.layer.exit(None, success(None, command())) is None


def seen(outcome: Outcome) -> tenacity.RetryCallState:
    return state(3, outcome, 1012.0, 2.5, upcoming=0.5)


def test_the_state_has_what_tenacity_objects_look_at() -> None:
    error = OSError("down")
    made = seen(failure(error, call=function()))
    assert (made.attempt_number, made.idle_for, made.upcoming_sleep) == (3, 2.5, 0.5)
    assert made.seconds_since_start == 12.0
    assert made.outcome is not None
    assert (made.outcome.failed, made.outcome.exception()) == (True, error)
    assert seen(success("v")).outcome.result() == "v"  # type: ignore[union-attr]


def test_the_state_holds_no_arguments() -> None:
    made = seen(failure(call=function()))
    assert (made.args, made.kwargs, made.fn) == ((), {}, None)
