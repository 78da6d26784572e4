"""Clients make their pool through redis-py's constructor; it becomes one of ours before it is used."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.cache import CacheConfig

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import ConfigError, ResilientRedis
from resilient_redis.testing import EmbeddedServer

NO_LIMIT = 2**31  # max_connections where none was given, before redis-py 8


@pytest.fixture
def ours(bench: Any) -> Any:
    """Is it a pool of ours, and redis-py's too?"""

    def check(pool: Any) -> bool:
        return isinstance(pool, bench.Pool) and isinstance(pool, bench.names.ConnectionPool)

    return check


async def test_the_pool_of_a_client_is_ours(bench: Any, ours: Any, server: EmbeddedServer) -> None:
    by_name = bench.face.client(host=server.host, port=server.port)
    by_url = bench.face.client(server.url)
    for client in (by_name, by_url):
        assert ours(client.connection_pool)
        assert client.connection_pool.options.max_connections == 100
        assert await bench.run(client.set, "k", "1")
        assert client.connection_pool.stats().dials == 1


@pytest.mark.parametrize("asked", [7, "7"])
async def test_max_connections_is_the_pools(bench: Any, server: EmbeddedServer, asked: Any) -> None:
    clients = [bench.face.client(f"{server.url}?max_connections={asked}")]
    if isinstance(asked, int):
        clients.append(bench.face.client(host=server.host, port=server.port, max_connections=asked))
        clients.append(bench.face.client(server.url, max_connections=asked))
    for client in clients:
        assert client.connection_pool.max_connections == client.connection_pool.stats().max == 7


async def test_the_old_no_limit_becomes_our_default(bench: Any, server: EmbeddedServer) -> None:
    from resilient_redis.pool.adoption import make_resilient

    for most, becomes in ((NO_LIMIT, 100), (NO_LIMIT - 1, NO_LIMIT - 1), (1, 1)):
        pool = bench.face.keep(bench.names.ConnectionPool.from_url(server.url, max_connections=most))
        make_resilient(pool, {})
        assert pool.stats().max == becomes


async def test_a_pool_takes_redis_pys_arguments_by_position(bench: Any, server: EmbeddedServer) -> None:
    pool = bench.face.keep(bench.Pool(bench.names.Connection, 3, host=server.host, port=server.port))
    assert pool.max_connections == 3
    await bench.stock_up(pool, 3)


async def test_a_single_connection_comes_from_our_pool_and_goes_back(
    bench: Any, ours: Any, server: EmbeddedServer
) -> None:
    client = bench.face.client(host=server.host, port=server.port, single_connection_client=True)
    pool = client.connection_pool
    await bench.run(client.set, "k", "1")
    assert ours(pool)
    assert pool.stats().borrowed == pool.stats().dials == 1
    assert await bench.run(client.get, "k") == b"1"
    assert pool.stats().borrows == 1
    await bench.close_client(client)
    assert pool.stats().borrowed == 0
    assert pool.stats().closes == {"disconnect": 1}


async def test_a_unix_socket(bench: Any, ours: Any) -> None:
    with EmbeddedServer.start(unixsocket=True) as server:
        by_name = bench.face.client(unix_socket_path=server.unixsocket)
        for client in (by_name, bench.face.client(server.unix_url)):
            assert ours(client.connection_pool)
            assert await bench.run(client.set, "k", "1")
            assert str(server.unixsocket) in client.connection_pool.name
            await bench.close_client(client)


async def test_tls(bench: Any, ours: Any, tls_server: EmbeddedServer) -> None:
    ca = str(tls_server._settings.tls.ca)  # type: ignore[union-attr]
    by_name = bench.face.client(host=tls_server.host, port=tls_server.port, ssl=True, ssl_ca_certs=ca)
    for client in (by_name, bench.face.client(tls_server.url)):
        assert ours(client.connection_pool)
        for _ in range(3):
            assert await bench.run(client.ping)
        assert client.connection_pool.stats().dials == 1


@pytest.mark.parametrize("kind", ["ConnectionPool", "BlockingConnectionPool", "Pool"])
async def test_a_pool_that_is_handed_in_stays_what_it_is(bench: Any, server: EmbeddedServer, kind: str) -> None:
    where = bench if kind == "Pool" else bench.names
    pool = bench.face.keep(getattr(where, kind).from_url(server.url, max_connections=4))
    client = bench.client(pool)
    assert client.connection_pool is pool
    assert isinstance(pool, getattr(where, kind))
    assert await bench.run(client.set, "k", "1")
    await bench.close_client(client)
    assert await bench.run(bench.stock(pool).get, "k") == b"1"


