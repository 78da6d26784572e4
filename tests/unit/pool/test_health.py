from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_redis.pool.health import PoolHealth, pool_health, seconds
from resilient_redis.pool.stats import PoolStats

CALM = PoolStats("cache", "open", 10, 7, 3, 0, 50, 2, 0, 0, 50, 1, 90, 4, 0.2, 0.1, 10, 1, 0.05, 0, {}, {})


def stats(**changes: Any) -> PoolStats:
    return dataclasses.replace(CALM, **changes)


def leased(borrowed: int, **changes: Any) -> PoolStats:
    return stats(size=borrowed, available=0, borrowed=borrowed, **changes)


def told(health: PoolHealth) -> str:
    return "\n".join((*health.reasons, *health.advice))


def test_a_calm_pool_is_healthy_and_needs_no_advice() -> None:
    assert pool_health(CALM) == PoolHealth(
        "healthy", 0.06, ("3 of 50 connections are in use (6%)", "everybody is served: nobody waits"), ()
    )


@pytest.mark.parametrize(
    ("borrowed", "status"),
    [(0, "healthy"), (35, "healthy"), (36, "warning"), (45, "warning"), (46, "critical"), (50, "critical")],
)
def test_the_guides_thresholds(borrowed: int, status: str) -> None:
    """Over 0.7 and over 0.9: exactly 0.7 is healthy and exactly 0.9 a warning."""
    assert pool_health(leased(borrowed)).status == status


def test_a_full_pool_that_serves_everybody_says_both() -> None:
    health = pool_health(leased(50))
    assert health.status == "critical"
    assert health.reasons == ("50 of 50 connections are in use (100%)", "everybody is served: nobody waits")
    assert health.advice == ("nothing is urgent; if more load is to come, max_connections=75 would bring usage to 67%",)


def test_waiters_before_a_full_pool_are_told_with_the_options_to_change() -> None:
    health = pool_health(leased(50, pending=120, timeouts=7, refusals={"saturated": 3}, longest_wait=2.04))
    assert health.reasons[1:] == (
        "120 borrowers waiting, the longest wait so far was 2.0 s; "
        "so far 7 timed out, 3 refused (saturated), 90 served",
    )
    assert health.advice == (
        "raise max_connections (now 50; try 75), or hold connections for less long; "
        "lower max_waiting or acquire_timeout to turn overload away sooner",
    )


def test_short_waits_are_no_reason_for_more_connections() -> None:
    advice = told(pool_health(leased(50, pending=1, waits=100, wait_seconds=0.3)))
    assert "waits are short (3 ms on average)" in advice
    assert "raise max_connections (now 50) only if a measurement says so" in advice


@pytest.mark.parametrize(
    "waits",
    [
        {"timeouts": 1, "waits": 100, "wait_seconds": 0.3},
        {"waits": 100, "wait_seconds": 1.0},  # 10 ms are not short any more
        {"waits": 0, "wait_seconds": 0.0},  # the first ones still wait: nobody knows for how long
    ],
    ids=["somebody timed out", "long waits", "first waits"],
)
def test_waits_that_are_not_surely_short_ask_for_more(waits: dict[str, float]) -> None:
    (advice,) = pool_health(leased(50, pending=1, **waits)).advice
    assert advice.startswith("raise max_connections (now 50; try 75)")


def test_what_happened_once_keeps_no_pool_ill() -> None:
    health = pool_health(stats(timeouts=1000, refusals={"dial_failed": 12}, dial_failures=50, longest_wait=9.0))
    assert health.status == "healthy"
    assert "so far 1000 timed out, 12 refused (dial_failed), 90 served" in told(health)


def test_a_budget_that_leaves_less_than_max_is_what_to_change() -> None:
    health = pool_health(leased(11, allowed=11, pending=3))
    assert (health.status, health.usage) == ("critical", 11 / 50 + 0.0)
    assert "11 of 11 connections are in use (100%): max_connections is 50" in told(health)
    assert health.advice[0].startswith("raise the budget or run fewer workers: 11 connections are allowed now")


