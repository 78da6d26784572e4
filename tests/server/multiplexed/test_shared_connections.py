"""What shares a connection, what does not, and that everybody gets his own answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from resilient_redis import PoolSaturatedError, RejectedError
from resilient_redis.errors import ConfigError
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.transport.multiplexed.options import Multiplexed

pytestmark = pytest.mark.server


async def test_callers_at_once_share_one_dial_and_one_connection(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url)
    replies = await face.together([lambda: client.incr("n") for _ in range(50)])
    assert sorted(replies) == list(range(1, 51))
    assert proxy.connections_opened == 1
    stats = client.connection_pool.stats()
    assert (stats.dials, stats.borrowed, stats.lines.connected, stats.lines.opened) == (1, 1, 1, 1)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode", [False, True])
async def test_everybody_gets_his_own_answer(
    shared: Any, face: Any, server: EmbeddedServer, protocol: int, decode: bool
) -> None:
    client = shared(server.url, protocol=protocol, decode_responses=decode)
    keys = [f"k{number}" for number in range(150)]
    await face.run(client.mset, {key: f"v:{key}" for key in keys})
    await face.run(client.hset, "h", mapping={"a": "1", "b": "2"})
    replies = await face.together([lambda key=key: client.get(key) for key in keys])
    assert replies == [f"v:{key}" if decode else f"v:{key}".encode() for key in keys]
    found = await face.run(client.hgetall, "h")
    assert found == ({"a": "1", "b": "2"} if decode else {b"a": b"1", b"b": b"2"})


async def test_a_command_that_blocks_holds_nobody_up(shared: Any, face: Any, server: EmbeddedServer) -> None:
    client = shared(server.url)
    await face.run(client.ping)

    async def slowly() -> Any:
        return await face.run(client.blpop, "jobs", 2)

    waiting = asyncio.create_task(slowly())
    await face.pause(0.1)
    for _ in range(3):
        assert await face.run(client.get, "k") is None
    assert not waiting.done()
    await face.run(client.rpush, "jobs", "job")
    assert await waiting == (b"jobs", b"job")
    assert client.connection_pool.stats().lines.connected == 1


async def test_a_large_value_has_a_connection_of_its_own(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, lines={"large": "1KiB"})
    await face.run(client.set, "k", "v" * 900)
    assert proxy.connections_opened == 1
    await face.run(client.set, "k", "v" * 1100)
    assert proxy.connections_opened == 2
    assert len(await face.run(client.get, "k")) == 1100


async def test_what_changes_a_connection_does_not_touch_the_shared_one(
    shared: Any, face: Any, server: EmbeddedServer
) -> None:
    client = shared(server.url)
    await face.run(client.set, "k", "here")
    await face.run(client.execute_command, "SELECT", 5)
    await face.run(client.execute_command, "CLIENT", "REPLY", "ON")
    assert await face.run(client.get, "k") == b"here"
    assert client.connection_pool.stats().lines.opened == 1


async def test_one_more_than_max_unsent_is_refused_at_once_and_was_not_sent(
    shared: Any, face: Any, proxy: FaultProxy
) -> None:
    proxy.delay(0.3)
    client = shared(proxy.url, lines={"max_unsent": 3})
    replies = await face.together([lambda: client.incr("n") for _ in range(5)])
    refused = [reply for reply in replies if isinstance(reply, Exception)]
    assert sorted(reply for reply in replies if not isinstance(reply, Exception)) == [1, 2, 3]
    assert [type(error) for error in refused] == [PoolSaturatedError] * 2
    assert all(isinstance(error, RejectedError) and error.delivery == "not_sent" for error in refused)
    assert "max_unsent=3" in str(refused[0])
    assert client.connection_pool.stats().lines.refused == 2


async def test_more_than_max_in_flight_wait_for_replies(shared: Any, face: Any, server: EmbeddedServer) -> None:
    client = shared(server.url, lines={"max_in_flight": 4})
    await face.run(client.ping)
    replies = await face.together([lambda: client.incr("n") for _ in range(60)])
    assert sorted(replies) == list(range(1, 61))


async def test_an_error_reply_is_only_its_own_callers(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url)
    await face.run(client.set, "text", "t")
    jobs = [lambda: client.get("text"), lambda: client.lpush("text", 1), lambda: client.get("text")]
    first, error, last = await face.together(jobs)
    assert (first, last) == (b"t", b"t")
    assert isinstance(error, redis.ResponseError)
    assert (error.delivery, error.attempts) == ("rejected", 1)
    assert proxy.connections_opened == 1


async def test_loading_is_one_callers_error_and_no_lost_connection(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, policies=[])
    await face.run(client.set, "k", "v")
    proxy.reply_error("LOADING Redis is loading the dataset in memory")
    error = await face.error(client.get, "k")
    assert isinstance(error, redis.BusyLoadingError)
    assert error.delivery == "rejected"
    assert await face.run(client.get, "k") == b"v"
    assert proxy.connections_opened == 1


async def test_a_reply_that_cannot_be_decoded_is_only_its_own_callers(
    shared: Any, face: Any, server: EmbeddedServer
) -> None:
    client = shared(server.url, decode_responses=True, policies=[])
    server.execute("SET", "binary", b"\xff\xfe")
    server.execute("SET", "text", "t")
    first, error, last = await face.together(
        [lambda: client.get("text"), lambda: client.get("binary"), lambda: client.get("text")]
    )
    assert (first, last) == ("t", "t")
    assert isinstance(error, UnicodeDecodeError)
    assert client.connection_pool.stats().lines.opened == 1


async def test_two_connections_share_the_load(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, lines={"connections": 2})
    replies = await face.together([lambda: client.incr("n") for _ in range(40)])
    assert sorted(replies) == list(range(1, 41))
    assert proxy.connections_opened == 2


async def test_clients_over_one_pool_share_the_same_connections(shared: Any, face: Any, proxy: FaultProxy) -> None:
    first = shared(proxy.url)
    await face.run(first.set, "k", "v")
    second = face.client(connection_pool=first.connection_pool)
    assert await face.run(second.get, "k") == b"v"
    assert proxy.connections_opened == 1


async def test_a_pool_of_redis_pys_can_be_shared_too(face: Any, proxy: FaultProxy) -> None:
    pool = face.keep(face.names.ConnectionPool.from_url(proxy.url))
    client = face.client(connection_pool=pool, strategy="multiplexed")
    replies = await face.together([lambda: client.incr("n") for _ in range(20)])
    assert sorted(replies) == list(range(1, 21))
    assert proxy.connections_opened == 1


async def test_two_strategies_for_one_pool_are_an_error_that_names_both(shared: Any, face: Any, server: Any) -> None:
    client = shared(server.url, lines={"max_unsent": 7})
    with pytest.raises(ConfigError, match=r"Multiplexed\(max_unsent=7\).*'pooled'") as caught:
        face.client(connection_pool=client.connection_pool, strategy="pooled")
    assert caught.value.field == "strategy"
    face.client(connection_pool=client.connection_pool, strategy=Multiplexed(max_unsent=7))


async def test_a_pool_without_room_for_leases_is_an_error(face: Any, server: EmbeddedServer) -> None:
    with pytest.raises(ConfigError, match=r"max_connections=2.*allow 3 or more"):
        face.client(server.url, strategy=Multiplexed(connections=2), max_connections=2)


async def test_the_client_describes_how_it_shares(shared: Any, face: Any, server: EmbeddedServer) -> None:
    assert "multiplexed: 1 shared connection, at most 200 commands unsent" in shared(server.url).describe()
    apart = shared(server.url, health_check_interval=30)
    assert "nothing is shared: health_check_interval" in apart.describe()
    assert await face.run(apart.ping) is True


async def test_the_client_tells_when_its_pool_turned_out_to_have_what_cannot_be_shared(
    face: Any, server: EmbeddedServer
) -> None:
    theirs: Any = redis if face.name == "sync" else redis.asyncio
    pool = theirs.ConnectionPool.from_url(server.url)
    assert await face.run(theirs.Redis(connection_pool=pool).ping) is True
    client = face.client(connection_pool=pool, strategy=Multiplexed())
    assert "multiplexed: 1 shared connection" in client.describe()
    assert await face.run(client.ping) is True
    assert "nothing is shared: a connection that the pool had already is of a kind" in client.describe()
    await face.run(pool.disconnect)


async def test_a_shared_connection_is_no_leak_and_no_old_lease(shared: Any, face: Any, server: EmbeddedServer) -> None:
    client = shared(server.url, leak_threshold=0.01)
    await face.run(client.ping)
    await face.pause(0.05)
    assert client.connection_pool.stats().oldest_lease is None
    assert client.health().status == "healthy"


@pytest.mark.parametrize("kind", ["tls", "unix"])
async def test_tls_and_unix_sockets_are_shared(shared: Any, face: Any, kind: str, request: Any, tmp_path: Any) -> None:
    if kind == "tls":
        tls = request.getfixturevalue("tls_server")
        client = shared(tls.url, ssl_ca_certs=str(request.getfixturevalue("tls_files").ca))
        await replies_are_right(client, face)
        return
    path = str(tmp_path / "redis.sock")
    with EmbeddedServer.start(unixsocket=path):
        await replies_are_right(shared(f"unix://{path}"), face)
        await face.close()


async def replies_are_right(client: Any, face: Any) -> None:
    await face.run(client.delete, "n")
    replies = await face.together([lambda: client.incr("n") for _ in range(100)])
    assert sorted(replies) == list(range(1, 101))
    assert client.connection_pool.stats().lines.opened == 1