async def test_from_pool_takes_the_pool_over(bench: Any, server: EmbeddedServer) -> None:
    pool = bench.pool()
    client = bench.face.keep(bench.face.Client.from_pool(pool))
    assert client.connection_pool is pool
    assert await bench.run(client.set, "k", "1")
    await bench.close_client(client)
    assert pool.stats().size == 0
    stock = bench.names.Redis.from_pool(bench.pool())
    assert await bench.run(stock.set, "k", "1")
    await bench.close_client(stock)
    assert stock.connection_pool.stats().size == 0


async def test_options_for_a_pool_that_is_handed_in_are_refused_by_name(bench: Any) -> None:
    with pytest.raises(ConfigError, match="min_idle: the pool in connection_pool has it already"):
        bench.face.Client(connection_pool=bench.pool(), min_idle=2)
    client = bench.face.Client(connection_pool=bench.pool(max_connections=3), max_connections=9)
    assert client.connection_pool.stats().max == 3  # redis-py ignores it then, too


async def test_a_subclass_of_a_client_has_our_pool(bench: Any, ours: Any, server: EmbeddedServer) -> None:
    class Mine(bench.face.Client):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.mine = True

    for client in (Mine(host=server.host, port=server.port, max_connections=3), Mine.from_url(server.url, min_idle=1)):
        bench.face.keep(client)
        assert client.mine
        assert ours(client.connection_pool)
        assert await bench.run(client.set, "k", "1")


async def test_a_subclass_of_our_pool_works_as_ours(bench: Any, server: EmbeddedServer) -> None:
    class Mine(bench.Pool):  # type: ignore[misc]
        made = 0

        def make_connection(self) -> Any:
            type(self).made += 1
            return super().make_connection()

    pool = bench.face.keep(Mine.from_url(server.url, max_connections=2))
    assert await bench.run(bench.client(pool).set, "k", "1")
    assert Mine.made == 1


async def test_redis_py_told_others_of_this_very_pool(bench: Any, server: EmbeddedServer) -> None:
    """It is the same object before and after: what hangs on it goes on working."""
    client = bench.face.client(host=server.host, port=server.port, protocol=3)
    pool = client.connection_pool
    handler = getattr(pool, "_maint_notifications_pool_handler", None)
    if handler is None:
        pytest.skip("nothing hangs on a pool in this redis-py")
    assert handler.pool is pool
    assert pool.connection_kwargs["maint_notifications_pool_handler"] is handler


def test_a_cache_is_the_pools(server: EmbeddedServer) -> None:
    client = ResilientRedis(host=server.host, port=server.port, protocol=3, cache_config=CacheConfig())
    assert client.get_cache() is client.connection_pool.cache is not None


# The pool's methods, as redis-py and others call them


@pytest.mark.parametrize("arguments", [(), ("_",), ("GET",), ("EVALSHA", "key", "key2")])
async def test_get_connection_takes_the_old_arguments(bench: Any, arguments: tuple[str, ...]) -> None:
    pool = bench.pool()
    connection = await bench.run(pool.get_connection, *arguments)
    assert await bench.ask(connection, "PING") == b"PONG"
    await bench.give(pool, connection)
    connection = await bench.run(pool.get_connection, command_name="GET", option=1)
    await bench.give(pool, connection)


async def test_changed_connection_kwargs_hold_for_new_connections(bench: Any) -> None:
    """As rq does it."""
    pool = bench.pool()
    old = await bench.get(pool)
    pool.connection_kwargs["db"] = 3
    pool.connection_kwargs.update({"socket_timeout": 7})
    new = await bench.get(pool)
    assert (old.db, new.db) == (0, 3)
    assert new.socket_timeout == 7
    await bench.give(pool, old, new)
    pool.connection_kwargs = {**pool.connection_kwargs, "db": 4}
    await bench.run(pool.disconnect)
    third = await bench.get(pool)
    assert third.db == 4
    await bench.give(pool, third)


async def test_an_encoder_and_a_protocol(bench: Any) -> None:
    pool, stock = bench.pool(encoding="latin-1", protocol=3), bench.names.ConnectionPool(encoding="latin-1", protocol=3)
    assert pool.get_encoder().encode("ä") == stock.get_encoder().encode("ä") == b"\xe4"
    if hasattr(stock, "get_protocol"):
        assert pool.get_protocol() == stock.get_protocol()


