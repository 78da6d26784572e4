"""Kinds of connections and what they say of themselves: lost, marked, foreign, fake, cached. Sync."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
import redis
from cleanliness_kit import (
    BASES,
    KINDS,
    PUSH,
    RESP3,
    Rig,
)
from redis.cache import CacheConfig, CacheFactory
from redis.connection import CacheProxyConnection

from resilient_redis.connections.cleanliness import absorb, dirt, make_peek
from resilient_redis.connections.observed import observed

# The others


def test_lost_comes_first_then_the_session_then_the_rest(make: Any, kind: str) -> None:
    rig = make(kind)
    rig.connection.send_command("WATCH", "k")
    rig.peer.sendall(b"+OK\r\n+MORE\r\n")
    rig.connection.read_response()
    assert dirt(rig.connection) == "watch"
    rig.connection.send_command("UNWATCH")
    assert dirt(rig.connection) == "unread"
    rig.connection.disconnect()
    assert dirt(rig.connection) == "lost"
    assert absorb(rig.connection) == "eof"
    assert rig.peek() is True


@BASES
def test_a_connection_marked_for_reconnect(make: Any, kind: str, base: Any) -> None:
    rig = make(kind, base=base)
    if not hasattr(rig.connection, "mark_for_reconnect"):
        pytest.skip("this redis-py marks none")
    rig.connection.mark_for_reconnect()
    assert dirt(rig.connection) == "reconnect"
    rig.connection.reset_should_reconnect()
    assert dirt(rig.connection) is None


@pytest.mark.parametrize("kind", RESP3)
def test_a_handler_may_mark_or_close_the_connection(make: Any, kind: str) -> None:
    rig = make(kind)
    for act, verdict in (
        (getattr(rig.connection, "mark_for_reconnect", None), "reconnect"),
        (rig.connection.disconnect, "lost"),
    ):
        if act is None:
            continue
        rig.connection._parser.set_invalidation_push_handler(lambda _, act=act: act())
        rig.peer.sendall(b"+OK\r\n" + PUSH)
        rig.connection.read_response()
        assert dirt(rig.connection) == verdict
        if verdict == "reconnect":
            rig.connection.reset_should_reconnect()


def test_peek_follows_a_reconnect(make: Any, kind: str) -> None:
    rig = make(kind)
    rig.connection.disconnect()
    assert rig.peek() is True
    assert rig.peek() is True
    rig.connection.connect()
    assert rig.peek() is False
    rig.pairs[1][1].sendall(b"+OK\r\n")
    assert rig.peek() is True


def test_peek_without_poll(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll")
    rig = make("python-resp2")
    assert rig.peek() is False
    rig.peer.sendall(b"+OK\r\n")
    assert rig.peek() is True


def test_peek_counts_what_tls_has_deciphered_already(make: Any) -> None:
    class Tls(socket.socket):
        held = 0

        def pending(self) -> int:
            return self.held

    rig = make("python-resp2")
    rig.connection._sock = sock = Tls(fileno=rig.connection._sock.raw.detach())
    assert rig.peek() is False
    sock.held = 5
    assert rig.peek() is True
    sock.close()
    assert rig.peek() is True


def test_a_parser_derived_from_redis_pys_is_known(make: Any, kind: str) -> None:
    """As RedisCluster's is, which only has other error classes."""

    class Derived(KINDS[kind][0]):  # type: ignore[misc]
        EXCEPTION_CLASSES = dict(KINDS[kind][0].EXCEPTION_CLASSES)

    rig = make(kind)
    rig.connection.set_parser(Derived)
    rig.connection._parser.on_connect(rig.connection)
    assert dirt(rig.connection) is None
    rig.peer.sendall(b"+OK\r\n+MORE\r\n")
    rig.connection.read_response()
    assert dirt(rig.connection) == "unread"
    assert absorb(rig.connection) == "reply"


def test_a_parser_that_reads_in_its_own_way_is_asked_in_public(make: Any, kind: str) -> None:
    class Own(KINDS[kind][0]):  # type: ignore[misc]
        def read_response(self, *args: Any, **options: Any) -> Any:
            return super().read_response(*args, **options)

    rig = make(kind)
    rig.connection.set_parser(Own)
    rig.connection._parser.on_connect(rig.connection)
    assert dirt(rig.connection) is None
    assert absorb(rig.connection) is None
    rig.peer.sendall(b"+OK\r\n+MORE\r\n")
    assert rig.peek() is True
    assert absorb(rig.connection) == "reply"
    rig.connection.read_response()
    assert dirt(rig.connection) == "unread"
    rig.connection.read_response()
    rig.peer.close()
    assert absorb(rig.connection) == "eof"


class Client:
    """A connection class that has nothing to do with redis-py's."""


@pytest.mark.parametrize("attributes", [{}, {"is_connected": True, "can_read": lambda _, __: False}])
def test_of_a_foreign_connection_nothing_is_claimed(attributes: dict[str, Any]) -> None:
    foreign = type("Foreign", (Client,), attributes)()
    assert dirt(foreign) is None
    assert absorb(foreign) is None
    assert make_peek(foreign)() is False


