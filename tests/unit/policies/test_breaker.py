from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pybreaker
import pytest
import redis
from freezegun import freeze_time

from resilient_redis import CircuitBreaker, CircuitOpenError, ResiliencePipeline
from resilient_redis.calls import Kind, Verdict
from resilient_redis.events import CallRejected, CircuitChanged
from resilient_redis.policies import Reject
from resilient_redis.policies.breaker_machine import PROBE_PATIENCE

from .kit import bind, failure, neither, success


def opened(**values: Any) -> Any:
    bench = bind(CircuitBreaker(**{"fail_max": 1, "reset_timeout": 10, **values}))
    bench.fails()
    assert bench.layer.state == "open"
    return bench


# --- states -------------------------------------------------------------------------------------------------------


def test_breaker_opens_after_five_failures_by_default() -> None:
    bench = bind(CircuitBreaker())
    bench.fails(4)
    assert (bench.layer.state, bench.layer.fail_counter) == ("closed", 4)
    bench.fails()
    assert bench.layer.state == "open"


def test_breaker_stays_open_for_sixty_seconds_by_default() -> None:
    bench = bind(CircuitBreaker(fail_max=1))
    bench.fails()
    bench.clock.advance(59.9)
    assert bench.refused()
    bench.clock.advance(0.1)
    assert not bench.refused()


def test_breaker_admits_one_probe_after_reset_timeout() -> None:
    bench = opened()
    bench.clock.advance(10)
    assert not isinstance(bench.enter(), Reject)
    assert bench.refused()
    assert bench.layer.state == "half-open"


def test_breaker_admits_half_open_max_probes_at_once() -> None:
    bench = opened(half_open_max=3)
    bench.clock.advance(10)
    assert [isinstance(bench.enter(), Reject) for _ in range(5)] == [False] * 3 + [True] * 2


def test_breaker_closes_after_success_threshold_probes() -> None:
    bench = opened(success_threshold=3)
    bench.clock.advance(10)
    bench.succeeds(2)
    assert bench.layer.state == "half-open"
    bench.succeeds()
    assert bench.layer.state == "closed"


def test_breaker_gives_up_a_hung_probe() -> None:
    bench = opened()
    bench.clock.advance(10)
    bench.enter()
    bench.clock.advance(PROBE_PATIENCE - 0.1)
    assert bench.refused()
    bench.clock.advance(0.2)
    assert not bench.refused()


def test_breaker_grows_its_reset_timeout() -> None:
    bench = opened(reset_timeout=1, reset_timeout_max=4)
    spans = []
    for _ in range(4):
        spans.append(bench.layer.retry_after)
        bench.clock.advance(bench.layer.retry_after)
        bench.fails()
    assert spans == [1, 2, 4, 4]


def test_breaker_does_not_grow_its_reset_timeout_by_default() -> None:
    bench = opened()
    for _ in range(3):
        assert bench.layer.retry_after == 10
        bench.clock.advance(10)
        bench.fails()


def test_a_refusal_says_what_a_caller_wants_to_know() -> None:
    bench = opened(name="cache")
    bench.clock.advance(4)
    refusal = bench.enter()
    assert type(refusal.error) is CircuitOpenError
    assert refusal.error.retry_after == 6
    assert str(refusal.error) == ("circuit cache is open; last failure: ConnectionError; not sent (retry after 6 s)")


def test_retry_after_is_none_unless_open() -> None:
    bench = bind(CircuitBreaker(fail_max=1, reset_timeout=10))
    assert bench.layer.retry_after is None
    bench.fails()
    bench.clock.advance(30)
    assert bench.layer.retry_after == 0


@pytest.mark.parametrize(
    "outcome", [neither(), failure(kind=Kind.DENIED, verdict=Verdict.NEITHER)], ids=["refusal", "denied"]
)
def test_neither_gives_the_probe_back(outcome: Any) -> None:
    bench = opened()
    bench.clock.advance(10)
    for _ in range(3):
        bench.run(outcome)
    assert bench.layer.state == "half-open"
    bench.succeeds()
    assert bench.layer.state == "closed"


def test_release_gives_the_probe_back() -> None:
    bench = opened()
    bench.clock.advance(10)
    bench.layer.release(bench.enter())
    assert not bench.refused()


