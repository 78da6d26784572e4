"""Real servers: what each command leaves behind, and what a server says to a connection that asked nothing."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio
from parsers import PARSERS
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection
from redis.utils import HIREDIS_AVAILABLE

from resilient_redis.connections import aio_cleanliness, aio_observed, cleanliness, observed
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

HERE = [key for key in PARSERS if HIREDIS_AVAILABLE or key[1] != "hiredis"]
RESP3 = [key for key in HERE if key[2] == 3]


class Wire:
    """A pool of one's choice with connections that observe, and one connection out of it."""

    def __init__(self, server: Any, face: str, parser: str, protocol: int, **options: Any) -> None:
        self.is_async = face == "asyncio"
        names = redis.asyncio if self.is_async else redis
        wrap = aio_observed.observed if self.is_async else observed.observed
        self.pool = names.ConnectionPool(
            connection_class=wrap(names.Connection),
            parser_class=PARSERS[face, parser, protocol],
            protocol=protocol,
            **{"host": server.host, "port": server.port, **options},
        )
        self.client = names.Redis(connection_pool=self.pool)
        looks = aio_cleanliness if self.is_async else cleanliness
        self.dirt, self.absorb = looks.dirt, looks.absorb
        self.connection: Any = None

    async def take(self) -> Any:
        self.connection = await self.do(self.pool.get_connection)
        return self.connection

    async def do(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        result = function(*args, **options)
        return await result if inspect.isawaitable(result) else result

    async def ask(self, *command: Any) -> Any:
        await self.do(self.connection.send_command, *command)
        return await self.do(self.connection.read_response)

    async def send(self, *command: Any) -> None:
        await self.do(self.connection.send_command, *command)

    async def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 5
        while not true():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.002)

    def readable(self) -> bool:
        """Has something come in that nobody has read?"""
        if self.is_async:
            stream = self.connection._reader
            return bool(stream._buffer) or stream._eof
        return cleanliness.make_peek(self.connection)()

    async def close(self) -> None:
        if self.connection is not None:
            await self.do(self.connection.disconnect)
        await self.do(self.pool.disconnect)


@pytest.fixture
async def make(server: EmbeddedServer) -> Any:
    made: list[Wire] = []

    def make(key: tuple[str, str, int], **options: Any) -> Wire:
        made.append(Wire(options.pop("server", server), *key, **options))
        return made[-1]

    yield make
    for wire in made:
        await wire.close()


Make = Callable[..., Wire]
ALL = pytest.mark.parametrize("key", HERE, ids=lambda key: "-".join(map(str, key)))
ONLY_RESP3 = pytest.mark.parametrize("key", RESP3, ids=lambda key: "-".join(map(str, key)))


@ALL
@pytest.mark.parametrize("options", [{}, {"db": 5}, {"username": "tester", "password": "secret", "client_name": "me"}])
async def test_the_handshake_leaves_no_state(
    make: Make, server: EmbeddedServer, key: Any, options: dict[str, Any]
) -> None:
    server.execute("ACL", "SETUSER", "tester", "on", ">secret", "~*", "&*", "+@all")
    wire = make(key, decode_responses=True, **options)
    connection = await wire.take()
    assert connection.session is None
    assert await wire.ask("ACL", "WHOAMI") == options.get("username", "default")
    assert wire.dirt(connection) is None
    await wire.do(connection.disconnect)
    await wire.do(connection.connect)
    assert connection.session is None
    assert wire.dirt(connection) is None
    assert wire.absorb(connection) is None
    await wire.do(connection.on_connect)  # once more, by hand
    assert connection.session is None


@ALL
@pytest.mark.parametrize(
    ("commands", "word"),
    [
        ([("SELECT", 3)], "db"),
        ([("SELECT", 3), ("SELECT", 0)], None),
        ([("WATCH", "k")], "watch"),
        ([("WATCH", "k"), ("UNWATCH",)], None),
        ([("MULTI",)], "multi"),
        ([("MULTI",), ("SET", "k", "v")], "multi"),
        ([("MULTI",), ("SET", "k", "v"), ("EXEC",)], None),
        ([("WATCH", "k"), ("MULTI",), ("DISCARD",)], None),
        ([("READONLY",)], "readonly"),
        ([("CLIENT NO-EVICT", "ON")], "no_evict"),
        ([("CLIENT", "SETNAME", "me")], None),
    ],
)
async def test_commands_leave_their_word(make: Make, key: Any, commands: list[Any], word: str | None) -> None:
    wire = make(key)
    connection = await wire.take()
    for command in commands:
        with contextlib.suppress(redis.ResponseError):  # READONLY is for clusters
            await wire.ask(*command)
    assert connection.session == word
    assert wire.dirt(connection) == word
    await wire.do(connection.disconnect)
    assert (connection.session, wire.dirt(connection)) == (None, "lost")


