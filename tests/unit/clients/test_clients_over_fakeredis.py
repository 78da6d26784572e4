"""The clients over fakeredis: users test their code so, without a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio

import resilient_redis.asyncio
from resilient_redis import CircuitBreaker, CircuitOpenError, Fallback, ResilientRedis, Retry, Timeout

STACK = [Fallback(None), Retry(attempts=2, wait_initial=0, wait_max=0), CircuitBreaker(fail_max=2), Timeout(2)]
FAKE = fakeredis.FakeRedis().connection_pool.connection_class
FAKE_ASYNC = fakeredis.FakeAsyncRedis().connection_pool.connection_class
Make = Callable[..., tuple[Any, fakeredis.FakeServer]]


def sync_client(**options: Any) -> tuple[ResilientRedis, fakeredis.FakeServer]:
    server = fakeredis.FakeServer()
    pool = redis.ConnectionPool(connection_class=FAKE, server=server, host="fake", port=1)
    return ResilientRedis(connection_pool=pool, **options), server


def async_client(**options: Any) -> tuple[Any, fakeredis.FakeServer]:
    server = fakeredis.FakeServer()
    pool = redis.asyncio.ConnectionPool(connection_class=FAKE_ASYNC, server=server, host="fake", port=1)
    return resilient_redis.asyncio.ResilientRedis(connection_pool=pool, **options), server


def test_commands_pipelines_and_transactions_sync() -> None:
    client, _ = sync_client(policies=STACK)
    assert client.set("k", "v")
    assert client.get("k") == b"v"
    pipe = client.pipeline()
    pipe.incr("n").incr("n")
    assert pipe.execute() == [1, 2]
    assert client.transaction(lambda pipe: pipe.multi() or pipe.incr("n"), "n") == [3]
    assert list(client.scan_iter("k*")) == [b"k"]


async def test_commands_pipelines_and_transactions_asyncio() -> None:
    client, _ = async_client(policies=STACK)
    assert await client.set("k", "v")
    assert await client.get("k") == b"v"
    pipe = client.pipeline()
    pipe.incr("n").incr("n")
    assert await pipe.execute() == [1, 2]

    async def add(pipe: Any) -> None:
        pipe.multi()
        pipe.incr("n")

    assert await client.transaction(add, "n") == [3]
    assert [key async for key in client.scan_iter("k*")] == [b"k"]
    await client.connection_pool.disconnect()


def test_an_outage_is_masked_and_opens_the_circuit_sync() -> None:
    client, server = sync_client(policies=STACK)
    client.set("k", "v")
    server.connected = False
    assert [client.get("k") for _ in range(3)] == [None] * 3
    assert client.breakers["circuit_breaker"].state == "open"
    with pytest.raises(CircuitOpenError):
        client.set("k", "w")
    server.connected = True
    client.breakers["circuit_breaker"].reset()
    assert client.get("k") == b"v"


async def test_an_outage_is_masked_and_opens_the_circuit_asyncio() -> None:
    client, server = async_client(policies=STACK)
    await client.set("k", "v")
    server.connected = False
    assert [await client.get("k") for _ in range(3)] == [None] * 3
    assert client.breakers["circuit_breaker"].state == "open"
    with pytest.raises(CircuitOpenError):
        await client.set("k", "w")
    server.connected = True
    client.breakers["circuit_breaker"].reset()
    assert await client.get("k") == b"v"
    await client.connection_pool.disconnect()


def test_pubsub_and_locks_sync() -> None:
    client, _ = sync_client(policies=STACK)
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("c")
    pubsub.get_message(timeout=1)
    client.publish("c", "hello")
    assert pubsub.get_message(timeout=1)["data"] == b"hello"
    pubsub.close()
    lock = client.lock("l", timeout=5)
    assert lock.acquire(blocking=False)
    assert client.lock("l", timeout=5).acquire(blocking=False) is False


@pytest.mark.parametrize("make", [sync_client, async_client])
def test_describe_and_repr_need_no_server(make: Make) -> None:
    client, server = make(policies=STACK)
    server.connected = False
    assert "fake:1" in client.describe()
    assert "fallback > retry > circuit_breaker > timeout" in repr(client)
