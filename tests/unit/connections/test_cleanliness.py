"""What lies in a connection and on its socket, byte for byte: every parser, both protocols, decoded or not. Sync."""

from __future__ import annotations

import itertools
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
import redis
from redis._parsers import _HiredisParser, _RESP2Parser, _RESP3Parser
from redis.cache import CacheConfig, CacheFactory
from redis.connection import CacheProxyConnection
from redis.utils import HIREDIS_AVAILABLE

from resilient_redis.connections import cleanliness
from resilient_redis.connections.cleanliness import absorb, dirt, make_peek
from resilient_redis.connections.deadline_socket import DeadlineSocket
from resilient_redis.connections.observed import observed

PUSH = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
MESSAGE = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
KINDS = {
    "hiredis-resp2": (_HiredisParser, 2),
    "hiredis-resp3": (_HiredisParser, 3),
    "python-resp2": (_RESP2Parser, 2),
    "python-resp3": (_RESP3Parser, 3),
}
if not HIREDIS_AVAILABLE:
    KINDS = {name: kind for name, kind in KINDS.items() if name.startswith("python")}
RESP3 = [name for name in KINDS if name.endswith("resp3")]


class OnSocket(redis.Connection):
    """Over a socket that is there already; no handshake."""

    sockets: list[Any]

    def _connect(self) -> Any:
        sock = self.sockets.pop(0)
        sock.settimeout(self.socket_timeout)
        return sock


class OnSocketUnobserved(OnSocket):
    """One that our pools would leave as it is."""

    def send_command(self, *args: Any, **options: Any) -> None:
        super().send_command(*args, **options)


def start_parser(connection: Any) -> None:
    connection._parser.on_connect(connection)


class Rig:
    """A connection and its peer."""

    def __init__(self, kind: str, decode: bool = False, base: Any = OnSocket, family: str = "unix") -> None:
        parser, protocol = KINDS[kind]
        self.pairs = [tcp_pair() if family == "tcp" else socket.socketpair() for _ in range(2)]
        self.peer = self.pairs[0][1]
        self.decode = decode
        self.connection = observed(base)(
            protocol=protocol,
            parser_class=parser,
            decode_responses=decode,
            redis_connect_func=start_parser,
            socket_timeout=5,
        )
        self.connection.sockets = [pair[0] for pair in self.pairs]
        self.connection.connect()
        self.pushes: list[Any] = []
        if protocol == 3:
            self.connection._parser.set_invalidation_push_handler(self.pushes.append)
            self.connection._parser.set_pubsub_push_handler(self.pushes.append)
        self.peek = make_peek(self.connection)

    def text(self, value: bytes) -> Any:
        return value.decode() if self.decode else value

    def close(self) -> None:
        try:
            self.connection.disconnect()
        finally:
            for sock in itertools.chain(*self.pairs):
                sock.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = socket.create_connection(listener.getsockname())
        return mine, listener.accept()[0]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[False, True], ids=["bytes", "text"])
def decode(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*args: Any, **options: Any) -> Rig:
        made.append(Rig(*args, **options))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


BASES = pytest.mark.parametrize("base", [OnSocket, OnSocketUnobserved], ids=["observed", "unobserved"])


@BASES
def test_an_idle_connection_is_clean_and_stays_usable(make: Any, kind: str, decode: bool, base: Any) -> None:
    rig = make(kind, decode, base)
    for _ in range(3):
        assert dirt(rig.connection) is None
        assert rig.peek() is False
        assert absorb(rig.connection) is None
        rig.peer.sendall(b"$2\r\nhi\r\n")
        assert rig.peek() is True
        assert rig.connection.read_response() == rig.text(b"hi")


REPLIES = [
    b"+OK\r\n",
    b":1\r\n",
    b"$3\r\nabc\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n:1\r\n",
    b"-ERR nothing\r\n",
    b"-ERR max number of clients reached\r\n",
    b"-LOADING soon\r\n",
    b"+OK\r\n+O",
]
REPLIES3 = [b"_\r\n", b"#t\r\n", b",1.5\r\n", b"%1\r\n+a\r\n+b\r\n", b"~1\r\n+a\r\n", b"=7\r\ntxt:abc\r\n"]
PARTS = [
    b"+",
    b"+O",
    b"+OK\r",
    b":",
    b":1",
    b"$10\r\nabc",
    b"$3\r\nabc",
    b"*2\r\n",
    b"*2\r\n$1\r\na\r\n",
    b"*1\r\n*1\r\n",
]
PARTS3 = [
    b">",
    b">2\r\n",
    b">2\r\n+invalidate\r\n",
    PUSH[:-1],
    PUSH[:-5],
    PUSH + b">2\r\n",
    PUSH + b"+",
    b"%1\r\n+a\r\n",
]
GARBAGE = [b"hello\r\n", b"\r\n", b":x\r\n", b"$x\r\n", b"\x00\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        *((said, "reply") for said in REPLIES),
        *((said, "partial") for said in PARTS),
        *((said, "garbage") for said in GARBAGE),
    ],
)
@BASES
def test_what_waits_on_the_socket_is_named(
    make: Any, kind: str, decode: bool, said: bytes, cause: str, base: Any
) -> None:
    rig = make(kind, decode, base)
    rig.peer.sendall(said)
    assert dirt(rig.connection) is None  # a look at the socket is not free
    assert rig.peek() is True
    assert absorb(rig.connection) == cause
    assert absorb(rig.connection) == cause  # once dirty, dirty until closed
    assert dirt(rig.connection) == "unread"
    rig.connection.disconnect()
    rig.connection.connect()
    assert absorb(rig.connection) is None
    assert dirt(rig.connection) is None


