"""``pool.change(options)``: other options hold from now on, not from the next round of upkeep. On both shells."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest

from resilient_redis import ConfigError, PoolOptions, PoolSaturatedError, PoolTimeoutError
from resilient_redis.events import LeakSuspected

pytestmark = [pytest.mark.server, pytest.mark.timeout(60)]


def change(pool: Any, **options: Any) -> None:
    pool.change(replace(pool.options, **options))


async def test_patience_and_places_in_the_queue_hold_at_once(bench: Any) -> None:
    pool = bench.pool(max_connections=1, acquire_timeout=30)
    held = await bench.get(pool)
    change(pool, acquire_timeout=0.01)
    assert isinstance(await bench.error(pool.get_connection), PoolTimeoutError)
    change(pool, max_waiting=0)
    assert isinstance(await bench.error(pool.get_connection), PoolSaturatedError)
    await bench.give(pool, held)


async def test_more_connections_serve_those_who_wait(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    waiter = await bench.wait_for(pool, 1)
    change(pool, max_connections=2)
    await bench.give(pool, held, await waiter.result())


async def test_a_check_before_lending_holds_for_what_is_idle_already(
    bench: Any, timed: Any, shifted_clock: Any
) -> None:
    pool = timed(validate_after=None)
    await bench.stock_up(pool, 1)
    shifted_clock.shift += 1
    before = bench.calls("ping")
    change(pool, validate_after=0.5)
    await bench.stock_up(pool, 1)
    assert bench.calls("ping") == before + 1


async def test_the_next_borrower_is_known_as_soon_as_leaks_are_looked_for(
    bench: Any, timed: Any, shifted_clock: Any, events: list[Any]
) -> None:
    pool = timed()
    pool.events.add(events.append)
    await bench.stock_up(pool, 1)
    change(pool, leak_threshold=10)
    held = await bench.run(_borrower(bench, pool))
    shifted_clock.shift += 11
    await bench.run(pool.maintain)
    (event,) = events
    assert isinstance(event, LeakSuspected)
    assert "forgetful" in event.place.split(" < ")[0]
    await bench.give(pool, held)


async def test_nobody_is_named_in_a_later_borrowers_place(
    bench: Any, timed: Any, shifted_clock: Any, events: list[Any]
) -> None:
    pool = timed(leak_threshold=10)
    await bench.give(pool, await bench.run(_borrower(bench, pool)))
    change(pool, leak_threshold=None)
    held = await bench.run(pool.get_connection)
    assert pool.stats().oldest_borrower is None
    pool.events.add(events.append)
    change(pool, leak_threshold=10)
    shifted_clock.shift += 11
    await bench.run(pool.maintain)
    (event,) = events
    assert event.place == "before leak detection was on"
    await bench.give(pool, held)


async def test_upkeep_comes_as_often_as_it_is_told_now(bench: Any) -> None:
    pool = bench.pool(idle_timeout=0, maintenance_interval="30d")
    await bench.stock_up(pool, 1)
    change(pool, maintenance_interval=0.02)
    await bench.until(lambda: pool.stats().size == 0)
    change(pool, maintenance_interval="30d")


async def test_borrowers_who_do_the_upkeep_do_it_as_often_as_it_is_told_now(
    bench: Any, timed: Any, shifted_clock: Any
) -> None:
    if not bench.is_sync:
        pytest.skip("asyncio needs no thread for it")
    pool = timed(background=False, min_idle=2)
    change(pool, maintenance_interval=15)
    shifted_clock.shift += 16
    await bench.stock_up(pool, 1)
    assert pool.stats().available == 2


async def test_what_it_was_built_with_stays_and_wrong_values_change_nothing(bench: Any) -> None:
    pool = bench.pool(max_connections=5, fifo=True, name="orders")
    pool.change(PoolOptions(max_connections=4, fifo=False, background=False, name="other"))
    assert (pool.options.max_connections, pool.options.fifo, pool.name) == (4, True, "orders")
    with pytest.raises(ConfigError):
        change(pool, max_connections=0)
    assert pool.stats().max == 4


def _borrower(bench: Any, pool: Any) -> Any:
    def forgetful() -> Any:
        return pool.get_connection()

    async def aforgetful() -> Any:
        got = forgetful()
        return await got if inspect.isawaitable(got) else got

    return forgetful if bench.is_sync else aforgetful
