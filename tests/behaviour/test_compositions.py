"""What stacks of policies do, in both drivers, from one table."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from tenacity import retry_if_result, wait_fixed

from resilient_redis import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    Fallback,
    Retry,
    Timeout,
)
from resilient_redis.policies.matching import dotted

from .harness import CANCEL, Advance, Case, Driver, Slow, State, free, hold, play

Down = redis.ConnectionError
Late = redis.TimeoutError


def retry(attempts: int = 3, **options: Any) -> Retry:
    options.setdefault("on", (redis.RedisError, OSError))
    return Retry(attempts=attempts, wait=wait_fixed(0.1), **options)


def breaker(fail_max: int | None = 2, reset_timeout: float = 10, **options: Any) -> CircuitBreaker:
    return CircuitBreaker(fail_max=fail_max, reset_timeout=reset_timeout, **options)


def asking(seconds: float) -> redis.ConnectionError:
    error = redis.ConnectionError("busy")
    error.retry_after = seconds  # type: ignore[attr-defined]
    return error


def full_stack() -> list[Any]:
    return [Fallback("fb"), retry(), breaker(5), Timeout(1), Bulkhead(2)]


ORDER = [
    Case("success passes through the whole stack untouched", full_stack, ["v"], ["v", "v"], 2, []),
    Case("retry repeats until it succeeds", lambda: [retry()], [Down, "v"], ["v"], 2, [0.1]),
    Case("retry gives up after its attempts", lambda: [retry()], [Down], [Down], 3, [0.1, 0.1]),
    Case("one attempt turns repeating off", lambda: [retry(1)], [Down, "v"], [Down], 1, []),
    Case("fallback outside retry answers after all attempts", lambda: [Fallback("fb"), retry()], [Down], ["fb"], 3),
    Case("fallback inside retry answers after one attempt", lambda: [retry(), Fallback("fb")], [Down], ["fb"], 1, []),
    Case(
        "fallback outside the breaker lets it open, then answers for it",
        lambda: [Fallback("fb"), breaker()],
        [Down],
        ["fb", "fb", State("open"), "fb"],
        2,
    ),
    Case(
        "fallback inside the breaker keeps it closed for ever",
        lambda: [breaker(), Fallback("fb")],
        [Down],
        ["fb"] * 5 + [State("closed", 0)],
        5,
    ),
    Case(
        "retry outside the breaker: each attempt counts; the open circuit ends it, and the earlier error leaves",
        lambda: [retry(), breaker()],
        [Down],
        [Down, State("open")],
        2,
        [0.1, 0.1],
    ),
    Case(
        "retry inside the breaker: all attempts together count once",
        lambda: [breaker(), retry()],
        [Down],
        [Down, State("closed", 1), Down, State("open")],
        6,
    ),
    Case(
        "retry inside the breaker: a cured call is a success",
        lambda: [breaker(), retry()],
        [Down, Down, "v", Down, "v"],
        ["v", State("closed", 0), "v", State("closed", 0)],
        5,
    ),
    Case(
        "a timeout inside retry bounds each attempt, not the call",
        lambda: [retry(), Timeout(1)],
        [Slow(0.9, Late)],
        [Late],
        3,
        [0.1, 0.1],
    ),
    Case(
        "a timeout outside retry bounds the whole call",
        lambda: [Timeout(1), retry(9)],
        [Slow(0.9, Late)],
        [Late],
        1,
        [],
    ),
    Case(
        "both timeouts hold: attempts of 0.4 s within 1 s are two",
        lambda: [Timeout(1), retry(9), Timeout(0.4)],
        [Slow(0.4, Late)],
        [Late],
        2,
        [0.1],
    ),
    Case(
        "a bulkhead outside retry is held through the waits, inside it is not held twice",
        lambda: [Bulkhead(1), retry(), Bulkhead(1, name="inner")],
        [Down, "v"],
        ["v", "v"],
        3,
        [0.1],
    ),
]

REFUSALS = [
    Case("an open circuit refuses without a call", lambda: [breaker(1)], [Down], [Down, CircuitOpenError], 1),
    Case(
        "retry does not repeat the refusal of an open circuit",
        lambda: [retry(), breaker(1)],
        [ValueError],
        [ValueError, State("closed", 0)],
        1,
        [],
    ),
    Case(
        "retry leaves a first refusal at once",
        lambda: [retry(1), breaker(1)],
        [Down],
        [Down, CircuitOpenError],
        1,
        [],
    ),
    Case(
        "retry_rejected never waits for an open circuit",
        lambda: [retry(2, retry_rejected=True), breaker(1)],
        [Down],
        [Down, CircuitOpenError],
        1,
        [0.1],
    ),
    Case(
        "retry does not repeat the refusal of a full bulkhead",
        lambda: [retry(), Bulkhead(1)],
        ["v"],
        [hold, BulkheadFullError, free, "v"],
        1,
        [],
    ),
    Case(
        "retry_rejected waits for a full bulkhead",
        lambda: [retry(retry_rejected=True), Bulkhead(1)],
        ["v"],
        [hold, BulkheadFullError, free, "v"],
        1,
        [0.1, 0.1],
    ),
    Case(
        "fallback answers for a full bulkhead",
        lambda: [Fallback("fb"), Bulkhead(1)],
        ["v"],
        [hold, "fb", free, "v"],
        1,
    ),
    Case(
        "a full bulkhead inside does not count for the breaker",
        lambda: [breaker(1), Bulkhead(1)],
        ["v"],
        [hold, BulkheadFullError, BulkheadFullError, free, State("closed", 0)],
        0,
    ),
    Case(
        "an open circuit gives the bulkhead around it its permit back",
        lambda: [Bulkhead(1), breaker(1)],
        [Down, "v"],
        [Down, CircuitOpenError, CircuitOpenError, Advance(10), "v"],
        2,
    ),
]

NEITHER = [
    Case(
        "a probe that an inner bulkhead refused is given back",
        lambda: [breaker(1), Bulkhead(1)],
        [Down, "v"],
        [Down, Advance(10), hold, BulkheadFullError, State("half-open"), free, "v", State("closed")],
        2,
    ),
    Case(
        "a probe that ends in a bug is given back",
        lambda: [breaker(1)],
        [Down, TypeError, "v"],
        [Down, Advance(10), TypeError, State("half-open"), "v", State("closed")],
        3,
    ),
    Case(
        "a probe that ends in a wrong password is given back",
        lambda: [breaker(1)],
        [Down, redis.AuthenticationError, "v"],
        [Down, Advance(10), redis.AuthenticationError, State("half-open"), "v", State("closed")],
        3,
    ),
    Case(
        "bugs neither open a circuit nor end a row of failures",
        lambda: [breaker(2)],
        [Down, KeyError, Down],
        [Down, KeyError, State("closed", 1), Down, State("open")],
        3,
    ),
    Case(
        "READONLY neither opens nor heals: the server still answers reads",
        lambda: [breaker(2)],
        [Down, redis.ReadOnlyError, Down],
        [Down, redis.ReadOnlyError, State("closed", 1), Down, State("open")],
        3,
    ),
    Case(
        "an exhausted pool does not count against the server",
        lambda: [breaker(1)],
        [redis.exceptions.MaxConnectionsError],
        [redis.exceptions.MaxConnectionsError] * 3 + [State("closed", 0)],
        3,
    ),
]

CANCELS = [
    Case("a cancel gives the permit back", lambda: [Bulkhead(1)], [CANCEL, "v"], [CANCEL, "v"], 2),
    Case("a cancel counts nothing", lambda: [breaker(1)], [CANCEL], [CANCEL, CANCEL, State("closed", 0)], 2),
    Case("a cancel is not repeated", lambda: [retry(on=Exception)], [CANCEL], [CANCEL], 1, []),
    Case("a cancel is not masked", lambda: [Fallback("fb", on=BaseException)], [CANCEL], [CANCEL], 1),
    Case(
        "a cancelled probe is given back",
        lambda: [breaker(1)],
        [Down, CANCEL, "v"],
        [Down, Advance(10), CANCEL, State("half-open"), "v", State("closed")],
        3,
    ),
    Case(
        "SystemExit gives permit and probe back and counts nothing",
        lambda: [Bulkhead(1), breaker(1)],
        [Down, SystemExit, SystemExit, "v"],
        [Down, Advance(10), SystemExit, SystemExit, State("half-open"), "v", State("closed")],
        4,
    ),
    Case(
        "KeyboardInterrupt in the second attempt releases every layer",
        lambda: [Fallback("fb"), Bulkhead(1), retry(), breaker(2), Bulkhead(1, name="in")],
        [Down, KeyboardInterrupt, "v"],
        [KeyboardInterrupt, State("closed", 1), "v"],
        3,
        [0.1],
    ),
]

WAITS = [
    Case("a retry_after is waited for, with the backoff on top", lambda: [retry()], [asking(2), "v"], ["v"], 2, [2.1]),
    Case(
        "a retry_after beyond total_time ends it at once",
        lambda: [Fallback("fb"), retry(total_time=1)],
        [asking(2), "v"],
        ["fb"],
        1,
        [],
    ),
    Case(
        "a retry_after beyond the deadline ends it at once",
        lambda: [Timeout(1.5), retry()],
        [asking(2), "v"],
        [Down],
        1,
        [],
    ),
    Case(
        "total_time bounds attempts and waits together",
        lambda: [retry(99, total_time=0.35)],
        [Down],
        [Down],
        4,
        [0.1, 0.1, 0.1],
    ),
    Case(
        "total_time includes what the attempts took",
        lambda: [retry(99, total_time=0.95)],
        [Slow(0.4, Down)],
        [Down],
        2,
        [0.1],
    ),
    Case(
        "the deadline ends the waits before it would pass",
        lambda: [Timeout(0.25), retry(99)],
        [Down],
        [Down],
        3,
        [0.1, 0.1],
    ),
    Case(
        "retry_if_result repeats an unwanted value, and returns the last one",
        lambda: [retry(on=(), retry=retry_if_result(lambda value: value is None))],
        [None, "v", None, None, None],
        ["v", None],
        5,
    ),
]

KINDS = [
    *(
        Case(f"fallback covers {dotted(error)}", lambda: [Fallback("fb")], [error], ["fb"], 1)
        for error in (
            Down,
            Late,
            redis.exceptions.BusyLoadingError,
            redis.exceptions.MaxConnectionsError,
            redis.ReadOnlyError,
            redis.exceptions.ClusterDownError,
            ConnectionResetError,
            TimeoutError,
        )
    ),
    *(
        Case(f"fallback does not cover {dotted(error)}", lambda: [Fallback("fb")], [error], [error], 1)
        for error in (
            TypeError,
            KeyError,
            UnicodeError,
            AssertionError,
            redis.DataError,
            redis.AuthenticationError,
            redis.exceptions.NoPermissionError,
            redis.WatchError,
            RuntimeError,
        )
    ),
    Case(
        "fallback does not cover WRONGTYPE",
        lambda: [Fallback("fb")],
        [redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")],
        [redis.ResponseError],
        1,
    ),
    Case(
        "a wrong password is not covered even where it is named",
        lambda: [Fallback("fb", on=redis.AuthenticationError)],
        [redis.AuthenticationError],
        [redis.AuthenticationError],
        1,
    ),
    Case(
        "a wrong password is not repeated even where it is named",
        lambda: [retry(on=redis.AuthenticationError)],
        [redis.AuthenticationError],
        [redis.AuthenticationError],
        1,
        [],
    ),
    Case("fallback covers a bug that is named", lambda: [Fallback("fb", on=KeyError)], [KeyError], ["fb"], 1),
    Case("on=Exception does not name a bug", lambda: [Fallback("fb", on=Exception)], [TypeError], [TypeError], 1),
    Case(
        "fallback covers a foreign error that is named",
        lambda: [Fallback("fb", on=RuntimeError)],
        [RuntimeError],
        ["fb"],
        1,
    ),
    Case(
        "fallback covers a foreign error that a retry gave up on",
        lambda: [Fallback("fb"), retry(on=RuntimeError)],
        [RuntimeError],
        ["fb"],
        3,
    ),
    Case(
        "exhausted retries do not make a bug an outage",
        lambda: [Fallback("fb"), retry(on=KeyError)],
        [KeyError],
        [KeyError],
        3,
    ),
    Case("retry repeats a bug that is named", lambda: [retry(on=KeyError)], [KeyError, "v"], ["v"], 2),
    Case("retry repeats no bug that is not named", lambda: [retry(on=Exception)], [KeyError, "v"], [KeyError], 1, []),
    Case("retry repeats only what on= names", lambda: [retry(on=Late)], [Down, "v"], [Down], 1, []),
]

CIRCUITS = [
    Case(
        "a success ends the row of failures",
        lambda: [breaker(2)],
        [Down, "v", Down],
        [Down, "v", State("closed", 0), Down, State("closed", 1)],
        3,
    ),
    Case("foreign errors count", lambda: [breaker(2)], [RuntimeError], [RuntimeError] * 2 + [State("open")], 2),
    Case(
        "an error reply to a wrong command is an answer",
        lambda: [breaker(2)],
        [Down, redis.ResponseError("WRONGTYPE no"), Down],
        [Down, redis.ResponseError, State("closed", 0), Down, State("closed", 1)],
        3,
    ),
    Case(
        "an excluded error is an answer",
        lambda: [breaker(2, exclude=RuntimeError)],
        [Down, RuntimeError, Down],
        [Down, RuntimeError, State("closed", 0), Down, State("closed", 1)],
        3,
    ),
    Case(
        "it stays open until the reset timeout, to the moment",
        lambda: [breaker(1)],
        [Down, "v"],
        [Down, Advance(9.999), CircuitOpenError, Advance(0.001), "v", State("closed")],
        2,
    ),
    Case(
        "a failed probe opens it for twice as long, up to the bound",
        lambda: [breaker(1, 10, reset_timeout_max=30)],
        [Down],
        [
            *(Down, Advance(10), Down, State("open"), Advance(19.9), CircuitOpenError),
            *(Advance(0.1), Down, Advance(29.9), CircuitOpenError, Advance(0.1), Down, Advance(30), Down),
        ],
        5,
    ),
    Case(
        "two successes close it where two are asked for",
        lambda: [breaker(1, success_threshold=2)],
        [Down, "v"],
        [Down, Advance(10), "v", State("half-open"), "v", State("closed")],
        3,
    ),
    Case(
        "one failed probe after a good one opens it again",
        lambda: [breaker(1, success_threshold=2)],
        [Down, "v", Down],
        [Down, Advance(10), "v", State("half-open"), Down, State("open"), CircuitOpenError],
        3,
    ),
    Case(
        "a slow success is a failure where slow calls count",
        lambda: [breaker(1, slow_call=1)],
        [Slow(1.0, "v"), Slow(1.1, "v")],
        ["v", State("closed", 0), "v", State("open"), CircuitOpenError],
        2,
    ),
    Case(
        "half the calls failing opens it where the rate counts",
        lambda: [breaker(None, failure_rate=0.5, minimum_calls=4)],
        ["v", Down, "v", Down],
        ["v", Down, "v", State("closed"), Down, State("open")],
        4,
    ),
]

CASES = [*ORDER, *REFUSALS, *NEITHER, *CANCELS, *WAITS, *KINDS, *CIRCUITS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.claim)
def test_composition(case: Case, driver: Driver) -> None:
    play(case, driver)


def test_claims_are_distinct() -> None:
    claims = [case.claim for case in CASES]
    assert len(set(claims)) == len(claims) >= 45