# --- by hand ------------------------------------------------------------------------------------------------------


def test_isolate_refuses_until_reset() -> None:
    bench = bind(CircuitBreaker())
    bench.layer.isolate()
    bench.clock.advance(1e6)
    refusal = bench.enter()
    assert isinstance(refusal, Reject)
    assert (bench.layer.state, refusal.error.retry_after) == ("isolated", None)
    bench.layer.reset()
    assert bench.layer.state == "closed"
    assert not bench.refused()


def test_reset_closes_an_open_circuit() -> None:
    bench = opened()
    bench.layer.reset()
    assert bench.layer.state == "closed"
    assert not bench.refused()


def test_reset_forgets_what_was_counted() -> None:
    bench = bind(CircuitBreaker(fail_max=2))
    bench.fails()
    bench.layer.reset()
    bench.fails()
    assert (bench.layer.state, bench.layer.fail_counter) == ("closed", 1)


def test_a_call_under_way_does_not_end_an_isolation() -> None:
    bench = bind(CircuitBreaker(fail_max=1))
    token = bench.enter()
    bench.layer.isolate()
    bench.layer.exit(token, failure())
    assert bench.layer.state == "isolated"


# --- what counts --------------------------------------------------------------------------------------------------


def test_excluded_errors_are_answers() -> None:
    bench = bind(CircuitBreaker(fail_max=2, exclude=[KeyError, lambda error: "fine" in str(error)]))
    for error in (KeyError("k"), RuntimeError("fine")):
        bench.fails()
        bench.run(failure(error, Kind.FOREIGN))
        assert bench.layer.fail_counter == 0
    bench.fails()
    bench.run(failure(RuntimeError("bad"), Kind.FOREIGN))
    assert bench.layer.state == "open"


def test_an_excluded_error_closes_a_half_open_circuit() -> None:
    bench = opened(exclude=RuntimeError)
    bench.clock.advance(10)
    bench.run(failure(RuntimeError("answered"), Kind.FOREIGN))
    assert bench.layer.state == "closed"


@pytest.mark.parametrize(("took", "state"), [(0.5, "closed"), (0.51, "open")])
def test_a_call_slower_than_slow_call_is_a_failure(took: float, state: str) -> None:
    bench = bind(CircuitBreaker(fail_max=1, slow_call="500ms"))
    token = bench.enter()
    bench.clock.advance(took)
    bench.layer.exit(token, success())
    assert bench.layer.state == state


def test_a_slow_probe_that_is_given_back_is_given_back() -> None:
    bench = opened(slow_call=1)
    bench.clock.advance(10)
    bench.run(neither())
    bench.layer.release(bench.enter())
    assert not bench.refused()


def test_a_slow_neither_counts_nothing() -> None:
    bench = bind(CircuitBreaker(fail_max=1, slow_call=1))
    token = bench.enter()
    bench.clock.advance(5)
    bench.layer.exit(token, neither())
    assert (bench.layer.state, bench.layer.fail_counter) == ("closed", 0)


def test_a_rate_over_the_last_calls_opens_it() -> None:
    bench = bind(CircuitBreaker(fail_max=None, failure_rate=0.5, window_calls=10, minimum_calls=10))
    for _ in range(4):
        bench.succeeds()
        bench.fails()
    bench.succeeds()
    assert bench.layer.state == "closed"
    bench.fails()
    assert bench.layer.state == "open"


def test_a_rate_over_time_forgets() -> None:
    bench = bind(CircuitBreaker(fail_max=None, failure_rate=0.5, window_time=10, minimum_calls=2))
    bench.fails()
    bench.clock.advance(11)
    bench.fails()
    assert bench.layer.state == "closed"
    bench.fails()
    assert bench.layer.state == "open"


def test_a_row_of_failures_still_opens_it_where_a_rate_is_given_too() -> None:
    bench = bind(CircuitBreaker(fail_max=3, failure_rate=0.9))
    bench.succeeds(50)
    bench.fails(3)
    assert bench.layer.state == "open"


# --- calm ---------------------------------------------------------------------------------------------------------