@pytest.mark.parametrize("state", ["open", "isolated"])
def test_an_open_circuit_is_critical_and_the_pools_size_is_no_advice(state: str) -> None:
    health = pool_health(leased(50, pending=9), breakers={"main": "closed", "cache": state})
    assert health.status == "critical"
    assert health.reasons[0].startswith(f"circuit 'cache' is {state}")
    assert "'main'" not in told(health)
    assert "raise max_connections" not in told(health)


def test_the_advice_for_an_open_circuit_is_the_server_and_for_an_isolated_one_the_reset() -> None:
    (opened,) = pool_health(CALM, breakers={"a": "open", "b": "open"}).advice
    assert opened == "look at the server, the network to it and the credentials; the pool's size is not the cause"
    (isolated,) = pool_health(CALM, breakers={"a": "isolated"}).advice
    assert isolated == "reset() circuit 'a' when the server may be asked again"


def test_a_half_open_circuit_is_a_warning() -> None:
    health = pool_health(CALM, breakers={"cache": "half-open"})
    assert (health.status, health.advice) == ("warning", ())
    assert pool_health(CALM, breakers={"cache": "closed"}) == pool_health(CALM)


def test_a_pause_after_failed_dials_is_critical() -> None:
    health = pool_health(CALM, last_dial_error="Error 111 connecting to localhost:6379", dial_pause=0.8)
    assert health.status == "critical"
    assert health.reasons[0] == (
        "the server cannot be reached: the last dial failed (Error 111 connecting to localhost:6379), "
        "the next is in 800 ms"
    )
    assert "the pool's size is not the cause" in health.advice[0]
    assert "everybody is served" not in told(health)


def test_a_pause_is_enough_without_its_error() -> None:
    assert "the last dial failed, the next is in 1.0 s" in told(pool_health(CALM, dial_pause=1))


def test_a_dial_that_failed_is_a_warning_while_nobody_needs_another() -> None:
    assert pool_health(CALM, last_dial_error="refused").status == "warning"
    assert pool_health(stats(pending=1), last_dial_error="refused").status == "critical"


def test_slow_dials_are_told_from_a_pool_that_is_too_small() -> None:
    health = pool_health(stats(pending=5, dialling=2, dials=4, dial_seconds=2.4))
    assert health.status == "warning"
    assert (
        health.reasons[0] == "5 borrowers waiting while 38 more connections may be opened: dials take 600 ms on average"
    )
    assert health.advice == (
        "set min_idle to 8 (now 2), so that connections are open before they are needed; "
        "keep acquire_timeout above the time of a dial, and look at name resolution, TLS and the server's load",
    )


def test_a_tenth_of_a_second_is_a_slow_dial() -> None:
    assert pool_health(stats(pending=1, dials=10, dial_seconds=1.0)).status == "warning"
    assert pool_health(stats(pending=1, dials=10, dial_seconds=0.99)).status == "healthy"


def test_min_idle_is_no_advice_where_it_is_set() -> None:
    health = pool_health(stats(pending=5, min=20, dials=4, dial_seconds=2.4))
    assert health.advice[0].startswith("keep acquire_timeout above")


def test_a_pool_that_is_just_growing_is_healthy() -> None:
    health = pool_health(stats(pending=5, dialling=2, dials=10, dial_seconds=0.02))
    assert health.status == "healthy"
    assert "their connections are being dialled" in told(health)


def test_dials_that_never_succeed_are_slow_once_somebody_gave_up() -> None:
    growing = stats(size=0, available=0, borrowed=0, pending=3, dialling=2, dials=0, dial_seconds=0.0)
    assert pool_health(growing).status == "healthy"
    health = pool_health(dataclasses.replace(growing, timeouts=1))
    assert health.status == "warning"
    assert "no dial has succeeded yet" in health.reasons[0]
    assert "the pool's size is not the cause" in health.advice[0]


def test_a_long_lease_without_leak_detection_asks_for_it() -> None:
    health = pool_health(stats(oldest_lease=312.4))
    assert health.status == "healthy", "pub/sub and blocking commands are out for long, and rightly"
    assert "a connection has been out for 312 s" in health.reasons
    assert health.advice == (
        "if that is neither pub/sub nor a blocking command, it is a leak: "
        "set leak_threshold to 30 to see who borrows and does not give back",
    )