@ALL
async def test_the_word_is_right_about_the_server(make: Make, key: Any) -> None:
    """No word, and the server agrees that nothing is left: no transaction, no watched key, the same database."""
    wire = make(key, decode_responses=True, db=2)
    connection = await wire.take()
    steps = [("WATCH", "k"), ("MULTI",), ("SELECT", 4), ("DISCARD",), ("SELECT", 2)]
    for step in steps:
        await wire.ask(*step)
    assert connection.session is None
    info = await wire.ask("CLIENT", "INFO")
    assert "db=2 " in info
    assert "flags=N " in info  # "x" in a transaction
    for step in [("MULTI",), ("SELECT", 4), ("EXEC",)]:
        await wire.ask(*step)
    assert connection.session == "db"
    assert "db=4 " in await wire.ask("CLIENT", "INFO")


@ALL
@pytest.mark.parametrize(
    ("command", "word"),
    [
        (("SUBSCRIBE", "c"), "subscribed"),
        (("PSUBSCRIBE", "c*"), "subscribed"),
        (("MONITOR",), "monitor"),
        (("CLIENT", "REPLY", "OFF"), "reply_off"),
        (("CLIENT", "TRACKING", "ON", "REDIRECT", "0"), "tracking"),
        (("AUTH", "default", "nopass"), "auth"),
        (("QUIT",), "quit"),
    ],
)
async def test_what_a_server_answers_in_its_own_way_leaves_its_word_too(
    make: Make, key: Any, command: Any, word: str
) -> None:
    wire = make(key)
    connection = await wire.take()
    await wire.send(*command)
    assert connection.session == word
    assert wire.dirt(connection) == word


@ALL
async def test_pipelines_and_transactions_of_redis_pys_clients_leave_nothing(make: Make, key: Any) -> None:
    wire = make(key)
    for transaction in (True, False):
        pipe = wire.client.pipeline(transaction=transaction)
        pipe.set("k", 1).incr("k")
        assert await wire.do(pipe.execute) == [True, 2]
    pipe = wire.client.pipeline()
    await wire.do(pipe.watch, "k")
    connection = pipe.connection
    assert connection.session == "watch"
    pipe.multi()
    pipe.get("k")
    assert await wire.do(pipe.execute) == [b"2"]
    assert connection.session is None
    await wire.do(pipe.watch, "k")
    assert pipe.connection.session == "watch"
    await wire.do(pipe.reset)
    assert await wire.do(wire.client.set, "k", "v")
    assert (await wire.take()) is connection
    assert connection.session is None
    assert wire.dirt(connection) is None


@ALL
async def test_a_transaction_that_the_server_aborts_leaves_nothing(make: Make, key: Any) -> None:
    wire = make(key)
    await wire.take()
    await wire.ask("WATCH", "k")
    await wire.ask("MULTI")
    with pytest.raises(redis.ResponseError):
        await wire.ask("NOSUCHCOMMAND")
    with pytest.raises(redis.ResponseError):
        await wire.ask("EXEC")
    assert wire.connection.session is None
    assert b"flags=N " in await wire.ask("CLIENT", "INFO")


@ALL
async def test_a_subscription_is_a_state_after_a_reconnect_too(make: Make, key: Any) -> None:
    wire = make(key)
    pubsub = wire.client.pubsub()
    await wire.do(pubsub.subscribe, "c")
    connection = pubsub.connection
    assert connection.session == "subscribed"
    await wire.do(connection.disconnect)
    assert connection.session is None
    await wire.do(connection.connect)
    assert connection.session == "subscribed"
    await wire.do(pubsub.aclose if wire.is_async else pubsub.close)
    assert connection.session is None


@ALL
async def test_a_reply_too_many_and_a_server_that_hangs_up(make: Make, server: EmbeddedServer, key: Any) -> None:
    wire = make(key)
    connection = await wire.take()
    await wire.send("ECHO", "left over")
    await wire.until(wire.readable)
    assert wire.absorb(connection) == "reply"
    await wire.do(connection.disconnect)
    await wire.do(connection.connect)
    number = await wire.ask("CLIENT", "ID")
    assert wire.dirt(connection) is None
    server.execute("CLIENT", "KILL", "ID", number)
    await wire.until(wire.readable)
    assert wire.absorb(connection) == "eof"


