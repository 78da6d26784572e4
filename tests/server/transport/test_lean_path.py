"""The lean path gives what redis-py's own path gives, and stands aside where it must."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis._parsers import _AsyncRESP2Parser, _RESP2Parser

from resilient_redis import ResilientRedis
from resilient_redis.asyncio import ResilientRedis as AsyncResilientRedis
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.transport import aio_surfaces, lean, surfaces

sys.path.insert(0, str(Path(__file__).parents[1] / "commands"))  # one list of examples for all
from command_examples import EXAMPLES, Example

pytestmark = pytest.mark.server

READS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("get", ("text",), {}),
    ("get", ("none",), {}),
    ("mget", (["text", "none"],), {}),
    ("strlen", ("text",), {}),
    ("hgetall", ("hash",), {}),
    ("hgetall", ("none",), {}),
    ("hmget", ("hash", ["a", "z"]), {}),
    ("lrange", ("list", 0, -1), {}),
    ("smembers", ("set",), {}),
    ("zrange", ("zset", 0, -1), {"withscores": True}),
    ("zscore", ("zset", "a"), {}),
    ("zrank", ("zset", "b"), {}),
    ("xrange", ("stream",), {}),
    ("xlen", ("stream",), {}),
    ("exists", ("text", "hash", "none"), {}),
    ("type", ("hash",), {}),
    ("ttl", ("text",), {}),
    ("scan", (), {"match": "t*"}),
    ("geopos", ("geo", "p"), {}),
    ("geodist", ("geo", "p", "q"), {}),
    ("bitcount", ("text",), {}),
    ("lpos", ("list", "b"), {}),
    ("llen", ("text",), {}),  # WRONGTYPE
    ("config_get", ("maxmemory",), {}),
    ("ping", (), {}),
    ("echo", ("ä€",), {}),
    ("dump", ("list",), {}),
    ("object", ("encoding", "text"), {}),
]
FILLED: list[tuple[Any, ...]] = [
    ("SET", "text", "some text"),
    ("HSET", "hash", "a", 1, "b", 2),
    ("RPUSH", "list", "a", "b", "c"),
    ("SADD", "set", "a", "b"),
    ("ZADD", "zset", 1, "a", 2.5, "b"),
    ("XADD", "stream", "1-1", "f", "v"),
    ("GEOADD", "geo", 13.361, 38.115, "p", 15.087, 37.502, "q"),
]
BY_CHANCE = {"SPOP", "XADD", "RESTORE", "BLPOP", "BRPOP"}  # its reply differs from run to run, or is told below


@pytest.fixture
def took(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the commands that were lean."""
    names: list[str] = []
    for module in (surfaces, aio_surfaces):
        real = module.exchange_lean

        def counting(now: Any, client: Any, words: Any, options: Any, deadline: Any, real: Any = real) -> Any:
            names.append(words[0])
            return real(now, client, words, options, deadline)

        monkeypatch.setattr(module, "exchange_lean", counting)
    return names


async def outcome(face: Any, function: Any, *args: Any, **options: Any) -> Any:
    try:
        reply = await face.run(function, *args, **options)
    except redis.RedisError as error:
        return type(error), str(error)
    return type(reply), reply


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_reads_answer_as_on_redis_pys_path(
    face: Any, server: EmbeddedServer, took: list[str], protocol: int, decode_responses: bool
) -> None:
    kwargs = {"protocol": protocol, "decode_responses": decode_responses}
    stock, ours = face.stock(server.url, **kwargs), face.client(server.url, **kwargs)
    for words in FILLED:
        await face.run(stock.execute_command, *words)
    for name, args, options in READS:
        expected = await outcome(face, getattr(stock, name), *args, **options)
        for _ in range(2):  # the first of its name takes redis-py's path
            assert await outcome(face, getattr(ours, name), *args, **options) == expected, name
    assert {"GET", "HGETALL", "ZRANGE", "LLEN", "ECHO"} <= set(took)
    assert "DUMP" not in took  # read without decoding: redis-py's own path


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_writes_answer_as_on_redis_pys_path(
    face: Any, server: EmbeddedServer, took: list[str], protocol: int, decode_responses: bool
) -> None:
    kwargs = {"protocol": protocol, "decode_responses": decode_responses}
    stock, ours = face.stock(server.url, **kwargs), face.client(server.url, policies=[], **kwargs)
    for example in EXAMPLES:
        if example.args[0] in BY_CHANCE:
            continue
        expected = await played(face, stock, stock, example)
        await played(face, stock, ours, example)
        assert await played(face, stock, ours, example) == expected, example
    assert {"SET", "INCRBY", "HSET", "RPUSH", "ZADD", "SADD", "XACK"} <= set(took)


