"""Dialling: how many at once, for whom, and what a failed one costs whom. On both shells."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import redis
import redis.asyncio

from resilient_redis import CircuitBreaker, DialFailedError, RejectedError
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server


@pytest.fixture
def dead_url() -> str:
    """Nobody listens there."""
    return f"redis://127.0.0.1:{free_port()}"


async def test_never_more_than_max_dials_at_once(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, max_dials=2, max_connections=6)
    proxy.black_hole()
    jobs = [bench.start(pool.acquire) for _ in range(6)]
    await bench.until(lambda: proxy.connections_opened == 2)
    await asyncio.sleep(0.05)
    assert (proxy.connections_opened, pool.stats().dialling, pool.stats().pending) == (2, 2, 6)
    proxy.heal()  # resets those two; their borrowers are told, or try again
    for job in jobs:
        outcome = await job.outcome()
        if not isinstance(outcome, Exception):
            await bench.give(pool, outcome)
    await bench.until(lambda: pool.stats().dialling == 0)


async def test_all_are_served_though_few_dial_at_once(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, max_dials=2, max_connections=6)
    proxy.delay(0.01)
    jobs = [bench.start(pool.acquire) for _ in range(6)]
    connections = [await job.result() for job in jobs]
    assert (len(set(connections)), proxy.connections_opened) == (6, 6)
    await bench.give(pool, *connections)


async def test_nothing_is_dialled_for_nobody(bench: Any, proxy: FaultProxy) -> None:
    """A burst over one connection that is given back quickly opens few others, and none after it is over."""
    pool = bench.pool(proxy.url, max_connections=50, max_dials=1)
    client = bench.client(pool)
    await bench.run(client.ping)
    proxy.delay(0.02)
    jobs = [bench.start(client.ping) for _ in range(20)]
    for job in jobs:
        assert await job.result()
    opened = proxy.connections_opened
    assert opened < 15
    await bench.until(lambda: pool.stats().dialling == 0)
    assert proxy.connections_opened <= opened + 1  # one may have been under way


async def test_a_planned_dial_is_dropped_when_its_waiter_is_served(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, max_connections=2)
    held = await bench.get(pool)
    proxy.refuse()
    waiter = bench.start(pool.acquire)
    await bench.until(lambda: pool.stats().dial_failures >= 5)  # pauses of 40 ms and more by now
    await bench.give(pool, held)
    assert await waiter.result() is held
    proxy.heal()
    await asyncio.sleep(0.2)
    assert (proxy.connections_opened, pool.stats().dialling) == (1, 0)
    await bench.give(pool, held)


# A dial that fails


async def test_a_failed_dial_is_told_once_in_redis_pys_words(bench: Any, dead_url: str) -> None:
    pool = bench.pool(dead_url, acquire_timeout=5)
    jobs = [bench.start(pool.acquire) for _ in range(20)]
    errors = [await job.outcome() for job in jobs]
    assert all(isinstance(error, redis.ConnectionError) for error in errors)
    told = [error for error in errors if not isinstance(error, RejectedError)]
    refused = [error for error in errors if isinstance(error, DialFailedError)]
    stats = pool.stats()
    assert len(told) + len(refused) == 20
    assert len(told) == stats.dial_failures
    assert 1 <= len(told) <= 8
    assert stats.refusals == {"dial_failed": len(refused)}
    for error in refused:
        assert 0 < error.retry_after <= 1
        assert isinstance(error.__cause__, redis.ConnectionError)
        assert error.delivery == "not_sent"
        assert "retry after" in str(error)
    assert (stats.size, stats.dialling, stats.pending) == (0, 0, 0)


async def test_in_the_pause_a_newcomer_fails_fast_and_nobody_dials(
    bench: Any, proxy: FaultProxy, stopwatch: Any
) -> None:
    pool = bench.pool(proxy.url)
    proxy.accept_then_reset()
    error = await bench.error(pool.acquire)
    while not (isinstance(error, DialFailedError) and error.retry_after > 0.4):
        error = await bench.error(pool.acquire)
        await asyncio.sleep(0.002)
    opened = proxy.connections_opened
    with stopwatch() as watch:
        assert isinstance(await bench.error(pool.acquire), DialFailedError)
    assert watch.seconds < 0.35
    assert proxy.connections_opened == opened


async def test_the_pause_grows_and_is_the_whole_pools(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url)
    proxy.accept_then_reset()
    ended = asyncio.get_running_loop().time() + 1.0

    async def insist() -> None:
        while asyncio.get_running_loop().time() < ended:
            await bench.start(pool.acquire).outcome()
            await asyncio.sleep(0.005)

    await asyncio.gather(*(insist() for _ in range(5)))
    assert 4 <= proxy.connections_opened <= 14  # each pause is up to twice the one before


async def test_after_the_pause_a_dial_is_tried_again(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url)
    proxy.accept_then_reset()
    for _ in range(8):
        error = await bench.error(pool.acquire)
    while not isinstance(error, DialFailedError):
        error = await bench.error(pool.acquire)
    proxy.heal()
    await asyncio.sleep(error.retry_after)
    await bench.give(pool, await bench.get(pool))
    assert pool.health().status == "healthy"


async def test_a_breaker_counts_a_failed_dial_once(bench: Any, dead_url: str) -> None:
    pool = bench.pool(dead_url)
    client = bench.client(pool, policies=[CircuitBreaker(fail_max=1000)])
    errors = await bench.face.together([lambda: client.get("k") for _ in range(20)])
    assert all(isinstance(error, redis.ConnectionError) for error in errors)
    (breaker,) = client.breakers.values()
    assert breaker.fail_counter == pool.stats().dial_failures < 10


async def test_who_may_yet_be_served_waits_on(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, max_connections=2)
    held = await bench.get(pool)
    proxy.refuse()
    waiters = [bench.start(pool.acquire) for _ in range(2)]
    await bench.until(lambda: pool.stats().dial_failures >= 2)
    await bench.until(lambda: pool.stats().pending == 2)
    for _ in waiters:
        await bench.give(pool, held)
        await bench.until(lambda: any(waiter.value is held for waiter in waiters))
        next(waiter for waiter in waiters if waiter.value is held).value = None
    await bench.give(pool, held)


async def test_who_dialled_in_vain_is_served_by_what_came_back_meanwhile(bench: Any, peer: Any) -> None:
    over = threading.Event()
    silent = peer(lambda _: over.wait(10))
    pool = bench.pool(max_connections=2)
    held = await bench.get(pool)
    pool.connection_kwargs["port"] = silent.port
    waiter = bench.start(pool.acquire)
    await bench.until(lambda: len(silent._threads) == 1)
    await bench.give(pool, held)
    over.set()
    assert await waiter.result() is held
    await bench.give(pool, held)
    await bench.until(lambda: pool.stats().dialling == 0)
    assert (pool.stats().size, pool.stats().available) == (1, 1)


async def test_a_refused_handshake_reaches_the_borrower_and_costs_no_slot(bench: Any) -> None:
    with EmbeddedServer.start(password="right") as server:
        pool = bench.pool(f"redis://:wrong@{server.host}:{server.port}", max_connections=1)
        error = await bench.error(pool.acquire)
        assert isinstance(error, redis.AuthenticationError)
        assert (pool.stats().size, pool.stats().dialling, pool.stats().dial_failures) == (0, 0, 1)
        pool.connection_kwargs["password"] = "right"
        await asyncio.sleep(0.01)
        await bench.give(pool, await bench.get(pool))


@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_request", "half_reply"])
async def test_a_handshake_that_breaks_off_leaves_nothing_behind(bench: Any, proxy: FaultProxy, fault: str) -> None:
    pool = bench.pool(proxy.url, max_connections=1)
    proxy.inject(fault, 1, handshake=True)
    assert isinstance(await bench.error(pool.acquire), redis.ConnectionError)
    await bench.until(lambda: proxy.open_connections == 0)
    await asyncio.sleep(0.01)
    connection = await bench.get(pool)
    assert await bench.ask(connection, "PING") == b"PONG"
    await bench.give(pool, connection)


async def test_a_constructor_that_raises_costs_no_slot(bench: Any) -> None:
    broken = True

    class Moody(bench.names.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if broken:
                raise ValueError("not today")
            super().__init__(*args, **kwargs)

    pool = bench.pool(connection_class=Moody, max_connections=1)
    for _ in range(2):
        assert isinstance(await bench.error(pool.acquire), ValueError)
        await asyncio.sleep(0.015)
    assert (pool.stats().size, pool.stats().dialling, pool.stats().closing) == (0, 0, 0)
    broken = False
    await bench.give(pool, await bench.get(pool))
    assert pool.stats().available == 1


async def test_a_listener_that_raises_in_the_handshake_leaves_nothing_behind(bench: Any) -> None:
    class Odd(Exception):
        pass

    def fail(_: Any) -> None:
        raise Odd

    pool = bench.pool(max_connections=1, redis_connect_func=fail)
    assert isinstance(await bench.error(pool.acquire), Odd)
    await bench.rest()
    assert (pool.stats().size, pool.stats().dialling) == (0, 0)
    pool.connection_kwargs.pop("redis_connect_func")
    await bench.give(pool, await bench.get(pool))
    assert len(bench.sockets()) == 1