def test_a_long_lease_with_leak_detection_names_the_place() -> None:
    health = pool_health(stats(oldest_lease=5.0, oldest_borrower="worker.py:88"), long_lease=2)
    assert "a connection has been out for 5.0 s (worker.py:88)" in health.reasons
    assert health.advice[0].endswith("it is a leak: give the connection back in worker.py:88")
    assert pool_health(stats(oldest_lease=5.0)).advice == ()
    assert pool_health(stats(oldest_lease=5.0), long_lease=5.0).advice != ()


def test_a_full_pool_with_a_long_lease_says_what_if_it_is_none() -> None:
    assert "raise max_connections (now 50)" in told(pool_health(leased(50, oldest_lease=60.0)))


def test_a_draining_pool_is_a_warning_and_a_closed_one_critical() -> None:
    draining = pool_health(stats(state="draining", borrowed=1, available=9))
    assert draining.status == "warning"
    assert draining.reasons[0] == "the pool is draining: new borrowers are refused, 1 lease still out"
    assert "everybody is served" not in told(draining)
    closed = pool_health(stats(state="closed", size=0, available=0, borrowed=0), dial_pause=1)
    assert (closed.status, closed.reasons) == ("critical", ("the pool is closed: every borrower is refused",))
    assert closed.advice == ("make a new pool: a closed one does not open again",)


def test_the_worst_reason_comes_first() -> None:
    reasons = pool_health(leased(50, oldest_lease=60.0), breakers={"a": "half-open"}).reasons
    assert [reason.split()[0] for reason in reasons] == ["50", "circuit", "a", "everybody"]


def test_no_password_of_a_dialled_url_is_told() -> None:
    error = f"cannot dial redis://:hunter2@db/0\n{'x' * 500}"
    health = pool_health(CALM, last_dial_error=error, dial_pause=1)
    assert "hunter2" not in told(health)
    assert max(map(len, health.reasons)) < 300
    assert "\n" not in health.reasons[0]


def test_health_is_plain_json() -> None:
    plain = json.loads(json.dumps(pool_health(leased(50)).to_dict()))
    assert list(plain) == ["status", "usage", "reasons", "advice"]
    assert (plain["status"], plain["usage"], len(plain["advice"])) == ("critical", 1.0, 1)


_COUNT = st.integers(0, 60)
_SECONDS = st.floats(0, 1e4)


@given(
    numbers=st.builds(
        PoolStats,
        name=st.text(max_size=5),
        state=st.sampled_from(["open", "draining", "closed"]),
        **dict.fromkeys(("size", "available", "borrowed", "pending", "max", "min", "dialling", "closing"), _COUNT),
        **dict.fromkeys(("allowed", "generation", "borrows", "waits", "dials", "dial_failures", "timeouts"), _COUNT),
        **dict.fromkeys(("wait_seconds", "longest_wait", "dial_seconds"), _SECONDS),
        refusals=st.dictionaries(st.sampled_from(["saturated", "closed"]), _COUNT),
        closes=st.just({}),
        oldest_lease=st.none() | _SECONDS,
    ),
    breakers=st.dictionaries(st.text(max_size=3), st.sampled_from(["closed", "open", "half-open", "isolated"])),
    error=st.none() | st.text(),
    pause=st.floats(0, 60),
)
def test_every_pool_has_a_status_and_a_reason(
    numbers: PoolStats, breakers: dict[str, str], error: str | None, pause: float
) -> None:
    health = pool_health(numbers, breakers=breakers, last_dial_error=error, dial_pause=pause)
    assert health.reasons
    assert "" not in health.reasons + health.advice
    assert len(set(health.advice)) == len(health.advice)
    assert health.status in ("healthy", "warning", "critical")
    if numbers.state == "closed" or pause > 0 or "open" in breakers.values() or numbers.pressure > 0.9:
        assert health.status == "critical"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 ms"), (0.00051, "0.51 ms"), (0.5, "500 ms"), (1.0, "1.0 s"), (99.4, "99.4 s"), (100.0, "100 s")],
)
def test_times_are_written_for_people(value: float, text: str) -> None:
    assert seconds(value) == text
