"""Every family of commands answers on the lean path as redis-py's own client does, alone and in pipelines."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import redis

from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.transport import aio_surfaces, surfaces

pytestmark = pytest.mark.server

Words = tuple[Any, ...]

FAMILIES: dict[str, list[Words]] = {
    "strings": [
        ("SET", "s", "ä€"),
        ("GET", "s"),
        ("APPEND", "s", "x"),
        ("GETRANGE", "s", 0, 1),
        ("SETRANGE", "s", 5, "z"),
        ("MSET", "a", 1, "b", 2),
        ("MGET", "a", "none", "b"),
        ("INCRBYFLOAT", "f", 1.5),
        ("GETEX", "s", "PERSIST"),
        ("SET", "s", "y", "GET"),
        ("GETDEL", "s"),
    ],
    "keys": [
        ("SET", "k", 1),
        ("EXPIRE", "k", 100),
        ("PERSIST", "k"),
        ("TTL", "k"),
        ("TYPE", "k"),
        ("RENAME", "k", "l"),
        ("COPY", "l", "m"),
        ("EXISTS", "k", "l", "m"),
        ("OBJECT", "ENCODING", "l"),
        ("KEYS", "none*"),
        ("SCAN", 0, "MATCH", "none*"),
        ("TOUCH", "l"),
        ("UNLINK", "l"),
        ("DEL", "m"),
    ],
    "hashes": [
        ("HSET", "h", "a", 1, "b", 2),
        ("HGET", "h", "a"),
        ("HGETALL", "h"),
        ("HMGET", "h", "a", "none"),
        ("HINCRBY", "h", "a", 5),
        ("HINCRBYFLOAT", "h", "b", 0.5),
        ("HSCAN", "h", 0),
        ("HKEYS", "h"),
        ("HEXISTS", "h", "z"),
        ("HDEL", "h", "a"),
        ("HGETALL", "none"),
    ],
    "lists": [
        ("RPUSH", "l", "a", "b", "c"),
        ("LRANGE", "l", 0, -1),
        ("LPOP", "l", 2),
        ("LPOP", "none"),
        ("LINSERT", "l", "BEFORE", "c", "x"),
        ("LPOS", "l", "x"),
        ("LMOVE", "l", "m", "LEFT", "RIGHT"),
        ("LLEN", "l"),
        ("RPOP", "l"),
    ],
    "sets": [
        ("SADD", "s", "a"),
        ("SADD", "t", "a"),
        ("SMEMBERS", "s"),
        ("SINTER", "s", "t"),
        ("SISMEMBER", "s", "a"),
        ("SMISMEMBER", "s", "a", "z"),
        ("SSCAN", "s", 0),
        ("SREM", "s", "a"),
        ("SPOP", "none"),
    ],
    "sorted sets": [
        ("ZADD", "z", 1, "a", 2.5, "b", "inf", "c"),
        ("ZADD", "z", "INCR", 1, "a"),
        ("ZRANGE", "z", 0, -1, "WITHSCORES"),
        ("ZRANGEBYSCORE", "z", "-inf", "+inf"),
        ("ZSCORE", "z", "b"),
        ("ZMSCORE", "z", "a", "none"),
        ("ZRANK", "z", "b"),
        ("ZINCRBY", "z", 1.25, "b"),
        ("ZPOPMIN", "z"),
        ("ZSCAN", "z", 0),
        ("ZCOUNT", "z", 0, 9),
    ],
    "streams": [
        ("XADD", "x", "1-1", "f", "v"),
        ("XADD", "x", "1-2", "f", "w"),
        ("XLEN", "x"),
        ("XRANGE", "x", "-", "+"),
        ("XREVRANGE", "x", "+", "-", "COUNT", 1),
        ("XGROUP", "CREATE", "x", "g", 0),
        ("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "x", ">"),
        ("XPENDING", "x", "g"),
        ("XACK", "x", "g", "1-1"),
        ("XINFO", "GROUPS", "x"),
        ("XTRIM", "x", "MAXLEN", 1),
    ],
    "geo": [
        ("GEOADD", "g", 13.361, 38.115, "p", 15.087, 37.502, "q"),
        ("GEOPOS", "g", "p", "none"),
        ("GEODIST", "g", "p", "q", "km"),
        ("GEOHASH", "g", "p"),
        ("GEOSEARCH", "g", "FROMMEMBER", "p", "BYRADIUS", 300, "km", "ASC"),
    ],
    "bits": [
        ("SETBIT", "b", 7, 1),
        ("GETBIT", "b", 7),
        ("BITCOUNT", "b"),
        ("BITPOS", "b", 1),
        ("BITFIELD", "b", "GET", "u4", 0),
        ("BITOP", "NOT", "c", "b"),
    ],
    "hyperloglog": [("PFADD", "p", "a", "b"), ("PFCOUNT", "p"), ("PFMERGE", "q", "p"), ("PFCOUNT", "p", "q")],
    "scripts": [
        ("EVAL", "return {1, 'a', false, {2, 3}}", 0),
        ("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", 1, "k", "v"),
        ("EVAL", "return redis.error_reply('OH no')", 0),
        ("EVALSHA", "0" * 40, 0),
        ("SCRIPT EXISTS", "0" * 40),
        ("SCRIPT LOAD", "return 1"),
    ],
    "functions": [
        ("FUNCTION LOAD", "REPLACE", "#!lua name=lib\nredis.register_function('f', function() return 5 end)"),
        ("FCALL", "f", 0),
        ("FCALL_RO", "none", 0),
        ("FUNCTION DELETE", "lib"),
    ],
    "server": [
        ("PING",),
        ("ECHO", "ä"),
        ("CONFIG GET", "maxmemory"),
        ("CONFIG GET", "none"),
        ("CLIENT GETNAME",),
        ("COMMAND COUNT",),
        ("COMMAND INFO", "GET"),
        ("COMMAND GETKEYS", "SET", "k", "v"),
        ("DBSIZE",),
        ("MEMORY DOCTOR",),
        ("LATENCY LATEST",),
        ("ACL WHOAMI",),
        ("SLOWLOG LEN",),
        ("WAIT", 0, 1),
    ],
    "errors": [
        ("SET", "s", "text"),
        ("LPUSH", "s", 1),
        ("INCR", "s"),
        ("GET",),
        ("NOSUCH", "x"),
        ("SET", "s", 1, "NX", "XX"),
        ("ZADD", "z", "one", "a"),
        ("RESTORE", "r", 0, "garbage"),
        ("XADD", "x", "0-0", "f", "v"),
    ],
}
OPTIONS: dict[str, dict[str, Any]] = {
    "RESP2": {"protocol": 2},
    "RESP3": {"protocol": 3},
    "RESP2, decoded": {"protocol": 2, "decode_responses": True},
    "RESP3, decoded": {"protocol": 3, "decode_responses": True},
    "latin-1": {"encoding": "latin-1", "encoding_errors": "replace", "decode_responses": True},
    "unified replies": {"protocol": 3, "legacy_responses": False},
    "unified replies, RESP2": {"protocol": 2, "legacy_responses": False, "decode_responses": True},
}


@pytest.fixture
def lean(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was lean: names of commands, and PIPELINE."""
    taken: list[str] = []
    for module in (surfaces, aio_surfaces):
        single, several = module.exchange_lean, module.execute_lean

        def one(now: Any, client: Any, words: Any, *rest: Any, real: Any = single) -> Any:
            taken.append(words[0])
            return real(now, client, words, *rest)

        def many(*args: Any, real: Any = several) -> Any:
            taken.append("PIPELINE")
            return real(*args)

        monkeypatch.setattr(module, "exchange_lean", one)
        monkeypatch.setattr(module, "execute_lean", many)
    return taken


