"""What commands make of a connection, by the pure function and as connections see it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.retry
import redis.retry
from redis.backoff import NoBackoff

from resilient_redis.connections import aio_observed, observed, session
from resilient_redis.connections.session import ORDINARY, SOILED, WORDS, after, word_for

PLAIN = SimpleNamespace(db=0, protocol=2, username=None, password=None, credential_provider=None)


def left_by(*commands: Any, configured: Any = PLAIN) -> str | None:
    states = 0
    for command in commands:
        states = after(states, command.split() if isinstance(command, str) else command, configured)
    return word_for(states)


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("MULTI", "multi"),
        ("WATCH k", "watch"),
        ("SUBSCRIBE c", "subscribed"),
        ("PSUBSCRIBE c*", "subscribed"),
        ("SSUBSCRIBE c", "subscribed"),
        ("MONITOR", "monitor"),
        ("SYNC", "monitor"),
        ("PSYNC ? -1", "monitor"),
        ("SELECT 1", "db"),
        ("SELECT 0", None),
        ("CLIENT REPLY OFF", "reply_off"),
        ("CLIENT REPLY SKIP", "reply_off"),
        ("CLIENT REPLY ON", None),
        ("CLIENT TRACKING ON", "tracking"),
        ("CLIENT TRACKING OFF", "tracking"),
        ("CLIENT CACHING YES", "tracking"),
        ("CLIENT TRACKINGINFO", None),
        ("CLIENT NO-EVICT ON", "no_evict"),
        ("CLIENT NO-TOUCH ON", "no_touch"),
        ("CLIENT LIST", None),
        ("CLIENT SETNAME x", None),
        ("CLIENT", None),
        ("HELLO", None),
        ("HELLO 3", "protocol"),
        ("HELLO 2 AUTH u p", "protocol"),
        ("AUTH u p", "auth"),
        ("READONLY", "readonly"),
        ("READWRITE", None),
        ("ASKING", None),
        ("QUIT", "quit"),
        ("RESET", None),
        ("EXEC", None),
        ("DISCARD", None),
        ("UNWATCH", None),
        ("UNSUBSCRIBE", None),
        ("GET k", None),
        ("EVAL MULTI 0", None),
        ("SET MULTI WATCH", None),
    ],
)
def test_each_command_leaves_its_word_however_it_is_written(command: str, word: str | None) -> None:
    parts = command.split()
    shapes: list[tuple[Any, ...]] = [
        tuple(parts),
        tuple(part.lower() for part in parts),
        tuple(part.encode() for part in parts),
        tuple(part.title().encode() for part in parts),
        (" ".join(parts),),
        (" ".join(parts).lower().encode(),),
        (f" {' '.join(parts[:2])} ", *parts[2:]),
        (bytearray(parts[0], "ascii"), *(memoryview(part.encode()) for part in parts[1:])),
    ]
    for shape in shapes:
        assert left_by(shape) == word, shape
        assert word is None or word in WORDS


@pytest.mark.parametrize(
    ("commands", "word"),
    [
        (["MULTI", "SET k v", "EXEC"], None),
        (["MULTI", "DISCARD"], None),
        (["WATCH k", "MULTI", "EXEC"], None),
        (["WATCH k", "MULTI"], "multi"),
        (["WATCH k", "MULTI", "DISCARD"], None),
        (["WATCH k", "UNWATCH"], None),
        (["WATCH k", "EXEC"], None),
        (["MULTI", "EXEC", "WATCH k"], "watch"),
        (["SELECT 3", "SELECT 0"], None),
        (["SELECT 3", "SELECT 4"], "db"),
        (["CLIENT REPLY OFF", "CLIENT REPLY ON"], None),
        (["CLIENT NO-EVICT ON", "CLIENT NO-EVICT OFF"], None),
        (["CLIENT NO-TOUCH ON", "CLIENT NO-TOUCH OFF"], None),
        (["CLIENT TRACKING ON", "CLIENT TRACKING OFF"], "tracking"),
        (["SUBSCRIBE c", "UNSUBSCRIBE c"], "subscribed"),
        (["READONLY", "READWRITE"], None),
        (["MULTI", "WATCH k", "SELECT 3", "MONITOR", "RESET"], None),
        (["QUIT", "RESET"], "quit"),
    ],
)
def test_states_begin_and_end(commands: list[str], word: str | None) -> None:
    assert left_by(*commands) == word


@pytest.mark.parametrize("back", ["SELECT 0", "UNWATCH", "CLIENT REPLY ON", "READWRITE"])
def test_what_is_only_queued_ends_nothing(back: str) -> None:
    before = {"SELECT 0": "SELECT 3", "UNWATCH": "WATCH k", "CLIENT REPLY ON": "CLIENT REPLY OFF"}.get(back, "READONLY")
    states = 0
    for command in (before, "MULTI", back):
        states = after(states, command.split(), PLAIN)
    held = after(0, before.split(), PLAIN)
    assert states & held == held


@pytest.mark.parametrize("db", [5, "5"])
@pytest.mark.parametrize("value", [5, "5", b"5"])
def test_the_configured_database_is_no_state(db: Any, value: Any) -> None:
    configured = SimpleNamespace(**{**vars(PLAIN), "db": db})
    assert left_by(("SELECT", 0), configured=configured) == "db"
    assert left_by(("SELECT", 0), ("SELECT", value), configured=configured) is None


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ({"db": 5}, "db"),
        ({"protocol": 3}, "protocol"),
        ({"password": "p"}, "auth"),
        ({"credential_provider": object()}, "auth"),
        ({"redis_connect_func": print}, "readonly"),
    ],
)
def test_reset_undoes_the_configuration_too(option: dict[str, Any], word: str) -> None:
    assert left_by("RESET", configured=SimpleNamespace(**{**vars(PLAIN), **option})) == word


def test_a_verdict_outlasts_reset_and_has_no_word() -> None:
    states = after(SOILED, ("RESET",), PLAIN)
    assert states == SOILED
    assert word_for(states) is None
    assert word_for(after(states, ("WATCH", "k"), PLAIN)) == "watch"


def test_the_memory_of_ordinary_names_is_bounded_and_holds_none_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    memory: set[Any] = set()
    monkeypatch.setattr(session, "ORDINARY", memory)
    monkeypatch.setattr(session, "_MOST_ORDINARY", 10)
    names = ["GET", b"get", "CLIENT LIST", "CLIENT", "MULTI", "client tracking", "SELECT", "", " ", "N" * 65]
    for name in [*names, *(f"CMD{n}" for n in range(50))]:
        after(0, (name, "MULTI"), PLAIN)
    assert {"GET", b"get", "CLIENT LIST"} <= memory
    assert len(memory) == 10
    assert all(str(name).startswith("CMD") for name in memory - {"GET", b"get", "CLIENT LIST"})


def test_nothing_is_made_of_nothing() -> None:
    assert after(0, (), PLAIN) == 0
    assert left_by(("", "GET")) is None
    assert left_by(("", "MULTI")) == "multi"  # what redis-py sends for it
    assert "" not in ORDINARY


# On connections


class Sync(redis.Connection):
    """Over one end of a socket pair after the other; no handshake."""

    ends: list[socket.socket]

    def _connect(self) -> Any:
        return self.ends.pop(0)


class Async(redis.asyncio.Connection):
    ends: list[socket.socket]

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=self.ends.pop(0))


def start_parser(connection: Any) -> None:
    connection._parser.on_connect(connection)


class Rig:
    """One connection, sync or asyncio, over socket pairs."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.is_async = kind == "asyncio"
        options = {"redis_connect_func": start_parser, "protocol": 2, **options}
        pairs = [socket.socketpair() for _ in range(3)]
        cls = aio_observed.observed(Async) if self.is_async else observed.observed(Sync)
        retries = redis.asyncio.retry if self.is_async else redis.retry
        self.connection = cls(retry=retries.Retry(NoBackoff(), 1), **options)
        self.connection.ends = [pair[0] for pair in pairs]
        self.peers = [pair[1] for pair in pairs]
        self._mine = [pair[0] for pair in pairs]

    async def do(self, method: str, *args: Any, **options: Any) -> Any:
        result = getattr(self.connection, method)(*args, **options)
        return await result if self.is_async else result

    async def send(self, *commands: str) -> None:
        for command in commands:
            await self.do("send_command", *command.split())

    async def close(self) -> None:
        with contextlib.suppress(redis.RedisError):
            await self.do("disconnect")
        for sock in (*self._mine, *self.peers):
            sock.close()


