"""What lies in a connection and on its socket, byte for byte: every parser, both protocols, decoded or not. Sync."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any

import pytest
import redis
from cleanliness_kit import (
    BASES,
    MESSAGE,
    PUSH,
    RESP3,
)

from resilient_redis.connections import cleanliness
from resilient_redis.connections.cleanliness import absorb, dirt
from resilient_redis.connections.deadline_socket import DeadlineSocket


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
    assert sock.gettimeout() == sock.raw.gettimeout() == 5


@pytest.mark.parametrize("kind", RESP3)
def test_a_handler_may_set_the_timeout(make: Any, kind: str) -> None:
    rig = make(kind)
    rig.connection._parser.set_invalidation_push_handler(lambda _: rig.connection._sock.settimeout(9))
    rig.peer.sendall(PUSH)
    assert absorb(rig.connection) is None
    assert rig.connection._sock.gettimeout() == rig.connection._sock.raw.gettimeout() == 9


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
