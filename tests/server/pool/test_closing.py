"""Closing: a pool for good, a client for now. On both shells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from resilient_redis import PoolClosedError
from resilient_redis.testing import FaultProxy

pytestmark = pytest.mark.server

SLACK = 0.5


async def test_a_pool_at_rest_closes_at_once_and_says_so(bench: Any, stopwatch: Any) -> None:
    pool = bench.pool()
    await bench.stock_up(pool, 3)
    with stopwatch() as watch:
        assert await bench.close(pool) is True
    assert watch.seconds < SLACK
    assert (pool.stats().state, pool.stats().size, pool.stats().closes) == ("closed", 0, {"closed": 3})
    await bench.until(lambda: not bench.sockets())


async def test_a_pool_that_was_never_used_closes(bench: Any) -> None:
    pool = bench.pool()
    assert await bench.close(pool) is True
    assert pool.stats().state == "closed"


async def test_closing_refuses_newcomers_serves_waiters_and_waits_for_what_is_lent(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    waiter = await bench.wait_for(pool, 1)
    closing = bench.start(bench.closer(pool), timeout=5)
    await bench.until(lambda: pool.stats().state == "draining")
    error = await bench.error(pool.acquire)
    assert isinstance(error, PoolClosedError)
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "not_sent"
    assert await bench.ask(held, "PING") == b"PONG"
    await bench.give(pool, held)
    assert await waiter.result() is held  # who waits is served
    await asyncio.sleep(0.02)
    assert not closing.done
    await bench.give(pool, held)
    assert await closing.result() is True
    assert (pool.stats().state, pool.stats().size) == ("closed", 0)
    await bench.until(lambda: not bench.sockets())


async def test_after_the_timeout_what_is_lent_is_cut_off(bench: Any, stopwatch: Any) -> None:
    pool = bench.pool()
    held = await bench.get(pool)
    with stopwatch() as watch:
        assert await bench.close(pool, timeout=0.1) is False
    assert 0.09 <= watch.seconds < 0.1 + SLACK
    assert isinstance(await bench.error(bench.ask, held, "PING"), redis.ConnectionError)
    await bench.until(lambda: not bench.sockets())
    await bench.give(pool, held)  # harms nobody
    assert (pool.stats().state, pool.stats().size, pool.stats().borrowed) == ("closed", 0, 0)


async def test_a_reply_under_way_is_cut_off_too(bench: Any) -> None:
    pool = bench.pool()
    client = bench.client(pool)
    job = bench.start(client.blpop, "nothing", timeout=5)
    await bench.until(lambda: pool.stats().borrowed == 1)
    await asyncio.sleep(0.02)
    assert await bench.close(pool, timeout=0.05) is False
    assert isinstance(await job.outcome(), redis.ConnectionError)
    await bench.until(lambda: pool.stats().size == 0)


async def test_waiters_that_are_not_served_in_time_are_refused(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    waiters = [await bench.wait_for(pool, count) for count in (1, 2)]
    assert await bench.close(pool, timeout=0.05) is False
    for waiter in waiters:
        assert isinstance(await waiter.outcome(), PoolClosedError)
    await bench.give(pool, held)
    assert pool.stats().refusals == {"closed": 2}


async def test_without_a_timeout_nothing_is_waited_for(bench: Any, stopwatch: Any) -> None:
    pool = bench.pool()
    held = await bench.get(pool)
    with stopwatch() as watch:
        assert await bench.close(pool) is False
    assert watch.seconds < SLACK
    await bench.give(pool, held)


async def test_closing_waits_for_a_dial_under_way_and_leaves_nothing(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url)
    proxy.delay(0.03)
    job = bench.start(pool.acquire)
    await bench.until(lambda: proxy.connections_opened == 1)
    closing = bench.start(bench.closer(pool), timeout=5)
    await bench.give(pool, await job.result())  # it had come before the close
    assert await closing.result() is True
    await bench.until(lambda: proxy.open_connections == 0)


async def test_a_dial_that_hangs_does_not_outlive_the_close(bench: Any, proxy: FaultProxy, stopwatch: Any) -> None:
    pool = bench.pool(proxy.url, acquire_timeout=0.4, socket_connect_timeout=0.4)
    proxy.black_hole()
    job = bench.start(pool.acquire)
    await bench.until(lambda: proxy.connections_opened == 1)
    with stopwatch() as watch:
        assert await bench.close(pool, timeout=0.05) is False
    assert watch.seconds < 0.05 + SLACK
    assert isinstance(await job.outcome(), redis.RedisError)
    await bench.until(lambda: pool.stats().size + pool.stats().dialling == 0)
    await bench.until(lambda: proxy.open_connections == 0)


async def test_closed_is_closed_for_good(bench: Any) -> None:
    pool = bench.pool(min_idle=2)
    client = bench.client(pool)
    assert await bench.run(client.set, "k", "v")
    await bench.close(pool)
    for _ in range(2):
        error = await bench.error(client.get, "k")
        assert isinstance(error, PoolClosedError)
        assert "closed" in str(error)
        await bench.run(pool.maintain)
        await bench.run(pool.disconnect)
        pool.drain()
        pool.resize(5)
        warm = await bench.run(pool.warm_up)
        assert (bool(warm), warm.opened) == (False, 0)
    assert isinstance(await bench.error(pool.acquire, timeout=0), PoolClosedError)
    assert isinstance(await bench.error(pool.get_connection), PoolClosedError)
    assert pool.stats().state == "closed"
    assert not bench.sockets()
    assert "closed" in repr(pool)
    assert pool.health().status == "critical"


async def test_closing_twice_is_harmless(bench: Any) -> None:
    pool = bench.pool()
    held = await bench.get(pool)
    assert await bench.close(pool, timeout=0.02) is False
    assert await bench.close(pool, timeout=0.02) is False  # it is still out
    await bench.give(pool, held)
    assert await bench.close(pool, timeout=0.02) is True
    assert await bench.close(pool) is True
    assert sum(pool.stats().closes.values()) == 1


async def test_two_may_close_at_once(bench: Any) -> None:
    pool = bench.pool()
    held = await bench.get(pool)
    closings = [bench.start(bench.closer(pool), timeout=5) for _ in range(3)]
    await bench.until(lambda: pool.stats().state == "draining")
    await asyncio.sleep(0.03)
    await bench.give(pool, held)
    assert [await closing.result() for closing in closings] == [True] * 3


async def test_the_pool_of_a_with_block_is_closed_after_it(bench: Any) -> None:
    pool = bench.pool()
    assert await bench.run(bench.using(lambda: pool, lambda it: it.stats().state)) == "open"
    assert pool.stats().state == "closed"


# A client


async def test_a_closed_client_may_be_used_again(bench: Any) -> None:
    client = bench.face.client(bench.server.url, client_name=bench.client_name, policies=[])
    assert await bench.run(client.set, "k", "v")
    assert len(bench.sockets()) == 1
    await bench.close_client(client)
    await bench.until(lambda: not bench.sockets())
    assert await bench.run(client.get, "k") == b"v"
    assert client.connection_pool.stats().state == "open"


async def test_a_closed_client_keeps_nothing_warm_until_it_is_used_again(bench: Any) -> None:
    client = bench.face.client(
        bench.server.url, client_name=bench.client_name, min_idle=2, maintenance_interval=0.03, policies=[]
    )
    pool = client.connection_pool
    await bench.run(client.set, "k", "v")
    await bench.until(lambda: pool.stats().available >= 2)
    await bench.close_client(client)
    await bench.until(lambda: not bench.sockets())
    await asyncio.sleep(0.1)
    await bench.run(pool.maintain)
    assert not bench.sockets()
    await bench.run(client.get, "k")
    await bench.until(lambda: pool.stats().available >= 2)


async def test_closing_a_client_leaves_a_pool_that_was_given_to_it(bench: Any) -> None:
    pool = bench.pool()
    client = bench.client(pool)
    await bench.run(client.set, "k", "v")
    await bench.close_client(client)
    assert (len(bench.sockets()), pool.stats().available) == (1, 1)
    assert await bench.run(client.get, "k") == b"v"


async def test_closing_a_client_cuts_off_what_is_lent(bench: Any) -> None:
    """As redis-py does: the borrower gets an error, never another's reply."""
    client = bench.face.client(bench.server.url, client_name=bench.client_name, policies=[])
    job = bench.start(client.blpop, "nothing", timeout=5)
    await bench.until(lambda: client.connection_pool.stats().borrowed == 1)
    await asyncio.sleep(0.02)
    await bench.close_client(client)
    assert isinstance(await job.outcome(), redis.ConnectionError)
    assert await bench.run(client.get, "k") is None
    assert client.connection_pool.stats().borrowed == 0
