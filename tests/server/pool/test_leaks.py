"""Leaks: who has had a connection for too long, and where in the code it was borrowed. On both shells."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import resilient_redis
from resilient_redis.events import LeakReturned, LeakSuspected

pytestmark = pytest.mark.server


@pytest.fixture
def timed(bench: Any, shifted_clock: Any, events: list[Any]) -> Any:
    def make(**options: Any) -> Any:
        pool = bench.pool(clock=shifted_clock, maintenance_interval="30d", **options)
        pool.events.add(events.append)
        return pool

    return make


def _borrower(bench: Any, pool: Any) -> Any:
    if bench.is_sync:

        def forgetful() -> Any:
            return pool.acquire()

        return forgetful

    async def aforgetful() -> Any:
        return await pool.acquire()

    return aforgetful


async def test_a_leak_is_reported_once_with_the_borrowers_place(
    bench: Any, timed: Any, shifted_clock: Any, events: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "resilient_redis")
    pool = timed(leak_threshold=30)
    forgetful = _borrower(bench, pool)
    held = await bench.run(forgetful)
    shifted_clock.shift += 29
    await bench.run(pool.maintain)
    assert events == []
    shifted_clock.shift += 2
    for _ in range(3):
        await bench.run(pool.maintain)
    (event,) = events
    assert isinstance(event, LeakSuspected)
    assert (event.policy, event.pool) == ("pool", pool.name)
    assert event.seconds == pytest.approx(31, abs=0.9)
    line = forgetful.__code__.co_firstlineno + 1
    assert event.place.startswith(f"test_leaks.py:{line} in {forgetful.__name__}")
    assert caplog.text.count("is out for") == 1
    assert f"test_leaks.py:{line}" in caplog.text
    await bench.give(pool, held)
    suspected, returned = events
    assert isinstance(returned, LeakReturned)
    assert (returned.place, returned.pool) == (suspected.place, pool.name)
    assert returned.seconds == pytest.approx(31, abs=0.9)
    assert caplog.text.count("is back after") == 1
    await bench.run(pool.maintain)
    assert len(events) == 2


async def test_each_lease_is_reported_anew(bench: Any, timed: Any, shifted_clock: Any, events: list[Any]) -> None:
    pool = timed(leak_threshold=1)
    for _ in range(2):
        held = await bench.run(_borrower(bench, pool))
        shifted_clock.shift += 2
        await bench.run(pool.maintain)
        await bench.give(pool, held)
    assert [type(event) for event in events] == [LeakSuspected, LeakReturned] * 2
    assert pool.stats().dials == 1


async def test_who_gives_back_in_time_is_not_reported(
    bench: Any, timed: Any, shifted_clock: Any, events: list[Any]
) -> None:
    pool = timed(leak_threshold=1)
    for _ in range(5):
        held = await bench.get(pool)
        shifted_clock.shift += 0.5
        await bench.run(pool.maintain)
        await bench.give(pool, held)
        shifted_clock.shift += 2  # idle is not lent
        await bench.run(pool.maintain)
    assert events == []


async def test_a_leak_that_comes_back_dirty_is_told_too(
    bench: Any, timed: Any, shifted_clock: Any, events: list[Any]
) -> None:
    pool = timed(leak_threshold=1)
    held = await bench.get(pool)
    shifted_clock.shift += 2
    await bench.run(pool.maintain)
    await bench.ask(held, "MULTI")
    await bench.give(pool, held)
    assert [type(event) for event in events] == [LeakSuspected, LeakReturned]


async def test_off_by_default_nothing_is_kept_or_told(
    bench: Any, timed: Any, shifted_clock: Any, events: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    pool = timed()
    held = await bench.run(_borrower(bench, pool))
    shifted_clock.shift += 1e6
    await bench.run(pool.maintain)
    assert pool.stats().oldest_borrower is None
    assert pool.stats().oldest_lease == pytest.approx(1e6, abs=5)
    await bench.give(pool, held)
    assert events == []
    assert "out for" not in caplog.text


async def test_stats_and_errors_name_the_oldest_borrower(bench: Any, timed: Any) -> None:
    pool = timed(leak_threshold=30, max_connections=2)
    held = [await bench.run(_borrower(bench, pool)), await bench.get(pool)]
    place = pool.stats().oldest_borrower
    assert place.startswith("test_leaks.py:")
    assert "forgetful" in place
    error = await bench.error(pool.acquire, timeout=0.02)
    assert place in str(error)
    assert place in repr(pool)
    await bench.give(pool, *held)


async def test_the_place_is_the_users_for_commands_too(
    bench: Any, timed: Any, shifted_clock: Any, events: list[Any]
) -> None:
    pool = timed(leak_threshold=0.01, max_connections=1)
    client = bench.client(pool)

    def ask_slowly() -> Any:
        return client.blpop("nothing", timeout=1)

    async def aask_slowly() -> Any:
        return await client.blpop("nothing", timeout=1)

    function = ask_slowly if bench.is_sync else aask_slowly
    job = bench.start(function)
    await bench.until(lambda: pool.stats().oldest_borrower)  # a moment after it has the connection
    shifted_clock.shift += 0.1
    await bench.run(pool.maintain)
    line = function.__code__.co_firstlineno + 1
    assert events[0].place.startswith(f"test_leaks.py:{line} in {function.__name__}")
    await bench.run(bench.stock(bench.pool()).rpush, "nothing", "x")
    await job.result()


async def test_clients_tell_their_listeners(bench: Any, shifted_clock: Any, events: list[Any]) -> None:
    pool = bench.pool(clock=shifted_clock, leak_threshold=1, maintenance_interval="30d")
    bench.client(pool, listeners=[events.append])
    held = await bench.get(pool)
    shifted_clock.shift += 2
    await bench.run(pool.maintain)
    await bench.give(pool, held)
    assert [type(event) for event in events] == [LeakSuspected, LeakReturned]


async def test_upkeep_reports_leaks_by_itself(bench: Any, events: list[Any]) -> None:
    pool = bench.pool(leak_threshold=0.05, maintenance_interval=0.03)
    pool.events.add(events.append)
    held = await bench.get(pool)
    await bench.until(lambda: len(events) == 1)
    await bench.give(pool, held)
    assert [type(event) for event in events] == [LeakSuspected, LeakReturned]


def test_a_package_whose_name_begins_like_ours_is_not_ours() -> None:
    from resilient_redis.pool import leaks

    for path, is_users in (("resilient_redis_app/worker.py", True), ("resilient_redis/client.py", False)):
        source = Path(resilient_redis.__file__).parent.parent / path
        names: dict[str, Any] = {"caller": leaks.caller}
        exec(compile("def borrow():\n    return caller()\n", str(source), "exec"), names)
        assert names["borrow"]().startswith("worker.py:2 in borrow") is is_users
