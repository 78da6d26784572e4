"""Our pool behind real sentinels: a failover moves it, and nothing of the old master is lent again. Both shells."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio.sentinel
import redis.sentinel
from redis.backoff import NoBackoff
from sentinel_cluster import SERVICE, Cluster

from resilient_redis import Fallback, Retry
from resilient_redis.pool import aio_sentinel, sentinel
from resilient_redis.testing import ServerNotFoundError, find_server

pytestmark = [pytest.mark.server, pytest.mark.timeout(90)]


def started() -> Cluster:
    try:
        find_server(prefer="redis-server")
    except ServerNotFoundError:
        pytest.skip("needs a redis-server, which can be a sentinel")
    return Cluster()


@pytest.fixture(scope="module")
def calm_cluster() -> Iterator[Cluster]:
    """Of several tests: nobody is to fail over."""
    with started() as made:
        yield made


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Of one test alone."""
    with started() as made:
        yield made


def sentinel_of(bench: Any, addresses: list[tuple[str, int]]) -> Any:
    names = redis.sentinel if bench.is_sync else redis.asyncio.sentinel
    once = bench.face.retry_class(NoBackoff(), 0)
    manager = names.Sentinel(addresses, sentinel_kwargs={"socket_timeout": 1, "retry": once})
    for one in manager.sentinels:
        bench.face.keep(one)
    return manager


@pytest.fixture
def pool_class(bench: Any) -> Any:
    return (sentinel if bench.is_sync else aio_sentinel).ResilientSentinelConnectionPool


async def port_of(bench: Any, connection: Any) -> int:
    """That of the server at the other end."""
    reply = await bench.ask(connection, "CONFIG", "GET", "port")
    value = reply["port"] if isinstance(reply, dict) and "port" in reply else None
    if value is None:
        value = dict(reply)[b"port"] if isinstance(reply, dict) else reply[1]
    return int(value)


async def test_a_failover_moves_the_pool(bench: Any, cluster: Cluster, pool_class: Any) -> None:
    manager = sentinel_of(bench, cluster.addresses)
    options = {"redis_class": bench.face.Client, "connection_pool_class": pool_class}
    client = bench.face.keep(manager.master_for(SERVICE, **options, policies=[], max_connections=3, acquire_timeout=2))
    pool = client.connection_pool
    assert isinstance(pool, (redis.sentinel.SentinelConnectionPool, redis.asyncio.sentinel.SentinelConnectionPool))
    assert f"{SERVICE} (master)/0" in repr(pool)
    await bench.run(client.set, "k", "v")
    idle, lent = await bench.fill(pool, 2)
    assert [await port_of(bench, one) for one in (idle, lent)] == [cluster.master.port] * 2
    await bench.give(pool, idle)
    await bench.run(client.wait, 1, 1000)
    await asyncio.to_thread(cluster.fail_over)

    async def served() -> bool:
        try:
            return bool(await bench.run(client.set, "k", "w"))
        except redis.RedisError:
            await asyncio.sleep(0.05)
            return False

    for _ in range(100):
        if await served():
            break
    else:
        raise AssertionError("nobody is served after the failover")
    await bench.give(pool, lent)  # it leads to the old master
    await bench.until(lambda: pool.stats().closing == 0)
    assert pool.stats().size == pool.stats().available == 1
    connection = await bench.get(pool)
    assert await port_of(bench, connection) == cluster.replica.port
    await bench.give(pool, connection)


async def test_what_is_lent_ends_when_the_master_has_moved_though_it_is_well(
    bench: Any, calm_cluster: Cluster, pool_class: Any
) -> None:
    """The old master may be alive, cut off from the sentinels only."""
    pool = bench.face.keep(pool_class(SERVICE, sentinel_of(bench, calm_cluster.addresses), max_connections=3))
    idle, lent = await bench.fill(pool, 2)
    await bench.give(pool, idle)
    await bench.run(pool.disconnect, False)  # redis-py's call when a dial is sent elsewhere
    assert await bench.ask(lent, "PING") == b"PONG"
    await bench.give(pool, lent)
    await bench.until(lambda: pool.stats().closing == 0)
    assert (pool.stats().size, pool.stats().closes["moving"]) == (0, 2)
    await bench.give(pool, await bench.get(pool))
    assert pool.stats().available == 1


async def test_replicas_are_dialled_for_reads(bench: Any, calm_cluster: Cluster, pool_class: Any) -> None:
    manager = sentinel_of(bench, calm_cluster.addresses)
    options = {"redis_class": bench.face.Client, "connection_pool_class": pool_class}
    client = bench.face.keep(manager.slave_for(SERVICE, **options, policies=[], max_connections=2))
    assert await bench.run(client.get, "k") is None
    connection = await bench.get(client.connection_pool)
    assert await port_of(bench, connection) == calm_cluster.replica.port
    assert client.connection_pool.name == f"{SERVICE} (replica)/0"
    await bench.give(client.connection_pool, connection)


async def test_policies_of_the_pool_guard_redis_pys_own_client(bench: Any, pool_class: Any) -> None:
    nobody = sentinel_of(bench, [("127.0.0.1", 1)])
    pool = bench.face.keep(pool_class(SERVICE, nobody, policies=[Fallback("?"), Retry(attempts=2)]))
    assert await bench.run(bench.stock(pool).get, "k") == "?"
    assert pool.stats().dial_failures == 2


async def test_without_a_sentinel_there_is_a_clear_error_and_a_pause(bench: Any, pool_class: Any) -> None:
    pool = bench.face.keep(pool_class(SERVICE, sentinel_of(bench, [("127.0.0.1", 1)]), max_connections=2))
    error = await bench.error(pool.acquire)
    assert isinstance(error, redis.ConnectionError)
    assert SERVICE in str(error)
    stats = pool.stats()
    assert (stats.size, stats.dialling, stats.dial_failures) == (0, 0, 1)
