"""Replies and messages that are not in the encoding, on a shared connection: nobody gets a neighbour's reply."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import redis

from resilient_redis import Timeout
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

ONCE: list[Any] = [Timeout(2)]


@pytest.fixture
def raw(server: EmbeddedServer) -> Any:
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        client.set("bad", b"\xff\xfe")
        client.rpush("bads", b"\xff", "ok", b"\xfe")
        client.mset({f"k{number}": f"caf\xe9 {number}" for number in range(20)})
        yield client


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_reply_that_is_not_in_the_encoding_is_an_error_of_its_own_caller_only(
    shared: Any, face: Any, server: EmbeddedServer, raw: Any, protocol: int
) -> None:
    client = shared(server.url, ONCE, decode_responses=True, protocol=protocol)
    bad = [lambda: client.get("bad"), lambda: client.lrange("bads", 0, -1)]
    good = [lambda number=number: client.get(f"k{number}") for number in range(20)]
    replies = await face.together([*bad, *good[:10], *bad, *good[10:]])
    errors = [reply for reply in replies if isinstance(reply, Exception)]
    assert [type(error) for error in errors] == [UnicodeDecodeError] * 4
    assert [reply for reply in replies if isinstance(reply, str)] == [f"caf\xe9 {number}" for number in range(20)]
    for job in bad:
        assert isinstance(await face.error(job), UnicodeDecodeError), "raised, not returned"
    assert client.connection_pool.stats().lines.opened == 1


async def test_replies_of_all_shapes_are_text_where_the_client_decodes(
    shared: Any, face: Any, server: EmbeddedServer
) -> None:
    client = shared(server.url, ONCE, decode_responses=True, protocol=3)
    await face.run(client.hset, "h", mapping={"a": "\xe9", "b": "2"})
    await face.run(client.zadd, "z", {"m": 1.5})
    await face.run(client.sadd, "s", "x")
    assert await face.run(client.hgetall, "h") == {"a": "\xe9", "b": "2"}
    assert await face.run(client.smembers, "s") == {"x"}
    assert await face.run(client.zrange, "z", 0, -1, withscores=True) == [["m", 1.5]]
    pipe = client.pipeline(transaction=True)
    pipe.hgetall("h")
    pipe.get("none")
    assert await face.run(pipe.execute) == [{"a": "\xe9", "b": "2"}, None]


async def test_a_message_of_the_servers_that_is_not_in_the_encoding_shifts_nothing(
    shared: Any, face: Any, server: EmbeddedServer, raw: Any
) -> None:
    client = shared(server.url, ONCE, decode_responses=True, protocol=3)
    assert await face.run(client.get, "k0") == "caf\xe9 0"
    [connection] = client.connection_pool._get_in_use_connections()
    with contextlib.closing(redis.Redis.from_url(server.url, single_connection_client=True)) as teller:
        teller.execute_command("CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", connection.identity.server_id)
        for turn in range(20):
            raw.set(b"\xff\xfe%d" % turn, 1)
            replies = await face.together([lambda number=number: client.get(f"k{number}") for number in range(20)])
            assert replies == [f"caf\xe9 {number}" for number in range(20)]
    assert client.connection_pool.stats().lines.opened == 1