async def played(face: Any, stock: Any, client: Any, example: Example) -> Any:
    await face.run(stock.flushall)
    for words in (("FUNCTION", "FLUSH"), *example.before):
        await outcome(face, stock.execute_command, *words)
    return await outcome(face, client.execute_command, *example.args)


async def test_arguments_of_every_type_arrive_as_on_redis_pys_path(
    face: Any, server: EmbeddedServer, took: list[str]
) -> None:
    stock, ours = face.stock(server.url), face.client(server.url)
    await twice(face, ours)
    await face.run(ours.set, "k", 0)
    for value in (1, -5, 2**70, 0.1, 1e22, float("inf"), "ä€", b"\xff\x00", bytearray(b"ab"), memoryview(b"cd")):
        expected = await outcome(face, stock.set, "k", value)
        told = await outcome(face, ours.set, "k", value)
        assert told == expected
        if told[0] is redis.DataError:  # redis-py 6.4 knows fewer types
            continue
        got = await face.run(ours.get, "k")
        await face.run(stock.set, "k", value)
        assert await face.run(stock.get, "k") == got
    for value in ({"a": 1}, None, True, object):
        error = await face.error(ours.set, "k", value)
        assert isinstance(error, redis.DataError)
        assert error.delivery == "not_sent"
    assert took.count("SET") > 5
    assert ours.connection_pool.stats().borrowed == 0


# --- where it stands aside ------------------------------------------------------------------------------------------


async def twice(face: Any, client: Any) -> None:
    await face.run(client.get, "k")
    await face.run(client.get, "k")


@pytest.mark.parametrize(
    "options",
    [
        {"health_check_interval": 30},
        {"single_connection_client": True},
        {"max_connections": 3, "pool": "redis-py's"},
    ],
    ids=lambda options: next(iter(options)),
)
async def test_what_is_not_usual_takes_redis_pys_path(
    face: Any, server: EmbeddedServer, took: list[str], options: dict[str, Any]
) -> None:
    if "pool" in options:
        options = {name: value for name, value in options.items() if name != "pool"}
        options = {"connection_pool": face.keep(face.names.ConnectionPool.from_url(server.url, **options))}
        client = face.client(**options)
    else:
        client = face.client(server.url, **options)
    await twice(face, client)
    assert took == [] or "health_check_interval" in options  # asked of each connection: see the next test


@pytest.mark.parametrize("unusual", ["parser", "reads", "health"])
async def test_a_connection_that_is_not_usual_is_read_by_its_own_methods(
    face: Any, server: EmbeddedServer, unusual: str
) -> None:
    calls: list[str] = []

    class Reads(face.names.Connection):
        if face.name == "sync":

            def read_response(self, *args: Any, **kwargs: Any) -> Any:
                calls.append("read")
                return super().read_response(*args, **kwargs)

        else:

            async def read_response(self, *args: Any, **kwargs: Any) -> Any:
                calls.append("read")
                return await super().read_response(*args, **kwargs)

    python = _RESP2Parser if face.name == "sync" else _AsyncRESP2Parser
    options: dict[str, Any] = {
        "parser": {"parser_class": python, "protocol": 2},
        "reads": {"connection_class": Reads},
        "health": {"health_check_interval": 30},
    }[unusual]
    client = face.client(server.url, **options)
    await face.run(client.set, "k", "v")
    read = len(calls)
    await twice(face, client)
    assert await face.run(client.get, "k") == b"v"
    assert unusual != "reads" or len(calls) - read == 3
    connection = await face.run(client.connection_pool.get_connection)
    assert connection.lean is False
    await face.run(client.connection_pool.release, connection)