@pytest.mark.parametrize(
    ("attributes", "verdicts"),
    [
        ({"is_connected": False}, ("lost", "eof")),
        ({"is_connected": True, "can_read": lambda _, __: True}, ("unread", "reply")),
        ({"is_connected": True, "can_read": lambda _, __: 1 / 0}, ("lost", "garbage")),
        ({"_sock": None}, ("lost", "eof")),
    ],
)
def test_a_foreign_connection_is_believed(attributes: dict[str, Any], verdicts: tuple[str, str]) -> None:
    foreign = type("Foreign", (Client,), attributes)()
    assert (dirt(foreign), absorb(foreign)) == verdicts
    assert make_peek(foreign)() is False


def test_nothing_is_raised_whatever_breaks(make: Any, kind: str) -> None:
    rig = make(kind)
    rig.peer.sendall(b"+OK\r\n")
    whole = rig.connection._parser
    for broken in (object(), None):
        rig.connection._parser = broken
        assert dirt(rig.connection) == "lost"
        assert absorb(rig.connection) == "garbage"
    rig.connection._parser = whole


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "observed"])
def test_fakeredis(wrapped: bool) -> None:
    cls = fakeredis.FakeRedis().connection_pool.connection_class
    server = fakeredis.FakeServer()
    connection = (observed(cls) if wrapped else cls)(server=server, host="fake", port=1)
    assert dirt(connection) == "lost"
    connection.connect()
    peek = make_peek(connection)
    for _ in range(2):
        assert dirt(connection) is None
        assert absorb(connection) is None
        assert peek() is False
        connection.send_command("PING")
        assert dirt(connection) == "unread"
        assert absorb(connection) == "reply"
        connection.read_response()
    if wrapped:
        connection.send_command("MULTI")
        connection.read_response()
        assert dirt(connection) == "multi"
    connection.disconnect()
    assert dirt(connection) == "lost"


# The client-side cache


class Cached(Rig):
    """A connection behind redis-py's cache."""

    def __init__(self, kind: str, decode: bool = False) -> None:
        super().__init__(kind, decode)
        inner = self.connection
        inner.disconnect()
        inner.sockets = [self.pairs[1][0]]
        self.peer = self.pairs[1][1]
        self.cache = CacheFactory(CacheConfig(max_size=8)).get_cache()
        self.lock = threading.RLock()
        self.proxy = CacheProxyConnection(inner, self.cache, self.lock)
        self.peer.sendall(b"+OK\r\n")  # to CLIENT TRACKING ON
        inner.connect()
        self.invalidated: list[Any] = []
        mine = self.proxy._on_invalidation_callback
        inner._parser.set_invalidation_push_handler(lambda push: (self.invalidated.append(push), mine(push)))
        self.peek = make_peek(self.proxy)


@pytest.fixture(params=RESP3)
def cached(request: pytest.FixtureRequest) -> Iterator[Cached]:
    rig = Cached(request.param)
    yield rig
    rig.close()


def test_the_caches_own_tracking_is_no_state(cached: Cached) -> None:
    assert cached.connection.session is None
    assert dirt(cached.proxy) is None
    assert cached.peek() is False


def test_invalidations_reach_the_cache(cached: Cached) -> None:
    cached.peer.sendall(PUSH)
    assert cached.peek() is True
    assert absorb(cached.proxy) is None
    assert cached.invalidated == [[b"invalidate", [b"k"]]]
    cached.peer.sendall(b"+OK\r\n" + PUSH)
    cached.connection.read_response()
    assert dirt(cached.proxy) is None
    assert len(cached.invalidated) == 2


def test_a_cached_connection_is_judged_like_any(cached: Cached) -> None:
    cached.connection.send_command("WATCH", "k")
    assert dirt(cached.proxy) == "watch"
    cached.connection.send_command("UNWATCH")
    cached.peer.sendall(b"+OK\r\n")
    assert absorb(cached.proxy) == "reply"
    assert dirt(cached.proxy) == "unread"
    cached.proxy.disconnect()
    assert dirt(cached.proxy) == "lost"
    assert absorb(cached.proxy) == "eof"


def test_half_an_invalidation_that_redis_py_has_begun_to_read_is_seen(cached: Cached) -> None:
    """It drains pushes itself and keeps the connection if one is cut short; hiredis then reports no data."""
    cached.connection._sock.settimeout(0.01)
    cached.peer.sendall(PUSH[: PUSH.index(b"*1")])
    with pytest.raises(redis.TimeoutError):
        cached.connection.read_response(push_request=True, disconnect_on_error=False)
    assert dirt(cached.proxy) == "unread"
    assert absorb(cached.proxy) == "partial"


def test_the_lock_under_which_others_drain_is_held(cached: Cached) -> None:
    held: list[bool] = []

    def other(_: Any) -> None:
        taken: list[bool] = []
        thread = threading.Thread(target=lambda: taken.append(cached.lock.acquire(blocking=False)))
        thread.start()
        thread.join(5)
        held.append(not taken[0])

    cached.connection._parser.set_invalidation_push_handler(other)
    cached.peer.sendall(PUSH)
    assert absorb(cached.proxy) is None
    assert held == [True]
