"""Bounds: how many connections, how many waiters, and for how long. On both shells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from resilient_redis import PoolSaturatedError, PoolTimeoutError, Timeout
from resilient_redis.testing import FaultProxy

pytestmark = pytest.mark.server

SLACK = 0.5
"""Seconds by which a busy machine may be late."""


# max_connections


async def test_max_connections_is_never_exceeded(bench: Any, sampler: Any) -> None:
    pool = bench.pool(max_connections=5)
    client = bench.client(pool)

    def look() -> int:
        stats = pool.stats()
        return max(len(bench.sockets()), stats.size + stats.dialling + stats.closing)

    with sampler(look) as seen:
        replies = await bench.face.together([lambda: client.incr("n") for _ in range(200)])
    assert sorted(replies) == list(range(1, 201))
    assert (seen.looks > 0, seen.most <= 5, len(bench.sockets()) <= 5) == (True, True, True)


async def test_connections_being_dialled_count(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, max_connections=2)
    proxy.delay(0.05)
    jobs = [bench.start(pool.acquire) for _ in range(4)]
    await bench.until(lambda: sum(job.done for job in jobs) == 2)
    assert (pool.stats().borrowed, pool.stats().pending, proxy.connections_opened) == (2, 2, 2)
    for job in jobs:
        await bench.until(lambda: any(job.done and job.value is not None for job in jobs))
        ready = next(job for job in jobs if job.done and job.value is not None)
        ready.value, connection = None, ready.value
        await bench.give(pool, connection)
    assert proxy.connections_opened == 2


async def test_every_connection_may_be_out_at_once(bench: Any) -> None:
    pool = bench.pool(max_connections=3)
    connections = await bench.fill(pool, 3)
    ids = {await bench.id_of(connection) for connection in connections}
    assert ids == bench.sockets()
    assert len(ids) == 3
    assert (pool.stats().borrowed, pool.stats().available) == (3, 0)
    await bench.give(pool, *connections)
    assert (pool.stats().borrowed, pool.stats().available) == (0, 3)


# min_idle


async def test_maintenance_keeps_min_idle_open(bench: Any) -> None:
    pool = bench.pool(min_idle=3)
    await bench.run(pool.maintain)
    assert pool.stats().available == 3
    assert len(bench.sockets()) == 3
    bench.kill()
    await bench.rest()
    await bench.run(pool.maintain)
    assert pool.stats().available == 3
    assert len(bench.sockets()) == 3


async def test_min_idle_counts_idle_ones_only_as_far_as_max_connections_allows(bench: Any) -> None:
    pool = bench.pool(min_idle=2, max_connections=3)
    held = await bench.fill(pool, 2)
    await bench.run(pool.maintain)
    assert (pool.stats().borrowed, pool.stats().available) == (2, 1)
    await bench.give(pool, *held)


async def test_min_idle_is_kept_by_itself(bench: Any) -> None:
    pool = bench.pool(min_idle=2, maintenance_interval=0.05)
    await bench.stock_up(pool, 1)
    await bench.until(lambda: pool.stats().available >= 2)
    bench.kill()
    await bench.until(lambda: pool.stats().dials >= 4)
    await bench.until(lambda: pool.stats().available >= 2)


# max_waiting


async def test_over_max_waiting_is_refused_at_once(bench: Any, stopwatch: Any) -> None:
    pool = bench.pool(max_connections=1, max_waiting=2)
    held = await bench.get(pool)
    waiters = [await bench.wait_for(pool, count) for count in (1, 2)]
    with stopwatch() as watch:
        error = await bench.error(pool.acquire)
    assert isinstance(error, PoolSaturatedError)
    assert isinstance(error, redis.ConnectionError)
    assert watch.seconds < SLACK
    assert "1/1 leased" in str(error)
    assert "2 waiting" in str(error)
    assert pool.stats().refusals == {"saturated": 1}
    for waiter in waiters:  # they are not harmed
        await bench.give(pool, held)
        held = await waiter.result()
    await bench.give(pool, held)


async def test_with_max_waiting_0_nobody_queues_but_a_dial_is_waited_for(bench: Any) -> None:
    pool = bench.pool(max_connections=1, max_waiting=0)
    held = await bench.get(pool)
    assert isinstance(await bench.error(pool.acquire), PoolSaturatedError)
    await bench.give(pool, held)
    await bench.give(pool, await bench.get(pool))


async def test_without_max_waiting_any_number_may_wait(bench: Any) -> None:
    pool = bench.pool(max_connections=1, max_waiting=None)
    held = await bench.get(pool)
    waiters = [bench.start(pool.acquire) for _ in range(30)]
    await bench.until(lambda: pool.stats().pending == 30)
    await bench.give(pool, held)
    for _ in waiters:
        await bench.until(lambda: any(waiter.done and waiter.value is not None for waiter in waiters))
        served = next(waiter for waiter in waiters if waiter.done and waiter.value is not None)
        served.value, connection = None, served.value
        await bench.give(pool, connection)
    assert pool.stats().available == 1


# acquire_timeout


async def test_acquire_timeout_bounds_the_queue(bench: Any, stopwatch: Any) -> None:
    pool = bench.pool(max_connections=1, acquire_timeout=0.15)
    held = await bench.get(pool, timeout=5)
    with stopwatch() as watch:
        error = await bench.error(pool.acquire)
    assert isinstance(error, PoolTimeoutError)
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "not_sent"
    assert 0.14 <= watch.seconds < 0.15 + SLACK
    await bench.give(pool, held)


async def test_acquire_timeout_bounds_the_dial(bench: Any, proxy: FaultProxy, stopwatch: Any) -> None:
    pool = bench.pool(proxy.url, acquire_timeout=0.15)
    proxy.black_hole()
    with stopwatch() as watch:
        error = await bench.error(pool.acquire)
    assert isinstance(error, (redis.TimeoutError, redis.ConnectionError))
    assert not isinstance(error, PoolTimeoutError)  # it is the server that does not answer
    assert 0.14 <= watch.seconds < 0.15 + SLACK


async def test_acquire_timeout_bounds_validation(bench: Any, proxy: FaultProxy, stopwatch: Any) -> None:
    pool = bench.pool(proxy.url, acquire_timeout=0.3, validate_after=0)
    await bench.stock_up(pool, 2)
    await bench.rest()
    proxy.black_hole()
    with stopwatch() as watch:
        error = await bench.error(pool.acquire)
    assert isinstance(error, (redis.TimeoutError, redis.ConnectionError))
    assert 0.29 <= watch.seconds < 0.3 + SLACK
    assert pool.stats().borrowed == 0


async def test_queue_dial_and_validation_have_one_deadline(bench: Any, proxy: FaultProxy, stopwatch: Any) -> None:
    pool = bench.pool(proxy.url, max_connections=1, acquire_timeout=0.4)
    held = await bench.get(pool)
    proxy.black_hole()

    async def later() -> None:
        await asyncio.sleep(0.25)
        await bench.run(held.disconnect)
        await bench.give(pool, held)  # closed: the waiter needs a dial now

    giving_back = asyncio.create_task(later())
    with stopwatch() as watch:
        error = await bench.error(pool.acquire)
    await giving_back
    assert isinstance(error, (redis.TimeoutError, redis.ConnectionError))
    assert 0.39 <= watch.seconds < 0.4 + SLACK


async def test_a_borrowers_own_timeout_wins(bench: Any, stopwatch: Any) -> None:
    pool = bench.pool(max_connections=1, acquire_timeout=5)
    held = await bench.get(pool)
    with stopwatch() as watch:
        error = await bench.error(pool.acquire, timeout="100ms")
    assert isinstance(error, PoolTimeoutError)
    assert 0.09 <= watch.seconds < 0.1 + SLACK
    with stopwatch() as watch:
        error = await bench.error(bench.using(lambda: pool.lease(timeout=0.1)))
    assert isinstance(error, PoolTimeoutError)
    assert 0.09 <= watch.seconds < 0.1 + SLACK
    await bench.give(pool, held)


async def test_a_calls_shorter_deadline_wins(bench: Any, stopwatch: Any) -> None:
    pool = bench.pool(max_connections=1, acquire_timeout=5)
    client = bench.client(pool, policies=[Timeout(0.15)])
    held = await bench.get(pool)
    with stopwatch() as watch:
        error = await bench.error(client.get, "k")
    if not isinstance(error, PoolTimeoutError):  # asyncio on a busy machine: the call's own timer came first
        assert "got no connection before its deadline" in str(error)
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "not_sent"
    assert 0.1 <= watch.seconds < 0.15 + SLACK
    await bench.give(pool, held)
    assert await bench.run(client.get, "k") is None


async def test_a_calls_longer_deadline_does_not_stretch_acquire_timeout(bench: Any, stopwatch: Any) -> None:
    pool = bench.pool(max_connections=1, acquire_timeout=0.15)
    client = bench.client(pool, policies=[Timeout(5)])
    held = await bench.get(pool, timeout=5)
    with stopwatch() as watch:
        error = await bench.error(client.get, "k")
    assert isinstance(error, PoolTimeoutError)
    assert 0.14 <= watch.seconds < 0.15 + SLACK
    await bench.give(pool, held)


async def test_timeout_0_gets_what_is_idle_and_nothing_else(bench: Any, proxy: FaultProxy, stopwatch: Any) -> None:
    pool = bench.pool(proxy.url)
    with stopwatch() as watch:
        assert isinstance(await bench.error(pool.acquire, timeout=0), PoolTimeoutError)
    assert watch.seconds < SLACK
    await bench.rest()
    assert proxy.connections_opened == 0
    await bench.stock_up(pool, 1)
    await bench.give(pool, await bench.get(pool, timeout=0))


async def test_a_pool_with_acquire_timeout_0_can_be_warmed_up(bench: Any) -> None:
    pool = bench.pool(acquire_timeout=0, min_idle=2)
    assert await bench.run(pool.warm_up)
    await bench.give(pool, await bench.get(pool))


async def test_who_gave_up_takes_nothing_along(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    assert isinstance(await bench.error(pool.acquire, timeout=0.05), PoolTimeoutError)
    assert pool.stats().pending == 0
    await bench.give(pool, held)
    await bench.give(pool, await bench.get(pool, timeout=0))
    assert pool.stats().timeouts == 1