async def test_an_instrumentor_that_wraps_execute_command_sees_every_command(
    face: Any, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = face.client(server.url)
    await twice(face, client)
    seen: list[str] = []
    real = face.names.Redis.execute_command

    def wrapped(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(args[0])
        return real(self, *args, **options)

    monkeypatch.setattr(face.names.Redis, "execute_command", wrapped)
    await twice(face, client)
    assert seen == ["GET", "GET"]


async def test_while_redis_pys_metrics_are_on_its_own_path_is_taken(
    face: Any, server: EmbeddedServer, took: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = face.client(server.url)
    await twice(face, client)
    before = len(took)
    monkeypatch.setattr(surfaces, "is_usual", lambda options: False)
    monkeypatch.setattr(aio_surfaces, "is_usual", lambda options: False)
    await twice(face, client)
    assert len(took) == before


def test_metrics_that_are_on_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = pytest.importorskip("redis.observability.providers")
    assert lean.is_usual({"keys": ["k"]})
    instance = providers.ObservabilityInstance()
    instance._provider_manager = object()
    monkeypatch.setattr(providers, "_observability_instance", instance)
    assert not lean.is_usual({})


@pytest.mark.parametrize("base", [ResilientRedis, AsyncResilientRedis])
def test_a_client_that_parses_by_itself_is_not_lean(base: Any) -> None:
    own = type("Own", (base,), {"parse_response": lambda *_, **__: None})
    assert base()._commands._lean is True
    assert own()._commands._lean is False


def test_a_client_with_redis_pys_cache_is_not_lean() -> None:
    from redis.cache import CacheConfig

    assert ResilientRedis(protocol=3, cache_config=CacheConfig())._commands._lean is False


@pytest.mark.parametrize(
    "name", ["HIMPORT SET", "himport", "CLIENT LIST", "BLPOP", b"xread", "WATCH", "MULTI", "SELECT"]
)
def test_what_is_never_lean(name: Any) -> None:
    lean.learn(name)
    assert name not in lean.NAMES


async def test_a_callback_that_fails_loses_no_connection(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=[])
    await twice(face, client)

    def fails(reply: Any, **options: Any) -> Any:
        raise LookupError("a callback of the user's")

    client.set_response_callback("GET", fails)
    for _ in range(3):
        with pytest.raises(LookupError):
            await face.run(client.get, "k")
    stats = client.connection_pool.stats()
    assert (stats.borrowed, stats.size, stats.dials) == (0, 1, 1)


async def test_a_stale_connection_is_replaced_without_a_word(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[])
    await twice(face, client)
    proxy.cut_all()
    await face.pause(0.1)
    await twice(face, client)


# --- what it costs ---------------------------------------------------------------------------------------------------


def calls_in(function: Any) -> int:
    """Python and C functions called; stable where time is not."""
    count = 0

    def profile(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_a_get_with_all_policies_takes_fewer_calls_than_redis_pys(server: EmbeddedServer) -> None:
    bare, ours = redis.Redis.from_url(server.url), ResilientRedis.from_url(server.url)
    for client in (bare, ours):
        for _ in range(3):
            client.get("k")
    theirs, mine = calls_in(lambda: bare.get("k")), calls_in(lambda: ours.get("k"))
    assert mine <= 60
    assert mine < theirs * (0.5 if redis.__version__ >= "8" else 0.9), (mine, theirs)
    bare.close()
    ours.close()
