from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_redis.pool.stats import PoolStats
from resilient_redis.pool.story import exhausted, story

CALM = PoolStats("localhost:6379/0", "open", 10, 7, 3, 0, 50, 2, 0, 0, 50, 1, 90, 4, 0.2, 0.1, 10, 1, 0.05, 0, {}, {})


def stats(**changes: Any) -> PoolStats:
    return dataclasses.replace(CALM, **changes)


def full(**changes: Any) -> PoolStats:
    return stats(**{"size": 50, "available": 0, "borrowed": 50, "pending": 120, **changes})


def test_the_story_of_a_calm_pool_is_short() -> None:
    assert story(CALM) == "pool 'localhost:6379/0': 3/50 leased, 7 idle"


def test_the_story_of_a_busy_pool() -> None:
    busy = stats(size=47, available=0, borrowed=46, dialling=3, pending=120, closing=2, allowed=49)
    busy = dataclasses.replace(busy, oldest_lease=4.1, oldest_borrower="worker.py:88")
    assert story(busy) == (
        "pool 'localhost:6379/0': 46/50 leased, 49 allowed, 0 idle, 1 validating, 3 dialling, 2 closing, 120 waiting, "
        "oldest lease 4.1 s (worker.py:88)"
    )


def test_the_story_says_why_nobody_dials() -> None:
    told = story(CALM, dial_pause=0.8, last_dial_error="Error 111 connecting to localhost:6379. Connection refused.")
    assert told.endswith(
        "last dial failed (Error 111 connecting to localhost:6379. Connection refused.), next dial in 800 ms"
    )


@pytest.mark.parametrize("state", ["draining", "closed"])
def test_the_story_of_a_pool_that_is_not_open_says_so(state: str) -> None:
    assert story(stats(state=state)).startswith(f"pool 'localhost:6379/0': {state}, 3/50 leased")


def test_an_exhausted_pool_gives_the_numbers_the_oldest_borrower_and_a_remedy() -> None:
    assert exhausted(full(oldest_lease=4.1, oldest_borrower="worker.py:88"), 2) == (
        "pool 'localhost:6379/0': 50/50 leased, 0 idle, 120 waiting, oldest lease 4.1 s (worker.py:88), waited 2.00 s; "
        "raise max_connections (now 50; try 75), or hold connections for less long"
    )


@pytest.mark.parametrize(
    ("numbers", "facts", "remedy"),
    [
        (full(pending=0), {}, "raise max_connections (now 50; try 75)"),
        (full(waits=9, wait_seconds=0.001), {}, "raise max_connections (now 50; try 75)"),
        (full(oldest_lease=31.0), {}, "set leak_threshold to 30"),
        (full(oldest_lease=31.0, oldest_borrower="worker.py:88"), {}, "give the connection back in worker.py:88"),
        (full(oldest_lease=5.0), {"long_lease": 2}, "set leak_threshold"),
        (full(oldest_lease=31.0), {"dial_pause": 1.0}, "the pool's size is not the cause"),
        (full(), {"last_dial_error": "refused"}, "the pool's size is not the cause"),
        (full(size=11, borrowed=11, allowed=11), {}, "raise the budget or run fewer workers"),
        (stats(dialling=1, dial_seconds=5.0), {}, "set min_idle to 3 (now 2)"),
        (stats(dialling=1, dial_seconds=5.0, min=5), {}, "keep acquire_timeout above the time of a dial"),
        (stats(dialling=1), {}, "the pool's size is not the cause"),
        (stats(dialling=1, dials=0, dial_seconds=0.0), {}, "the pool's size is not the cause"),
        (stats(oldest_lease=31.0, dial_seconds=5.0), {}, "set min_idle"),
    ],
    ids=[
        *("full", "full, though earlier waits were short", "leak", "leak with its place", "leak by its threshold"),
        *("paused", "dial failed", "budget", "slow dials", "slow dials, warm pool", "a dial that hangs"),
        *("no dial ever", "room in spite of a long lease"),
    ],
)
def test_the_remedy_is_what_the_numbers_say(numbers: PoolStats, facts: dict[str, Any], remedy: str) -> None:
    message = exhausted(numbers, 2.0, **facts)
    assert remedy in message.partition("waited 2.00 s; ")[2]