def test_a_closed_circuit_with_nothing_counted_is_calm() -> None:
    bench = bind(CircuitBreaker(fail_max=2))
    calm = bench.layer.calm
    assert calm is not None
    bench.fails()
    assert bench.layer.calm is None
    bench.succeeds()
    assert bench.layer.calm is calm, "the same period of calm goes on"


def test_a_new_period_of_calm_has_a_new_token() -> None:
    bench = opened()
    before = bind(CircuitBreaker()).layer.calm
    bench.layer.reset()
    first = bench.layer.calm
    bench.fails()
    bench.layer.reset()
    assert None is not bench.layer.calm is not first
    assert first is not before


@pytest.mark.parametrize(
    "values",
    [
        {"listeners": [type("L", (pybreaker.CircuitBreakerListener,), {"success": lambda self, cb: None})()]},
    ],
)
def test_a_circuit_that_must_hear_of_successes_is_never_calm(values: dict[str, Any]) -> None:
    assert bind(CircuitBreaker(**values)).layer.calm is None


# --- what it tells ------------------------------------------------------------------------------------------------


def test_each_change_of_state_is_an_event_with_its_reason() -> None:
    bench = opened(name="cache", reset_timeout_max=60)
    bench.clock.advance(10)
    bench.fails()
    bench.clock.advance(20)
    bench.succeeds()
    bench.layer.isolate()
    bench.layer.isolate()
    bench.layer.reset()
    assert [event for event in bench.events if isinstance(event, CircuitChanged)] == [
        CircuitChanged("cache", "closed", "open", "1 failures in a row; open for 10 s"),
        CircuitChanged("cache", "open", "half-open", "its time is over; probing"),
        CircuitChanged("cache", "half-open", "open", "a probe failed; open for 20 s"),
        CircuitChanged("cache", "open", "half-open", "its time is over; probing"),
        CircuitChanged("cache", "half-open", "closed", "1 of 1 probes succeeded"),
        CircuitChanged("cache", "closed", "isolated", "by hand"),
        CircuitChanged("cache", "isolated", "closed", "by hand"),
    ]


def test_a_change_of_state_is_logged_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "resilient_redis"):
        opened(name="cache")
    assert caplog.messages == ["circuit cache: closed -> open (1 failures in a row; open for 10 s)"]


def test_a_refusal_is_an_event() -> None:
    bench = opened(name="cache")
    bench.enter()
    assert bench.events[-1] == CallRejected("cache", "GET", "circuit_open")


def test_no_lock_is_held_while_listeners_are_told() -> None:
    bench, held = bind(CircuitBreaker(fail_max=1)), []
    bench.layer.runtime.events.add(lambda event: held.append(bench.layer._lock.locked()))
    bench.fails()
    bench.layer.reset()
    assert held == [False, False]


# --- threads and time ---------------------------------------------------------------------------------------------


def test_threads_racing_for_the_probe_get_exactly_one() -> None:
    bench = opened()
    bench.clock.advance(10)
    barrier, admitted = threading.Barrier(16), []

    def race() -> None:
        barrier.wait()
        if not isinstance(bench.enter(), Reject):
            admitted.append(1)

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1


def test_no_failure_is_lost_between_threads() -> None:
    bench = bind(CircuitBreaker(fail_max=4001))
    threads = [threading.Thread(target=bench.fails, args=(500,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (bench.layer.fail_counter, bench.layer.state) == (4000, "closed")
    bench.fails()
    assert bench.layer.state == "open"


def test_freezegun_moves_a_breaker_on_the_real_clock_from_open_to_half_open() -> None:
    def fails() -> None:
        raise redis.ConnectionError("down")

    with freeze_time("2026-01-01") as frozen:
        pipeline = ResiliencePipeline([CircuitBreaker(fail_max=1, reset_timeout=60)])
        layer = pipeline.breakers["circuit_breaker"]
        with pytest.raises(redis.ConnectionError):
            pipeline.call(fails)
        assert layer.state == "open"
        frozen.tick(59)
        with pytest.raises(CircuitOpenError) as caught:
            pipeline.call(time.monotonic)
        assert caught.value.retry_after == pytest.approx(1)
        frozen.tick(1)
        states = []
        assert pipeline.call(lambda: states.append(layer.state)) is None
        assert (states, layer.state) == (["half-open"], "closed")
