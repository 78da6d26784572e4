"""redis-py's client-side cache over our pools. Threads only: redis-py has none for asyncio."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection

from resilient_redis import ResilientConnectionPool, ResilientRedis
from resilient_redis.testing import EmbeddedServer


@pytest.fixture(autouse=True)
def any_server_will_do(monkeypatch: pytest.MonkeyPatch, server: EmbeddedServer) -> None:
    """redis-py caches over "redis" from 7.4 on alone; what it needs, every server here has."""
    name = "valkey" if b"valkey" in server.execute("HELLO", "3") else "redis"
    monkeypatch.setattr(CacheProxyConnection, "DEFAULT_SERVER_NAME", name)
    monkeypatch.setattr(CacheProxyConnection, "MIN_ALLOWED_VERSION", "6.0.0")


def cached_options() -> dict[str, Any]:
    return {"protocol": 3, "decode_responses": True, "cache_config": CacheConfig(max_size=100)}


@pytest.fixture(params=["stock", "pool", "client"])
def client(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Any]:
    """redis-py's own; redis-py's over our pool; ours."""
    if request.param == "client":
        made: Any = ResilientRedis(host=server.host, port=server.port, **cached_options())
    else:
        kind = redis.ConnectionPool if request.param == "stock" else ResilientConnectionPool
        made = redis.Redis(connection_pool=kind.from_url(server.url, **cached_options()))
    yield made
    made.connection_pool.disconnect()
    made.close()


@pytest.fixture
def other(server: EmbeddedServer) -> Iterator[Any]:
    """Somebody else, who changes things."""
    with redis.Redis.from_url(server.url, decode_responses=True) as made:
        yield made


def reads(server: EmbeddedServer) -> int:
    for line in server.execute("INFO", "commandstats").split(b"\r\n"):
        if line.startswith(b"cmdstat_get:"):
            return int(line.split(b"calls=")[1].split(b",")[0])
    return 0


def soon(look: Callable[[], Any], value: Any) -> None:
    deadline = time.monotonic() + 5
    while look() != value:
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.002)


def test_what_was_read_is_not_asked_again(client: Any, server: EmbeddedServer) -> None:
    client.set("k", "1")
    before = reads(server)
    assert [client.get("k") for _ in range(5)] == ["1"] * 5
    assert reads(server) == before + 1
    assert client.get_cache() is client.connection_pool.cache


def test_a_change_is_heard(client: Any, other: Any, server: EmbeddedServer) -> None:
    client.set("k", "1")
    for value in ("2", "3", "4"):
        client.get("k")
        other.set("k", value)
        soon(lambda: client.get("k"), value)
    before = reads(server)
    client.get("k")
    assert reads(server) == before


def test_a_change_reaches_an_idle_connection(client: Any, other: Any) -> None:
    """The one that read it is not the one that is borrowed next."""
    pool = client.connection_pool
    client.set("k", "1")
    client.get("k")
    keeper = pool.get_connection()  # of the cached value
    assert client.get("k") == "1"
    pool.release(keeper)
    other.set("k", "2")
    soon(lambda: client.get("k"), "2")


def test_a_flush_is_heard(client: Any, other: Any) -> None:
    client.set("k", "1")
    client.get("k")
    other.flushall()
    soon(lambda: client.get("k"), None)


# Ours alone


@pytest.fixture
def pool(server: EmbeddedServer) -> Iterator[ResilientConnectionPool]:
    with ResilientConnectionPool.from_url(server.url, acquire_timeout=2, **cached_options()) as made:
        yield made


def test_a_push_that_waits_is_no_dirt(pool: ResilientConnectionPool, other: Any) -> None:
    client = redis.Redis(connection_pool=pool)
    client.set("k", "1")
    client.get("k")
    other.set("k", "2")
    time.sleep(0.05)
    pool.maintain()
    assert pool.cache.size == 0
    assert client.get("k") == "2"
    assert pool.stats().closes == {}
    assert pool.stats().dials == 1


def test_what_a_command_makes_of_it_is_seen_through_the_proxy(pool: ResilientConnectionPool) -> None:
    lent = pool.get_connection()
    assert isinstance(lent, CacheProxyConnection)
    lent.send_command("MULTI")
    lent.read_response()
    pool.release(lent)
    assert pool.stats().closes == {"multi": 1}
    lent = pool.get_connection()
    lent.send_command("PING")
    pool.release(lent)  # its reply is on the way
    assert pool.stats().closes == {"multi": 1, "unread": 1}
    assert redis.Redis(connection_pool=pool).set("k", "1")


def test_a_connection_that_ends_takes_the_cache_with_it(pool: ResilientConnectionPool, other: Any) -> None:
    """The server tells of changes on the connection that read; without it nobody would hear."""
    client = redis.Redis(connection_pool=pool)
    client.set("k", "1")
    client.get("k")
    pool.disconnect()
    assert pool.cache.size == 0
    other.set("k", "2")
    assert client.get("k") == "2"


def test_a_retry_is_set_below_the_proxy_too(pool: ResilientConnectionPool) -> None:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    lent = pool.get_connection()
    retry = Retry(NoBackoff(), 0)
    pool.set_retry(retry)
    assert lent.retry is retry
    assert lent._conn.retry is retry
    pool.release(lent)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_reads_for_itself(pool: ResilientConnectionPool, server: EmbeddedServer) -> None:
    """What the parent's connections would be told, the child never hears."""
    client = redis.Redis(connection_pool=pool)
    client.set("k", "1")
    client.get("k")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            server.execute("SET", "k", "2")
            code = 0 if client.get("k") == "2" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.get("k") in ("1", "2")
    soon(lambda: client.get("k"), "2")