def shown(reply: Any) -> Any:
    if isinstance(reply, Exception):
        return type(reply), reply.args[0].split(" ", 2)[:1] if reply.args else ()
    if isinstance(reply, float) and math.isnan(reply):
        return "nan"
    return type(reply), repr(reply)


async def alone(face: Any, client: Any, commands: list[Words]) -> list[Any]:
    await face.run(client.flushall)
    ends = []
    for words in commands:
        try:
            ends.append(shown(await face.run(client.execute_command, *words)))
        except redis.RedisError as error:
            ends.append((type(error), str(error)))
    return ends


async def together(face: Any, client: Any, commands: list[Words], transaction: bool) -> list[Any]:
    await face.run(client.flushall)
    pipe = client.pipeline(transaction)
    for words in commands:
        pipe.execute_command(*words)
    try:
        return [shown(reply) for reply in await face.run(pipe.execute, raise_on_error=False)]
    except redis.RedisError as error:
        return [type(error)]


def pair(face: Any, url: str, options: dict[str, Any]) -> tuple[Any, Any]:
    known = inspect.signature(face.names.Redis.__init__).parameters
    if not set(options) <= set(known):
        pytest.skip("this redis-py does not know this option")
    return face.stock(url, **options), face.client(url, policies=[], **options)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("family", FAMILIES)