def tracking(wire: Wire) -> Any:
    """A configuration whose handshake turns tracking on."""

    def on_connect(connection: Any) -> None:
        connection.on_connect()
        connection.send_command("CLIENT", "TRACKING", "ON")
        connection.read_response()

    async def on_connect_async(connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command("CLIENT", "TRACKING", "ON")
        await connection.read_response()

    return on_connect_async if wire.is_async else on_connect


def handler(wire: Wire, pushes: list[Any]) -> Any:
    async def handle(push: Any) -> None:
        pushes.append(push)

    return handle if wire.is_async else pushes.append


@ONLY_RESP3
@pytest.mark.parametrize("decode", [False, True], ids=["bytes", "text"])
async def test_an_invalidation_waits_on_an_idle_connection(
    make: Make, server: EmbeddedServer, key: Any, decode: bool
) -> None:
    wire = make(key, decode_responses=decode)
    wire.pool.connection_kwargs["redis_connect_func"] = tracking(wire)
    connection, pushes = await wire.take(), []
    assert connection.session is None
    connection._parser.set_invalidation_push_handler(handler(wire, pushes))
    for round_ in range(1, 4):
        await wire.ask("GET", "k")
        assert wire.dirt(connection) is None
        server.execute("SET", "k", round_)
        await wire.until(wire.readable)
        assert wire.absorb(connection) is None
        await wire.until(lambda round_=round_: len(pushes) == round_)
        assert pushes[-1] == (["invalidate", ["k"]] if decode else [b"invalidate", [b"k"]])
        assert not wire.readable()
        assert wire.dirt(connection) is None
    assert await wire.ask("GET", "k") == ("3" if decode else b"3")


@ONLY_RESP3
async def test_an_invalidation_by_ones_own_write_comes_with_the_reply(make: Make, key: Any) -> None:
    wire = make(key)
    wire.pool.connection_kwargs["redis_connect_func"] = tracking(wire)
    connection, pushes = await wire.take(), []
    connection._parser.set_invalidation_push_handler(handler(wire, pushes))
    for _ in range(20):
        await wire.ask("GET", "k")
        await wire.ask("SET", "k", "v")
        assert wire.dirt(connection) is None
        assert wire.absorb(connection) is None
    await wire.ask("PING")
    await wire.until(lambda: len(pushes) == 20)


@ONLY_RESP3
async def test_half_a_push_is_partial(make: Make, server: EmbeddedServer, proxy: FaultProxy, key: Any) -> None:
    wire = make(key, server=proxy)
    wire.pool.connection_kwargs["redis_connect_func"] = tracking(wire)
    connection = await wire.take()
    await wire.ask("GET", "k")
    proxy.trickle(8, 0.5)
    server.execute("SET", "k", "v")
    await wire.until(wire.readable)
    assert wire.absorb(connection) == "partial"


@pytest.mark.parametrize("parser", dict.fromkeys(key[1] for key in HERE))
def test_the_client_side_cache_hears_of_changes_while_its_connection_is_idle(
    server: EmbeddedServer, parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its own check asks for a newer server than may be here; what it uses is older.
    monkeypatch.setattr(CacheProxyConnection, "connect", lambda self: self._conn.connect())
    pool = redis.ConnectionPool(
        connection_class=observed.observed(redis.Connection),
        parser_class=PARSERS["sync", parser, 3],
        protocol=3,
        cache_config=CacheConfig(),
        host=server.host,
        port=server.port,
    )
    client = redis.Redis(connection_pool=pool)
    client.set("k", "old")
    assert client.get("k") == b"old"
    proxy = pool.get_connection()
    assert isinstance(proxy, CacheProxyConnection)
    assert proxy._conn.session is None
    peek = cleanliness.make_peek(proxy)
    assert cleanliness.dirt(proxy) is None
    assert len(pool.cache.collection) == 1
    server.execute("SET", "k", "new")
    deadline = time.monotonic() + 5
    while not peek():
        assert time.monotonic() < deadline
    assert cleanliness.absorb(proxy) is None
    assert len(pool.cache.collection) == 0
    assert not peek()
    proxy.send_command("WATCH", "k")
    proxy.read_response()
    assert cleanliness.dirt(proxy) == "watch"
    proxy.send_command("UNWATCH")
    proxy.read_response()
    pool.release(proxy)
    assert client.get("k") == b"new"
    pool.disconnect()


@ALL
async def test_thousands_of_exchanges_leave_every_connection_clean(make: Make, key: Any) -> None:
    wire = make(key)
    connection = await wire.take()
    for number in range(1500):
        assert await wire.ask("ECHO", f"{number}" * (number % 50)) == (f"{number}" * (number % 50)).encode()
        assert wire.dirt(connection) is None
        assert wire.absorb(connection) is None


def test_threads_that_share_the_memory_of_names(server: EmbeddedServer) -> None:
    wrong: list[Any] = []

    def work(number: int) -> None:
        connection = observed.observed(redis.Connection)(host=server.host, port=server.port)
        for turn in range(50):
            connection.send_command(f"ECHO{' ' * (turn % 3)}", "x")
            connection.read_response()
            connection.send_command(["MULTI", "multi", "Multi"][turn % 3])
            connection.read_response()
            wrong.extend([connection.session] if connection.session != "multi" else [])
            connection.send_command("DISCARD")
            connection.read_response()
            wrong.extend([connection.session] if connection.session is not None else [])
        connection.disconnect()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