async def test_what_onlookers_see(bench: Any) -> None:
    pool = bench.pool()
    lent = await bench.fill(pool, 3)
    await bench.give(pool, lent[0])
    assert pool._available_connections == [lent[0]]
    assert pool._in_use_connections == set(lent[1:])
    assert pool._get_free_connections() == [lent[0]]
    assert pool._get_in_use_connections() == set(lent[1:])
    if bench.is_sync:
        assert pool._created_connections == 3
        assert not hasattr(bench.names.ConnectionPool, "_get_pool_lock") or pool._get_pool_lock() is pool._lock
    pool._available_connections.clear()  # a copy
    assert pool.stats().available == 1
    await bench.give(pool, *lent[1:])


async def test_a_connection_knows_its_pool(bench: Any) -> None:
    pool = bench.pool()
    connection = await bench.get(pool)
    if bench.is_sync:
        assert pool.owns_connection(connection)
    await bench.give(pool, connection)
    assert bench.names.Redis(connection_pool=pool).connection_pool is pool


async def test_disconnect_of_the_idle_leaves_what_is_lent(bench: Any) -> None:
    pool = bench.pool()
    lent = await bench.fill(pool, 3)
    await bench.give(pool, lent[0], lent[1])
    await bench.run(pool.disconnect, inuse_connections=False)
    assert await bench.ask(lent[2], "PING") == b"PONG"
    await bench.give(pool, lent[2])
    assert pool.stats().available == 1
    assert pool.stats().closes == {"disconnect": 2}


async def test_disconnect_cuts_off_and_the_pool_goes_on(bench: Any) -> None:
    pool = bench.pool()
    lent = await bench.fill(pool, 2)
    await bench.give(pool, lent[0])
    await bench.run(pool.disconnect)
    assert isinstance(await bench.error(bench.ask, lent[1], "PING"), redis.ConnectionError)
    await bench.give(pool, lent[1])
    assert await bench.run(bench.stock(pool).ping)
    assert pool.stats().size == 1


async def test_reset_begins_anew(bench: Any) -> None:
    pool = bench.pool()
    lent = await bench.fill(pool, 2)
    await bench.give(pool, lent[0])
    pool.reset()
    assert pool.stats().size == 0
    await bench.give(pool, lent[1])  # closed, and no error
    assert not lent[1].is_connected if not bench.is_sync else lent[1]._sock is None
    assert await bench.run(bench.stock(pool).ping)


async def test_asyncio_pools_have_redis_pys_steps(bench: Any) -> None:
    if bench.is_sync:
        pytest.skip("of redis.asyncio")
    pool = bench.pool(max_connections=2)
    assert pool.can_get_connection()
    with pytest.raises(resilient_redis.PoolTimeoutError, match="no connection is idle"):
        pool.get_available_connection()
    await bench.stock_up(pool, 1)
    connection = pool.get_available_connection()
    await pool.ensure_connection(connection)
    assert pool.stats().borrowed == 1
    other = await pool.get_connection()
    assert other is not connection
    assert not pool.can_get_connection()
    await bench.give(pool, connection, other)


async def test_max_connections_can_be_set(bench: Any) -> None:
    pool = bench.pool(max_connections=2, acquire_timeout=5)
    lent = await bench.fill(pool, 2)
    pool.max_connections = 3
    lent.append(await bench.get(pool))
    await bench.give(pool, *lent)
    assert pool.stats().max == 3


async def test_a_repr_has_no_secret_in_it(bench: Any, server: EmbeddedServer) -> None:
    pool = bench.Pool.from_url("redis://me:secret@localhost:1/2")
    assert "secret" not in repr(pool)
    assert "localhost:1/2" in repr(pool)


async def test_copies_are_as_redis_pys(bench: Any) -> None:
    """A deep copy and a pickle fail, as a lock is in it; a copy shares everything."""
    pool = bench.pool()
    locked = bench.is_sync or redis.__version__ >= "7"  # before, an asyncio pool had no lock that cannot be copied
    for way in (copy.deepcopy, pickle.dumps) if locked else ():
        with pytest.raises((TypeError, pickle.PicklingError)):
            way(pool)
    await bench.stock_up(pool, 1)
    twin = copy.copy(pool)
    assert twin.stats().available == 1
    connection = await bench.get(twin)
    await bench.give(pool, connection)
