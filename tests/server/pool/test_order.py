"""Order: who is served first, and with which connection. On both shells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resilient_redis import ConfigError, PoolTimeoutError, priority

pytestmark = pytest.mark.server


# Hand-off


async def test_a_connection_goes_to_the_longest_waiter(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    waiters = [await bench.wait_for(pool, count) for count in (1, 2, 3)]
    for waiter in waiters:
        await bench.give(pool, held)
        await bench.until(lambda waiter=waiter: waiter.done)
        held = await waiter.result()
        assert sum(one.done for one in waiters) == waiters.index(waiter) + 1
    await bench.give(pool, held)


async def test_it_is_handed_over_open_and_the_same(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    known = await bench.id_of(held)
    waiter = await bench.wait_for(pool, 1)
    await bench.give(pool, held)
    assert await waiter.result() is held
    assert await bench.id_of(held) == known
    assert pool.stats().dials == 1
    await bench.give(pool, held)


async def test_nobody_barges_in(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    waiter = await bench.wait_for(pool, 1)

    def back_and_forth() -> Any:
        pool.release(held)
        return pool.acquire(timeout=0)

    async def aback_and_forth() -> Any:
        await pool.release(held)
        return await pool.acquire(timeout=0)

    # The waiter cannot have run yet in asyncio, and hardly in threads: still it is served, not who is quicker.
    error = await bench.error(back_and_forth if bench.is_sync else aback_and_forth)
    assert isinstance(error, PoolTimeoutError)
    assert await waiter.result() is held
    await bench.give(pool, held)


async def test_a_newcomer_queues_behind_those_who_wait(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    client = bench.client(pool)
    held = await bench.get(pool)
    jobs = []
    for number in range(8):
        jobs.append(bench.start(client.rpush, "log", number))
        await bench.until(lambda number=number: pool.stats().pending == number + 1)
    await bench.give(pool, held)
    for job in jobs:
        await job.result()
    assert await bench.run(client.lrange, "log", 0, -1) == [str(number).encode() for number in range(8)]


async def test_a_waiter_that_leaves_is_passed_over(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    hasty = bench.start(pool.acquire, timeout=0.05)
    await bench.until(lambda: pool.stats().pending == 1)
    patient = await bench.wait_for(pool, 2)
    assert isinstance(await hasty.outcome(), PoolTimeoutError)
    await bench.give(pool, held)
    assert await patient.result() is held
    await bench.give(pool, held)


# Priorities


def _write(bench: Any, connection: Any, place: int) -> Any:
    """On a borrowed connection: the server notes who was served when."""
    if bench.is_sync:
        connection.send_command("RPUSH", "order", place)
        return connection.read_response()
    return bench.ask(connection, "RPUSH", "order", place)


def _acquire(bench: Any, pool: Any, rank: Any, place: int) -> Any:
    if bench.is_sync:

        def work() -> None:
            connection = pool.acquire(priority=rank)
            _write(bench, connection, place)
            pool.release(connection)

        return work

    async def awork() -> None:
        connection = await pool.acquire(priority=rank)
        await _write(bench, connection, place)
        await pool.release(connection)

    return awork


def _pool_lease(bench: Any, pool: Any, rank: Any, place: int) -> Any:
    return bench.using(lambda: pool.lease(priority=rank), lambda connection: _write(bench, connection, place))


def _client_lease(bench: Any, pool: Any, rank: Any, place: int) -> Any:
    client = bench.client(pool)
    return bench.using(lambda: client.lease(priority=rank), lambda one: one.rpush("order", place))


def _context(bench: Any, pool: Any, rank: Any, place: int) -> Any:
    client = bench.client(pool)
    if bench.is_sync:

        def work() -> None:
            with priority(rank):
                client.rpush("order", place)

        return work

    async def awork() -> None:
        with priority(rank):
            await client.rpush("order", place)

    return awork


def _pipeline(bench: Any, pool: Any, rank: Any, place: int) -> Any:
    client = bench.client(pool)
    if bench.is_sync:

        def work() -> None:
            with priority(rank):
                client.pipeline().rpush("order", place).execute()

        return work

    async def awork() -> None:
        with priority(rank):
            await client.pipeline().rpush("order", place).execute()

    return awork


async def _order(bench: Any, pool: Any, ranks: list[Any], way: Any = _acquire, clock: Any = None) -> list[int]:
    """All queue, one after the other, for the one connection: the places in the order of service.

    With a clock an entry of ``ranks`` is a rank and the seconds that go by after it.
    """
    held = await bench.get(pool)
    jobs = []
    for place, entry in enumerate(ranks):
        rank, later = entry if clock is not None else (entry, 0)
        jobs.append(bench.start(way(bench, pool, rank, place)))
        await bench.until(lambda place=place: pool.stats().pending == place + 1)
        if clock is not None:
            clock.shift += later
    await bench.give(pool, held)
    for job in jobs:
        await job.result()
    client = bench.client(pool)
    return [int(place) for place in await bench.run(client.lrange, "order", 0, -1)]


WAYS = [_acquire, _pool_lease, _client_lease, _context, _pipeline]


@pytest.mark.parametrize("way", WAYS, ids=["acquire", "pool.lease", "client.lease", "context", "pipeline in context"])
async def test_high_before_normal_before_low_and_fair_inside_a_class(bench: Any, way: Any) -> None:
    pool = bench.pool(max_connections=1)
    ranks = ["low", "normal", "high", -1, 0, 1, "low", "normal", "high"]
    assert await _order(bench, pool, ranks, way) == [2, 5, 8, 1, 4, 7, 0, 3, 6]


async def test_any_number_from_minus_10_to_10_is_a_priority(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    assert await _order(bench, pool, [-10, 0.5, 10, -0.5]) == [2, 1, 3, 0]


@pytest.mark.parametrize("wrong", ["urgent", 11, -11, True, None.__class__], ids=str)
async def test_another_priority_is_an_error(bench: Any, wrong: Any) -> None:
    pool = bench.pool()
    assert isinstance(await bench.error(pool.acquire, priority=wrong), ConfigError)
    assert isinstance(await bench.error(bench.using(lambda: bench.client(pool).lease(priority=wrong))), ConfigError)
    assert pool.stats().borrowed == 0


async def test_a_given_priority_wins_over_the_contexts(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    with priority("high"):
        assert await _order(bench, pool, ["low", None, "normal"]) == [1, 2, 0]


async def test_who_waits_ages_and_is_overtaken_no_more(bench: Any, shifted_clock: Any) -> None:
    pool = bench.pool(max_connections=1, acquire_timeout=60, clock=shifted_clock, maintenance_interval="1d")
    # A class is worth a second: after 1.5 s the low one is no longer overtaken by the normal, nor after 3 s by the
    # high ones; those that came later are in their order.
    ranks = [("low", 1.5), ("normal", 1.5), ("high", 0.5), ("high", 0), ("normal", 0)]
    assert await _order(bench, pool, ranks, clock=shifted_clock) == [0, 1, 2, 3, 4]


async def test_a_head_start_of_a_second_is_what_a_class_is_worth(bench: Any, shifted_clock: Any) -> None:
    pool = bench.pool(max_connections=1, acquire_timeout=60, clock=shifted_clock, maintenance_interval="1d")
    ranks = [("low", 0.5), ("normal", 0.8), ("high", 0)]
    assert await _order(bench, pool, ranks, clock=shifted_clock) == [2, 1, 0]


async def test_a_priority_only_orders_those_who_wait(bench: Any) -> None:
    pool = bench.pool(max_connections=2)
    with priority("low"):
        connections = await bench.fill(pool, 2)
    await bench.give(pool, *connections)
    assert pool.stats().waits <= 2  # their dials


# Which connection


async def test_the_one_used_last_is_lent_first(bench: Any) -> None:
    pool = bench.pool()
    first, second, third = await bench.fill(pool, 3)
    await bench.give(pool, first, third, second)
    assert await bench.fill(pool, 3) == [second, third, first]
    await bench.give(pool, first, second, third)


async def test_with_fifo_the_one_idle_longest_is_lent_first(bench: Any) -> None:
    pool = bench.pool(fifo=True)
    first, second, third = await bench.fill(pool, 3)
    await bench.give(pool, first, third, second)
    assert await bench.fill(pool, 3) == [first, third, second]
    await bench.give(pool, first, second, third)


async def test_lifo_lets_what_is_not_needed_age_out_and_fifo_does_not(bench: Any) -> None:
    for fifo, expected in ((False, 1), (True, 3)):
        pool = bench.pool(fifo=fifo, idle_timeout=0.2)
        await bench.stock_up(pool, 3)
        for _ in range(6):
            await asyncio.sleep(0.05)
            await bench.give(pool, await bench.get(pool))
        await bench.run(pool.maintain)
        assert pool.stats().available == expected