@pytest.mark.parametrize(
    ("said", "cause"), [*((said, "reply") for said in REPLIES3), *((said, "partial") for said in PARTS3)]
)
@pytest.mark.parametrize("kind", RESP3)
def test_what_only_resp3_says_is_named(make: Any, kind: str, decode: bool, said: bytes, cause: str) -> None:
    rig = make(kind, decode)
    rig.peer.sendall(said)
    assert absorb(rig.connection) == cause
    assert len(rig.pushes) == said.count(PUSH)  # what was whole reached its handler


@pytest.mark.parametrize("said", [b"", b"+OK\r\n", b"$10\r\nabc", b"nonsense\r\n"])
def test_the_end_of_the_stream(make: Any, kind: str, decode: bool, said: bytes) -> None:
    rig = make(kind, decode)
    rig.peer.sendall(said)
    rig.peer.close()
    assert rig.peek() is True
    assert absorb(rig.connection) == "eof"
    assert absorb(rig.connection) == "eof"


def test_a_reset_is_the_end_too(make: Any, kind: str) -> None:
    rig = make(kind, family="tcp")
    rig.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    rig.peer.close()
    assert rig.peek() is True
    assert absorb(rig.connection) == "eof"


@pytest.mark.parametrize("kind", RESP3)
def test_pushes_are_handed_over_and_leave_the_connection_clean(make: Any, kind: str, decode: bool) -> None:
    rig = make(kind, decode)
    rig.peer.sendall(PUSH + MESSAGE + PUSH.replace(b"*1\r\n$1\r\nk\r\n", b"_\r\n"))
    assert rig.peek() is True
    assert absorb(rig.connection) is None
    invalidate = rig.text(b"invalidate")
    message = [rig.text(part) for part in (b"message", b"c", b"m")]
    assert rig.pushes == [[invalidate, [rig.text(b"k")]], message, [invalidate, None]]
    assert rig.peek() is False
    assert dirt(rig.connection) is None
    rig.peer.sendall(PUSH + b"+PONG\r\n")
    assert rig.connection.read_response() == rig.text(b"PONG")
    assert len(rig.pushes) == 4  # the parser's own way is as it was


@pytest.mark.parametrize("kind", RESP3)
def test_many_pushes_at_once(make: Any, kind: str) -> None:
    rig = make(kind)
    many = 3000  # more than one read holds
    sender = threading.Thread(target=rig.peer.sendall, args=(PUSH * many,))
    sender.start()
    while sender.is_alive() or rig.peek():
        if rig.peek():
            cause = absorb(rig.connection)
            assert cause in (None, "partial")
            if cause == "partial":  # caught in the middle of sending
                break
    else:
        assert len(rig.pushes) == many
    rig.connection.disconnect()
    sender.join(5)


@pytest.mark.parametrize("kind", RESP3)
def test_who_has_too_much_to_say_is_cut_off(make: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanliness, "_MOST", 100)
    rig = make(kind)
    rig.peer.sendall(PUSH * 10)
    assert absorb(rig.connection) == "garbage"
    assert rig.pushes == []


@pytest.mark.parametrize("kind", RESP3)
def test_a_handler_that_fails_costs_the_connection_and_no_push(make: Any, kind: str) -> None:
    rig = make(kind)

    def fail(_: Any) -> None:
        raise RuntimeError("handler")

    rig.connection._parser.set_pubsub_push_handler(fail)
    rig.peer.sendall(MESSAGE + PUSH)
    assert absorb(rig.connection) == "garbage"
    assert len(rig.pushes) == 1


@pytest.mark.parametrize("kind", RESP3)
def test_without_handlers_of_ones_own_redis_pys_defaults_are_asked(make: Any, kind: str) -> None:
    rig = make(kind)
    rig.connection._parser.set_pubsub_push_handler(rig.connection._parser.handle_pubsub_push_response)
    rig.connection._parser.set_invalidation_push_handler(None)
    rig.peer.sendall(MESSAGE + PUSH)
    assert absorb(rig.connection) is None