def test_one_remedy_is_given_though_several_would_fit() -> None:
    message = exhausted(full(oldest_lease=31.0), 2.0, dial_pause=1.0)
    assert message.count("; ") == 2  # "… s; look at the server …; the pool's size …"
    assert "leak_threshold" not in message


def test_who_may_not_wait_is_told_so() -> None:
    assert exhausted(full(), 0.0).endswith(
        "waited 0.00 s; nothing was idle, and acquire_timeout or the call's deadline left no time to wait: raise it"
    )


def test_a_short_deadline_of_a_cold_pool_is_no_reason_to_suspect_the_server() -> None:
    """Ten milliseconds are less than a dial may take."""
    assert "set min_idle to 3 (now 2)" in exhausted(stats(dialling=1), 0.01)


def test_the_reason_stands_behind_the_wait() -> None:
    assert "120 waiting, waited 2.00 s, no connection came back in time; raise" in exhausted(
        full(), 2.0, "no connection came back in time"
    )


def test_who_was_refused_at_once_is_told_the_reason_and_no_wait() -> None:
    message = exhausted(full(), 0.0, "max_waiting borrowers wait already")
    assert "120 waiting, max_waiting borrowers wait already; raise max_connections" in message
    assert "waited" not in message


def test_a_borrower_of_a_closed_pool_is_told_to_make_a_new_one() -> None:
    closed = stats(state="closed", size=0, available=0, borrowed=0)
    assert exhausted(closed, 0.0, "refused") == (
        "pool 'localhost:6379/0': closed, 0/50 leased, 0 idle, refused; "
        "make a new pool: a closed one does not open again"
    )
    assert exhausted(closed, 0.0).endswith("waited 0.00 s; make a new pool: a closed one does not open again")


def test_a_borrower_of_a_draining_pool_is_told_that_it_closes() -> None:
    assert exhausted(stats(state="draining"), 1.0).endswith(
        "waited 1.00 s; send new work elsewhere: the pool closes for good when its last lease comes back"
    )


def test_a_borrower_that_no_dial_can_serve_is_told_of_the_server() -> None:
    assert exhausted(stats(), 0.0, "nobody dials now", dial_pause=0.8, last_dial_error="refused") == (
        "pool 'localhost:6379/0': 3/50 leased, 7 idle, last dial failed (refused), next dial in 800 ms, "
        "nobody dials now; "
        "look at the server, the network to it and the credentials; the pool's size is not the cause"
    )


def test_no_password_is_told() -> None:
    message = exhausted(
        stats(name="redis://:hunter2@db/0"), 1.0, dial_pause=1, last_dial_error="redis://u:hunter2@db: refused"
    )
    assert "hunter2" not in message
    assert message.startswith("pool 'redis://***@db/0': ")


_COUNT = st.integers(0, 60)


@given(
    numbers=st.builds(
        PoolStats,
        name=st.text(max_size=5),
        state=st.sampled_from(["open", "draining", "closed"]),
        **dict.fromkeys(("size", "available", "borrowed", "pending", "max", "min", "dialling", "closing"), _COUNT),
        **dict.fromkeys(("allowed", "generation", "borrows", "waits", "dials", "dial_failures", "timeouts"), _COUNT),
        **dict.fromkeys(("wait_seconds", "longest_wait", "dial_seconds"), st.floats(0, 1e4)),
        refusals=st.just({}),
        closes=st.just({}),
        oldest_lease=st.none() | st.floats(0, 1e4),
    ),
    waited=st.floats(0, 100),
    reason=st.sampled_from(["", "refused"]),
    error=st.none() | st.text(),
    pause=st.floats(0, 60),
)
def test_every_pool_has_a_story_on_one_line(
    numbers: PoolStats, waited: float, reason: str, error: str | None, pause: float
) -> None:
    told = story(numbers, dial_pause=pause, last_dial_error=error)
    message = exhausted(numbers, waited, reason, dial_pause=pause, last_dial_error=error)
    assert message.startswith(told)
    assert len(message.splitlines()) == 1
    assert len(message) > len(told) + 20
