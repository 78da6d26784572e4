"""Dialling: how many at once, for whom, and what a failed one costs whom. On both shells."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import redis
import redis.asyncio

from resilient_redis import CircuitBreaker, DialFailedError, PoolTimeoutError, RejectedError, Retry, Timeout
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
        await job.outcome()
    assert pool.stats().dialling == 0


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
    for _ in range(6):
        await bench.error(pool.acquire)
    while not isinstance(await bench.error(pool.acquire), DialFailedError):
        pass
    opened = proxy.connections_opened
    with stopwatch() as watch:
        assert isinstance(await bench.error(pool.acquire), DialFailedError)
    assert watch.seconds < 0.1
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


# Patience


@pytest.mark.parametrize("options", [{"acquire_timeout": 0.15}, {"socket_connect_timeout": 5}], ids=str)
async def test_patience_shorter_than_a_dial_gets_through_in_the_end(
    bench: Any, proxy: FaultProxy, options: dict[str, Any]
) -> None:
    pool = bench.pool(proxy.url, protocol=3, **options)  # a handshake of three round trips
    proxy.delay(0.1)
    for _ in range(20):
        try:
            connection = await bench.get(pool, timeout=0.15)
        except (redis.TimeoutError, PoolTimeoutError):
            continue
        break
    else:
        raise AssertionError("it never got through")
    await bench.give(pool, connection)
    assert pool.stats().dials <= 3


async def test_a_calls_short_deadline_gets_through_in_the_end(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, protocol=3)
    policies = [Retry(attempts=50, wait_initial=0.01, wait_max=0.02, total_time=10), Timeout(0.2)]
    proxy.delay(0.08)  # less than the deadline, but a dial has several
    job = bench.start(bench.client(pool, policies=policies).get, "k")
    await bench.until(lambda: pool.stats().dials == 1)
    proxy.delay(0)  # else the GET itself may lack the time, attempt after attempt
    assert await job.result() is None


async def test_a_dial_that_had_all_its_time_is_a_failed_one(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, acquire_timeout=0.2, socket_connect_timeout=0.2, background=False)
    proxy.black_hole()
    error = await bench.error(pool.acquire)
    assert isinstance(error, (redis.TimeoutError, redis.ConnectionError))
    await bench.until(lambda: pool.stats().dial_failures == 1)


async def test_a_cancelled_borrower_does_not_cancel_the_dial(bench: Any, proxy: FaultProxy) -> None:
    if bench.is_sync:
        pytest.skip("threads cannot be cancelled")
    pool = bench.pool(proxy.url)
    proxy.delay(0.05)
    job = bench.start(pool.acquire)
    await bench.until(lambda: proxy.connections_opened == 1)
    bench.cancel(job)
    assert isinstance(await job.outcome(), asyncio.CancelledError)
    connection = await bench.get(pool)
    assert (proxy.connections_opened, pool.stats().dials) == (1, 1)
    await bench.give(pool, connection)


async def test_a_dial_whose_only_borrower_has_left_ends_idle(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, socket_connect_timeout=5, protocol=3)
    proxy.delay(0.1)
    await bench.error(pool.acquire, timeout=0.05)
    if bench.is_sync:  # the first was made in the borrower's own thread, and ended with its patience
        await bench.error(pool.acquire, timeout=0.05)
    await bench.until(lambda: pool.stats().available == 1)
    await bench.give(pool, await bench.get(pool, timeout=0))


# No thread


def test_without_background_no_thread_is_ever_started(
    server: EmbeddedServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resilient_redis import ResilientConnectionPool, ResilientRedis

    def start(thread: threading.Thread) -> None:
        raise AssertionError(f"{thread.name} was started")

    before = threading.enumerate()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        pool = ResilientConnectionPool.from_url(
            proxy.url, max_connections=2, min_idle=2, background=False, maintenance_interval=0.05, acquire_timeout=0.3
        )
        client = ResilientRedis(connection_pool=pool, policies=[])
        assert client.set("k", "v")
        assert client.get("k") == b"v"
        # patience shorter than a dial: nothing gets through then, and nothing is lost
        pool.disconnect()
        patch.setattr(threading.Thread, "start", start)
        proxy.delay(0.05)
        for _ in range(3):
            with pytest.raises((redis.TimeoutError, redis.ConnectionError)):
                pool.acquire(timeout=0.02)
        proxy.delay(0)
        assert client.get("k") == b"v"
        # upkeep by borrowers
        proxy.cut_all()
        deadline = pool._now() + 5
        while pool.stats().available < 2:
            assert pool._now() < deadline
            client.connection_pool.release(pool.acquire())
        # a server that does not answer, and one that is back
        proxy.refuse()
        proxy.cut_all()
        with pytest.raises(redis.ConnectionError):
            client.get("k")
        proxy.heal()
        deadline = pool._now() + 5
        while True:
            try:
                assert client.get("k") == b"v"
                break
            except redis.ConnectionError:
                assert pool._now() < deadline
        assert pool.warm_up()
        pool.drain()
        pool.resize(1)
        assert client.get("k") == b"v"
        assert set(threading.enumerate()) <= set(before)
        assert pool.close()


async def test_with_background_there_is_one_thread_for_all_pools(face: Any, server: EmbeddedServer) -> None:
    if face.name != "sync":
        pytest.skip("asyncio pools need no thread")
    from resilient_redis import ResilientConnectionPool

    pools = [face.keep(ResilientConnectionPool.from_url(server.url)) for _ in range(3)]
    threads = [thread for thread in threading.enumerate() if thread.name == "resilient-redis-upkeep"]
    assert [thread.daemon for thread in threads] == [True]
    assert len(pools) == 3


async def test_asyncio_pools_start_no_thread(face: Any, server: EmbeddedServer) -> None:
    if face.name == "sync":
        pytest.skip("of asyncio")
    before = set(threading.enumerate())
    client = face.client(server.url, min_idle=2, maintenance_interval=0.02)
    await face.run(client.set, "k", "v")
    await asyncio.sleep(0.1)
    assert set(threading.enumerate()) <= before
