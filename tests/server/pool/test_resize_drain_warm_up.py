"""Other bounds, a new generation, a warm start: while the pool is at work. On both shells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from resilient_redis import ConfigError
from resilient_redis.testing import FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server

SLACK = 0.5


# resize


async def test_resize_up_serves_those_who_wait(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    waiters = [await bench.wait_for(pool, count) for count in (1, 2, 3)]
    pool.resize(3)
    first, second = await waiters[0].result(), await waiters[1].result()
    assert (pool.stats().max, pool.stats().borrowed, pool.stats().pending) == (3, 3, 1)
    await bench.give(
        pool,
        held,
        first,
        second,
    )
    await bench.give(pool, await waiters[2].result())
    assert len(bench.sockets()) == 3


async def test_resize_down_closes_what_is_idle_now(bench: Any) -> None:
    pool = bench.pool(max_connections=4)
    await bench.stock_up(pool, 4)
    pool.resize(2)
    await bench.rest()
    assert (pool.stats().available, pool.stats().closes) == (2, {"resize": 2})
    await bench.until(lambda: len(bench.sockets()) == 2)


async def test_resize_down_closes_what_is_lent_when_it_comes_back(bench: Any) -> None:
    pool = bench.pool(max_connections=4)
    held = await bench.fill(pool, 4)
    pool.resize(2)
    waiter = await bench.wait_for(pool, 1)
    for connection in held:
        assert await bench.ask(connection, "PING") == b"PONG"
    await bench.give(pool, held[0], held[1])
    await bench.rest()
    assert (pool.stats().size, pool.stats().closes, waiter.done) == (2, {"resize": 2}, False)
    await bench.give(pool, held[2])
    assert await waiter.result() is held[2]
    await bench.give(pool, held[2], held[3])
    assert (pool.stats().available, pool.stats().closes) == (2, {"resize": 2})


async def test_resize_under_load_loses_nothing(bench: Any) -> None:
    pool = bench.pool(max_connections=8)
    client = bench.client(pool)
    jobs = [bench.start(client.incr, "n") for _ in range(20)]
    for most in (2, 5, 1, 8, 3):
        pool.resize(most)
        jobs += [bench.start(client.incr, "n") for _ in range(20)]
        await asyncio.sleep(0.01)
    replies = [await job.result() for job in jobs]
    assert sorted(replies) == list(range(1, 121))
    await bench.rest()
    assert len(bench.sockets()) <= 3
    assert (pool.stats().borrowed, pool.stats().pending) == (0, 0)


async def test_resize_takes_min_idle_along(bench: Any) -> None:
    pool = bench.pool(max_connections=8, min_idle=4)
    pool.resize(3)
    assert (pool.stats().max, pool.stats().min) == (3, 3)
    pool.resize(min_idle=1)
    assert (pool.stats().max, pool.stats().min, pool.options.min_idle) == (3, 1, 1)
    pool.max_connections = 6  # redis-py's attribute
    assert (pool.stats().max, pool.max_connections) == (6, 6)
    await bench.stock_up(pool, 1)


OUT_OF_RANGE: list[dict[str, Any]] = [
    {"max_connections": 0},
    {"max_connections": 2, "min_idle": 3},
    {"min_idle": -1},
    {"max_connections": "many"},
]


@pytest.mark.parametrize("wrong", OUT_OF_RANGE)
async def test_bounds_out_of_range_change_nothing(bench: Any, wrong: dict[str, Any]) -> None:
    pool = bench.pool(max_connections=5, min_idle=1)
    with pytest.raises(ConfigError):
        pool.resize(**wrong)
    assert (pool.stats().max, pool.stats().min) == (5, 1)


# drain


async def test_drain_begins_a_new_generation(bench: Any) -> None:
    pool = bench.pool(max_connections=4)
    held = await bench.get(pool)
    others = await bench.fill(pool, 2)
    await bench.give(pool, *others)
    old = bench.sockets()
    pool.drain()
    await bench.rest()
    assert (pool.stats().generation, pool.stats().available, pool.stats().borrowed) == (1, 0, 1)
    assert await bench.ask(held, "PING") == b"PONG"  # lent ones go on
    fresh = await bench.get(pool)
    assert await bench.id_of(fresh) not in old
    await bench.give(pool, held)  # and end when given back
    await bench.give(pool, fresh)
    assert (pool.stats().available, pool.stats().closes) == (1, {"drain": 3})
    await bench.until(lambda: len(bench.sockets()) == 1)
    assert not bench.sockets() & old


async def test_drain_serves_those_who_wait_by_new_connections(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    old = bench.sockets()
    waiter = await bench.wait_for(pool, 1)
    pool.drain()
    assert not waiter.done
    await bench.give(pool, held)
    fresh = await waiter.result()
    assert await bench.id_of(fresh) not in old
    await bench.give(pool, fresh)


async def test_a_dial_begun_before_the_drain_is_not_kept(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url)
    proxy.delay(0.03)
    job = bench.start(pool.acquire)
    await bench.until(lambda: proxy.connections_opened == 1)
    pool.drain()
    proxy.delay(0)
    await bench.give(pool, await job.result())
    assert pool.stats().closes == {"drain": 1}


async def test_drain_under_load_fails_nobody(bench: Any) -> None:
    pool = bench.pool(max_connections=4)
    client = bench.client(pool)
    jobs = []
    for _ in range(5):
        jobs += [bench.start(client.incr, "n") for _ in range(20)]
        await asyncio.sleep(0.005)
        pool.drain()
    assert sorted([await job.result() for job in jobs]) == list(range(1, 101))
    assert pool.stats().generation == 5


# warm_up


async def test_warm_up_opens_distinct_connections(bench: Any) -> None:
    pool = bench.pool(min_idle=4)
    warm = await bench.run(pool.warm_up)
    assert (bool(warm), warm.wanted, warm.opened, warm.idle, warm.errors) == (True, 4, 4, 4, ())
    assert len(bench.sockets()) == 4
    again = await bench.run(pool.warm_up)
    assert (bool(again), again.opened, again.idle) == (True, 0, 4)
    assert len(bench.sockets()) == 4


async def test_warm_up_opens_what_is_missing(bench: Any) -> None:
    pool = bench.pool(min_idle=4)
    await bench.stock_up(pool, 3)
    assert (await bench.run(pool.warm_up)).opened == 1
    assert len(bench.sockets()) == 4


async def test_warm_up_says_what_failed_and_does_not_insist(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, min_idle=4)
    proxy.accept_then_reset()
    warm = await bench.run(pool.warm_up)
    assert (bool(warm), warm.opened, warm.idle) == (False, 0, 0)
    assert isinstance(warm.errors[0], redis.ConnectionError)
    assert proxy.connections_opened == 1
    await bench.error(pool.acquire)
    for _ in range(6):
        await bench.error(pool.acquire)
    opened = proxy.connections_opened
    warm = await bench.run(pool.warm_up)  # in the pause it does not dial, and says why
    assert not warm
    assert isinstance(warm.errors[0], redis.ConnectionError)
    assert proxy.connections_opened <= opened + 1


async def test_warm_up_keeps_what_succeeded(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, min_idle=3)
    job = bench.start(pool.warm_up)
    await bench.until(lambda: pool.stats().available >= 1)
    await job.result()
    await bench.run(pool.disconnect)
    proxy.inject("cut_before_request", 1, handshake=True)
    warm = await bench.run(pool.warm_up)
    assert (bool(warm), len(warm.errors)) == (False, 1)
    await asyncio.sleep(0.02)
    assert await bench.run(pool.warm_up)
    assert pool.stats().available == 3


async def test_warm_up_opens_one_after_the_other(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, min_idle=3)
    proxy.delay(0.02)
    most = 0
    job = bench.start(pool.warm_up)
    while not job.done:
        most = max(most, pool.stats().dialling)
        await asyncio.sleep(0.001)
    assert await job.result()
    assert most == 1


async def test_warm_up_ends_at_its_timeout(bench: Any, proxy: FaultProxy, stopwatch: Any) -> None:
    pool = bench.pool(proxy.url, min_idle=3)
    proxy.black_hole()
    with stopwatch() as watch:
        warm = await bench.run(pool.warm_up, timeout=0.15)
    assert 0.14 <= watch.seconds < 0.15 + SLACK
    assert (bool(warm), warm.opened) == (False, 0)
    assert warm.errors


async def test_a_pool_that_needs_none_is_warm(bench: Any) -> None:
    assert await bench.run(bench.pool().warm_up)


async def test_a_dead_server_keeps_no_warm_up_waiting(bench: Any, stopwatch: Any) -> None:
    pool = bench.pool(f"redis://127.0.0.1:{free_port()}", min_idle=2)
    with stopwatch() as watch:
        assert not await bench.run(pool.warm_up)
    assert watch.seconds < 1