async def test_a_family_of_commands(
    face: Any, server: EmbeddedServer, lean: list[str], family: str, option: str
) -> None:
    stock, ours = pair(face, server.url, OPTIONS[option])
    commands = FAMILIES[family]
    expected = await alone(face, stock, commands)
    await alone(face, ours, commands)  # the first of each name takes redis-py's path
    lean.clear()
    assert await alone(face, ours, commands) == expected
    ordinary = {words[0] for words in commands if " " not in words[0]} - {"RESTORE", "WAIT", "XREADGROUP"}
    assert ordinary <= set(lean)
    for transaction in (False, True):
        assert await together(face, ours, commands, transaction) == await together(face, stock, commands, transaction)
    assert ours.connection_pool.stats().borrowed == 0


@pytest.mark.parametrize("option", ["RESP2", "RESP3, decoded", "latin-1"])
async def test_the_objects_of_redis_pys_modules(face: Any, server: EmbeddedServer, option: str) -> None:
    """JSON, search and time series: from a server that has them the replies, from others the same errors."""
    stock, ours = pair(face, server.url, OPTIONS[option])
    commands: list[Words] = [
        ("JSON.SET", "doc", "$", '{"a": [1, 2]}'),
        ("JSON.GET", "doc", "$.a"),
        ("TS.ADD", "ts", 1, 2.5),
        ("TS.GET", "ts"),
        ("BF.ADD", "bf", "x"),
        ("FT._LIST",),
    ]
    for _ in range(2):
        assert await alone(face, ours, commands) == await alone(face, stock, commands)


async def test_large_replies_and_replies_in_pieces(face: Any, proxy: FaultProxy, lean: list[str]) -> None:
    client = face.client(proxy.url)
    value = bytes(range(256)) * 8192  # 2 MiB
    for _ in range(2):
        assert await face.run(client.set, "big", value)
    assert await face.run(client.get, "big") == value
    assert await face.run(client.get, "big") == value
    pipe = client.pipeline()
    pipe.get("big").strlen("big").get("big")
    assert await face.run(pipe.execute) == [value, len(value), value]
    assert "GET" in lean


async def test_new_credentials_hold_for_the_next_connection(face: Any, server: EmbeddedServer, lean: list[str]) -> None:
    """The lean path asks nobody for credentials: dialling does, and a connection that lost its rights says so."""
    stock = face.stock(server.url)
    rules = ["on", ">secret", "~*", "&*", "+@all"]
    await face.run(stock.execute_command, "ACL", "SETUSER", "first", *rules)
    await face.run(stock.execute_command, "ACL", "SETUSER", "second", *rules)

    class Provider(redis.CredentialProvider):
        user = "first"

        def get_credentials(self) -> tuple[str, str]:
            return self.user, "secret"

    provider = Provider()
    client = face.client(server.url, credential_provider=provider, policies=[], max_connections=1)
    for _ in range(3):
        assert await face.run(client.execute_command, "ACL", "WHOAMI") == b"first"
        await face.run(client.set, "k", "v")
    provider.user = "second"
    await face.run(stock.execute_command, "ACL", "DELUSER", "first")  # the server closes its connections
    await face.pause(0.05)
    assert await face.run(client.get, "k") == b"v"
    assert await face.run(client.execute_command, "ACL", "WHOAMI") == b"second"
    assert {"SET", "ACL"} & set(lean)
    await face.run(stock.execute_command, "ACL", "DELUSER", "second")