@pytest.fixture(params=["sync", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def make(kind: str) -> Any:
    rigs: list[Rig] = []

    def make(**options: Any) -> Rig:
        rigs.append(Rig(kind, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        await rig.close()


async def test_a_connection_tells_its_state(make: Callable[..., Rig]) -> None:
    rig = make()
    assert rig.connection.session is None
    await rig.send("GET k")
    assert rig.connection.session is None
    await rig.send("watch k")
    assert rig.connection.session == "watch"
    await rig.send("MULTI", "GET k")
    assert rig.connection.session == "multi"
    await rig.send("EXEC")
    assert rig.connection.session is None


def takes_bytearrays() -> bool:
    try:
        Sync().pack_command(bytearray(b"GET"))
        redis.asyncio.Connection().pack_command(bytearray(b"GET"))
    except (redis.DataError, TypeError):  # before redis-py 7
        return False
    return True


@pytest.mark.skipif(not takes_bytearrays(), reason="this redis-py takes none")
async def test_names_that_cannot_be_hashed_are_judged_all_the_same(make: Callable[..., Rig]) -> None:
    rig = make()
    await rig.do("send_command", bytearray(b"GET"), "k")
    assert rig.connection.session is None
    await rig.do("send_command", bytearray(b"MULTI"))
    assert rig.connection.session == "multi"
    rig.connection.pack_commands([(bytearray(b"EXEC"),)])
    assert rig.connection.session is None


async def test_closing_clears_everything(make: Callable[..., Rig]) -> None:
    rig = make()
    await rig.send("WATCH k", "SELECT 3", "MONITOR")
    await rig.do("disconnect")
    assert rig.connection.session is None
    await rig.do("connect")
    assert rig.connection.session is None


async def test_a_command_that_could_not_be_sent_leaves_nothing(make: Callable[..., Rig]) -> None:
    rig = make()
    await rig.do("connect")
    rig.connection.ends.clear()
    rig.peers[0].close()
    with pytest.raises((redis.RedisError, IndexError, OSError)):
        for _ in range(3):
            await rig.send("MULTI")
    assert rig.connection.session is None


@pytest.mark.parametrize("shape", [list, tuple, iter], ids=["list", "tuple", "iterator"])
async def test_a_pipeline_is_looked_at_as_a_whole(make: Callable[..., Rig], shape: Callable[[Any], Any]) -> None:
    rig = make()
    await rig.do("connect")
    pack = rig.connection.pack_commands
    transaction = [("MULTI",), ("SET", "k", "v"), ("EXEC",)]
    stock = Sync().pack_commands(transaction)
    assert b"".join(pack(shape(transaction))) == b"".join(stock)
    assert rig.connection.session is None
    pack(shape([("WATCH", "k"), ("GET", "k")]))
    assert rig.connection.session == "watch"
    pack(shape(transaction))
    assert rig.connection.session is None
    pack(shape([("SET", "k", "v"), ["select", 9]]))
    assert rig.connection.session == "db"
    pack(shape([]))
    assert rig.connection.session == "db"


async def test_a_pipeline_packed_before_the_dial_counts_for_the_connection_it_is_sent_over(
    make: Callable[..., Rig],
) -> None:
    rig = make()
    packed = rig.connection.pack_commands([("SELECT", 7), ("GET", "k")])
    await rig.do("send_packed_command", packed)
    assert rig.connection.session == "db"
    await rig.do("disconnect")
    await rig.do("connect")
    assert rig.connection.session is None


async def test_a_pipeline_packed_before_a_failed_health_check_counts_for_the_next_connection(
    kind: str, make: Callable[..., Rig]
) -> None:
    rig = make(health_check_interval=1)
    again = redis.retry.Retry if kind == "sync" else redis.asyncio.retry.Retry
    vars(rig.connection)["retry"] = again(NoBackoff(), 1)  # ours have none, and never get here
    rig.peers[0].sendall(b"+PONG\r\n")
    await rig.send("WATCH k")
    rig.connection.next_health_check = -1
    rig.peers[0].close()
    rig.peers[1].sendall(b"+PONG\r\n")
    packed = rig.connection.pack_commands([("SELECT", 7)])
    await rig.do("send_packed_command", packed)
    assert len(rig.connection.ends) == 1
    assert rig.connection.session == "db"
    await rig.send("SELECT 0")
    assert rig.connection.session is None  # the WATCH is gone with its connection


async def test_what_the_dial_itself_sends_is_the_configuration(kind: str, make: Callable[..., Rig]) -> None:
    def ours(connection: Any) -> None:
        start_parser(connection)
        connection.send_command("READONLY")
        connection.send_command("SELECT", 3)

    async def ours_async(connection: Any) -> None:
        start_parser(connection)
        await connection.send_command("READONLY")
        connection.pack_commands([("SELECT", 3)])

    rig = make(redis_connect_func=ours if kind == "sync" else ours_async)
    await rig.do("connect")
    assert rig.connection.session is None
    await rig.send("READONLY")
    assert rig.connection.session == "readonly"


async def test_a_subscription_made_anew_by_a_callback_is_a_state(kind: str, make: Callable[..., Rig]) -> None:
    class Subscriber:
        def sync(self, connection: Any) -> None:
            connection.send_command("SUBSCRIBE", "c")
            connection.send_command("CLIENT", "TRACKING", "ON")

        async def asyncio(self, connection: Any) -> None:
            await connection.send_command("SUBSCRIBE", "c")
            await connection.send_command("CLIENT", "TRACKING", "ON")

    rig, subscriber = make(), Subscriber()
    rig.connection.register_connect_callback(getattr(subscriber, kind))
    await rig.do("connect")
    assert rig.connection.session == "subscribed"
    assert rig.connection._states == session.SUBSCRIBED


async def test_re_auth_is_no_state_but_a_borrowers_auth_stays_one(make: Callable[..., Rig]) -> None:
    token = SimpleNamespace(try_get=lambda _: "u", get_value=lambda: "t")
    rig = make()
    await rig.do("connect")
    rig.peers[0].sendall(b"+OK\r\n" * 2)
    rig.connection.set_re_auth_token(token)
    await rig.do("re_auth")
    assert rig.connection.session is None
    await rig.send("AUTH u p")
    assert rig.connection.session == "auth"
    rig.connection.set_re_auth_token(token)
    await rig.do("re_auth")
    assert rig.connection.session == "auth"


def test_classes_that_pack_in_their_own_way_are_observed_too() -> None:
    class Own(redis.Connection):
        def pack_commands(self, commands: Any) -> Any:
            return [b"".join(b"".join(self.pack_command(*command)) for command in commands)]

    connection = observed.observed(Own)()
    assert connection.pack_commands(iter([("WATCH", "k")])) == [b"*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n"]
    assert connection.session == "watch"


def test_classes_that_send_in_their_own_way_stay_as_they_are() -> None:
    class Own(redis.Connection):
        def send_command(self, *args: Any, **options: Any) -> None: ...

    class OwnAsync(redis.asyncio.Connection):
        async def send_command(self, *args: Any, **options: Any) -> None: ...

    assert observed.observed(Own) is Own
    assert aio_observed.observed(OwnAsync) is OwnAsync
