"""Dials and time: patience, threads, budgets. On both shells."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import redis
import redis.asyncio

from resilient_redis import PoolTimeoutError, Retry, Timeout
from resilient_redis.pool.budgets.base import BaseBudget
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server


@pytest.fixture
def dead_url() -> str:
    """Nobody listens there."""
    return f"redis://127.0.0.1:{free_port()}"


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


# A budget


class Purse(BaseBudget):
    """A budget that the test fills."""

    allowed = 0

    def _allowed(self) -> int:
        return self.allowed

    def maintain(self, now: float) -> None:
        pass

    def describe(self) -> str:
        return f"{self.allowed} allowed"


async def test_a_warm_up_that_the_budget_refuses_stands_in_nobodys_way(bench: Any, stopwatch: Any) -> None:
    purse = Purse()
    pool = bench.pool(min_idle=2, budget=purse, max_connections=2)
    assert not await bench.run(pool.warm_up, timeout=0.1)
    purse.allowed = 2
    with stopwatch() as watch:
        await bench.give(pool, await bench.get(pool))
    assert watch.seconds < 1
    assert await bench.run(pool.warm_up)
    assert (purse.taken, pool.stats().size, pool.stats().dialling) == (2, 2, 0)


async def test_a_borrower_waits_for_the_budget_until_its_deadline(bench: Any) -> None:
    purse = Purse()
    pool = bench.pool(budget=purse)
    assert isinstance(await bench.error(pool.acquire, timeout=0.1), redis.RedisError)
    job = bench.start(pool.acquire)
    await bench.until(lambda: pool.stats().pending == 1)
    purse.allowed = 1
    await bench.give(pool, await job.result())
    assert purse.taken == 1
    await bench.close(pool)
    await bench.until(lambda: purse.taken == 0)


async def test_dials_that_fail_give_to_the_budget_what_they_took(bench: Any, dead_url: str) -> None:
    purse = Purse()
    purse.allowed = 5
    pool = bench.pool(dead_url, budget=purse)
    for _ in range(4):
        await bench.error(pool.acquire)
    await bench.until(lambda: purse.taken == 0)