@pytest.mark.parametrize("kind", RESP3)
def test_a_name_that_cannot_be_decoded_is_garbage(make: Any, kind: str) -> None:
    rig = make(kind, True)
    rig.peer.sendall(PUSH.replace(b"\nk\r", b"\n\xff\r"))
    assert absorb(rig.connection) == "garbage"


def test_the_timeout_is_as_it_was(make: Any, kind: str) -> None:
    rig = make(kind)
    rig.peer.sendall(b"$10\r\nabc")
    sock = rig.connection._sock
    assert isinstance(sock, DeadlineSocket)
    assert absorb(rig.connection) == "partial"
    assert sock.gettimeout() == sock._sock.gettimeout() == 5


@pytest.mark.parametrize("kind", RESP3)
def test_a_handler_may_set_the_timeout(make: Any, kind: str) -> None:
    rig = make(kind)
    rig.connection._parser.set_invalidation_push_handler(lambda _: rig.connection._sock.settimeout(9))
    rig.peer.sendall(PUSH)
    assert absorb(rig.connection) is None
    assert rig.connection._sock.gettimeout() == rig.connection._sock._sock.gettimeout() == 9


# In the parser


@pytest.mark.parametrize(
    ("rest", "cause"),
    [(b"+MORE\r\n", "reply"), (b"$10\r\nabc", "partial"), (b"*2\r\n+a\r\n", "partial"), (b"hello\r\n", "garbage")],
)
@BASES
def test_what_came_with_a_reply_is_unread(
    make: Any, kind: str, decode: bool, rest: bytes, cause: str, base: Any
) -> None:
    rig = make(kind, decode, base)
    rig.peer.sendall(b"+OK\r\n" + rest)
    assert rig.connection.read_response() == rig.text(b"OK")
    assert dirt(rig.connection) == "unread"
    assert dirt(rig.connection) == "unread"
    assert absorb(rig.connection) == cause
    assert absorb(rig.connection) == cause


@pytest.mark.parametrize("kind", RESP3)
@BASES
def test_a_push_that_came_with_a_reply_is_handed_over(make: Any, kind: str, decode: bool, base: Any) -> None:
    rig = make(kind, decode, base)
    rig.peer.sendall(b"+OK\r\n" + PUSH)
    assert rig.connection.read_response() == rig.text(b"OK")
    assert dirt(rig.connection) is None
    assert len(rig.pushes) == 1
    rig.peer.sendall(b"+OK\r\n" + PUSH + b"+MORE\r\n")
    assert rig.connection.read_response() == rig.text(b"OK")
    assert dirt(rig.connection) == "unread"
    assert len(rig.pushes) == 2


@pytest.mark.parametrize("said", [b"+OK\r\n", PUSH])
def test_a_look_by_redis_py_itself_hides_nothing(make: Any, kind: str, said: bytes) -> None:
    """Up to redis-py 7, ``can_read`` takes the bytes off the socket, and even a reply out of the reader."""
    if said is PUSH and kind not in RESP3:
        pytest.skip("no pushes there")
    rig = make(kind)
    rig.peer.sendall(said)
    for _ in range(2):
        assert rig.connection.can_read(0)
    clean = said is PUSH
    assert dirt(rig.connection) == (None if clean or rig.peek() else "unread")
    assert absorb(rig.connection) == (None if clean else "reply")
    assert len(rig.pushes) == clean


def test_a_reply_left_after_a_timeout_is_found_when_it_comes(make: Any, kind: str) -> None:
    rig = make(kind)
    rig.connection._sock.settimeout(0.01)
    rig.peer.sendall(b"$10\r\nabc")
    with pytest.raises(redis.TimeoutError):
        rig.connection.read_response(disconnect_on_error=False)
    assert dirt(rig.connection) == "unread"
    assert absorb(rig.connection) == "partial"


def test_an_array_left_between_two_elements_by_a_read_that_was_given_up(
    make: Any, kind: str, request: pytest.FixtureRequest
) -> None:
    rig = make(kind)
    rig.connection._sock.settimeout(0.01)
    rig.peer.sendall(b"*2\r\n+a\r\n")
    with pytest.raises(redis.TimeoutError):
        rig.connection.read_response(disconnect_on_error=False)
    if kind.startswith("hiredis"):
        request.applymarker(pytest.mark.xfail(reason="its has_data() says no, and a look that would tell costs 300 ns"))
    assert dirt(rig.connection) == "unread"


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
    rig.connection._sock = sock = Tls(fileno=rig.connection._sock._sock.detach())
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
