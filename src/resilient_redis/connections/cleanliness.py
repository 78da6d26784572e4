"""Is this connection clean? Only then may another borrower have it. Twin of `aio_cleanliness`.

A connection is clean if it is as configured and nothing lies in it that somebody else asked for. A RESP3 push lies in
it by right: it is handed to redis-py's handlers, which keep the client-side cache and the maintenance state.
Handlers run inside `dirt` and `absorb` and take locks of their own: call both without holding one.
"""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Callable
from typing import Any

import redis.exceptions as rx
from redis._parsers import _HiredisParser, _RESP2Parser, _RESP3Parser
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.connection import CacheProxyConnection

from resilient_redis.connections.deadline_socket import DeadlineSocket
from resilient_redis.connections.readable import make_look
from resilient_redis.connections.session import SOILED, Session

try:
    from ssl import SSLWantReadError, SSLWantWriteError

    _NOTHING_THERE: tuple[type[Exception], ...] = (BlockingIOError, SSLWantReadError, SSLWantWriteError)
except ImportError:  # a Python without TLS
    _NOTHING_THERE = (BlockingIOError,)

_CHUNK = 1 << 16
_MOST = 1 << 20
"""Bytes that `absorb` takes in. Whoever has more to say to an idle connection holds up its borrower for too long."""

_CACHES_NEXT = "_next_response" in _HiredisParser.on_connect.__code__.co_names
"""Up to redis-py 7 the hiredis parser holds a reply back once ``can_read`` has looked."""


def dirt(connection: Any) -> str | None:
    """Why this connection, now given back, must not go to the next borrower; ``None``: it is clean.

    Free checks only: no system call. Never raises. Once dirty, a connection is dirty until it is closed.
    Not seen: a reply that is owed but has not come, and, under hiredis, an array cut between two elements by a read
    with ``disconnect_on_error=False``.

    Returns:
        ``"lost"`` (not connected any more), a word of `session.WORDS`, ``"unread"`` (a reply, or a part of one, is
        left in the parser, or on its way), ``"reconnect"`` (redis-py wants it dialled anew: maintenance), or ``None``.
    """
    try:
        # The common case, spelled out: redis-py's own parser over a socket of ours.
        sock = connection._sock
        fresh = sock.__class__ is DeadlineSocket and not sock.owed and not connection.replies_due
        if fresh and not connection._states and not connection._should_reconnect:
            parser = connection._parser
            kind = parser.__class__
            if kind is _HiredisParser:
                if not (parser._reader.has_data() or (_CACHES_NEXT and parser._next_response is not NOT_ENOUGH_DATA)):
                    return None
            elif (kind is _RESP3Parser or kind is _RESP2Parser) and not parser._buffer._buffer.getvalue():
                return None
    except AttributeError:
        pass  # a connection of another kind
    try:
        return _dirt(connection)
    except Exception:  # noqa: BLE001 - whatever it is, this connection is of no use
        return "lost"


def absorb(connection: Any) -> str | None:
    """Take in what waits on an idle connection, without blocking; ``None``: nothing is left, it is clean.

    Pushes go to their handlers, TLS session tickets to the TLS layer. A handler may have marked the connection for a
    reconnect, or closed it: `dirt` knows. Never raises. After any other answer the connection must be closed.

    Returns:
        ``"eof"`` (the server closed it), ``"reply"`` (a reply that nobody asked for), ``"partial"`` (half a frame),
        ``"garbage"`` (no RESP, a handler that failed, or more than 1 MiB), or ``None``.
    """
    try:
        return _absorb(connection)
    except Exception:  # noqa: BLE001 - whatever it is, this connection is of no use
        return "garbage"


def make_peek(connection: Any) -> Callable[[], bool]:
    """Make a function that says whether the idle socket is readable now: bytes wait, or the server hung up.

    One ``poll``, made ready here; after a reconnect it is made anew. It says True for a connection that is closed,
    and always False for one without a socket to look at. Never raises.
    """
    inner = _unwrapped(connection)
    if not isinstance(_raw(getattr(inner, "_sock", None)), socket.socket):
        return _never
    sock = inner._sock
    look, pending = _watch(sock)

    def peek() -> bool:
        nonlocal sock, look, pending
        try:
            if inner._sock is not sock:
                if inner._sock is None:
                    return True
                look, pending = _watch(inner._sock)
                sock = inner._sock
            if look():
                return True
            return pending is not None and pending() > 0
        except Exception:  # noqa: BLE001 - `absorb` will find out
            return True

    return peek


def _never() -> bool:
    return False


def _watch(sock: Any) -> tuple[Callable[[], Any], Callable[[], int] | None]:
    """What to ask "readable?", and for a TLS socket what counts the bytes already deciphered."""
    raw = _raw(sock)
    return make_look(raw.fileno()), getattr(raw, "pending", None)


def _dirt(connection: Any) -> str | None:
    inner = _unwrapped(connection)
    if not _is_connected(inner):
        return "lost"
    if isinstance(inner, Session) and inner.session is not None:
        return inner.session
    if getattr(inner_socket(inner), "owed", False) or getattr(inner, "replies_due", 0):
        return "unread"
    if soil_of(inner, inner_socket(inner)) is not None:
        return "unread"
    if _is_genuine(inner):
        with _drain_lock(connection):
            cause = _parse(inner, b"")
        if cause is not None:
            soil(inner, inner_socket(inner), cause)
            return "unread"
    elif _can_read(inner):
        return "unread"
    if not _is_connected(inner):  # a handler closed it
        return "lost"
    return "reconnect" if should_reconnect(connection) else None


def _absorb(connection: Any) -> str | None:
    inner = _unwrapped(connection)
    if not _is_connected(inner):
        return "eof"
    sock = inner_socket(inner)
    known = soil_of(inner, sock)
    if known is not None:
        return known
    if getattr(sock, "owed", False):
        return "reply"
    if not _is_genuine(inner):
        try:
            return "reply" if _can_read(inner) else None
        except (rx.ConnectionError, OSError):
            return "eof"
    with _drain_lock(connection):
        data, ended = _receive(_raw(sock))
        cause = "garbage" if len(data) > _MOST else _parse(inner, data)
    cause = "eof" if ended else cause
    if cause is not None:
        soil(inner, sock, cause)
    return cause


def _receive(raw: socket.socket) -> tuple[bytearray, bool]:
    """All that has come in, and whether the stream has ended."""
    data = bytearray()
    timeout = raw.gettimeout()
    raw.settimeout(0)
    try:
        while len(data) <= _MOST:
            chunk = raw.recv(_CHUNK)
            if not chunk:
                return data, True
            data += chunk
    except _NOTHING_THERE:
        pass
    except OSError:  # reset, timed out, no TLS: there is no more to come
        return data, True
    finally:
        raw.settimeout(timeout)  # before any handler runs: those of maintenance set timeouts too
    return data, False


# Parsing


def _parse(inner: Any, data: bytes | bytearray) -> str | None:
    """Parse what the parser holds and ``data``; hand pushes over; what is left?"""
    parser = inner._parser
    if _family(parser) is _HiredisParser:
        pushes, cause = _parse_cached(parser)
        if cause is None:
            more, cause = parse_hiredis(parser, data)
            pushes += more
    else:
        pushes, cause = _parse_python(parser, data)
    return _deliver(parser, pushes) or cause


def _parse_cached(parser: Any) -> tuple[list[Any], str | None]:
    held = getattr(parser, "_next_response", NOT_ENOUGH_DATA)
    if held is NOT_ENOUGH_DATA:
        return [], None
    parser._next_response = NOT_ENOUGH_DATA
    kind = parser._hiredis_PushNotificationType
    return ([held], None) if kind is not None and isinstance(held, kind) else ([], "reply")


def parse_hiredis(parser: Any, data: bytes | bytearray) -> tuple[list[Any], str | None]:
    """Pushes, and what else there is; for hiredis parsers, sync or asyncio."""
    reader, kind = parser._reader, parser._hiredis_PushNotificationType
    pushes: list[Any] = []
    try:
        if data:
            reader.feed(bytes(data))
        while (reply := reader.gets()) is not NOT_ENOUGH_DATA:
            if kind is None or not isinstance(reply, kind):
                return pushes, "reply"
            pushes.append(reply)
        # Half an array leaves no byte behind, and `has_data` says False: another reply shows whether it is the next.
        if reader.has_data():
            return pushes, "partial"
    except Exception:  # noqa: BLE001 - no RESP, or not in the encoding
        return pushes, "garbage"
    try:
        reader.feed(b":0\r\n")
        probe = reader.gets()
    except Exception:  # noqa: BLE001 - it went into the middle of a frame
        return pushes, "partial"
    return pushes, None if probe is not NOT_ENOUGH_DATA and type(probe) is int else "partial"


class Dry(Exception):
    """A parser wants bytes that are not there."""


class _DrySocket:
    """Stands in for the socket of a pure-Python parser."""

    def recv(self, _: int) -> bytes:
        raise Dry


def _parse_python(parser: Any, data: bytes | bytearray) -> tuple[list[Any], str | None]:
    buffer = parser._buffer
    if data:
        at = buffer._buffer.tell()
        buffer._buffer.seek(0, 2)
        buffer._buffer.write(data)
        buffer._buffer.seek(at)
    pushes: list[Any] = []
    sock, buffer._sock = buffer._sock, _DrySocket()
    try:
        with collecting(parser, pushes.append):
            while buffer.unread_bytes():
                first = buffer._buffer.getbuffer()[buffer.get_pos()]
                cause = _parse_one(parser, pushes, first)
                if cause is not None:
                    return pushes, cause
    finally:
        buffer._sock = sock
    return pushes, None


def _parse_one(parser: Any, pushes: list[Any], first: int) -> str | None:
    before = len(pushes)
    try:
        parser.read_response(**push_option(parser, _RESP3Parser))
    except Dry:
        return "partial"
    except Exception as error:  # noqa: BLE001 - no RESP, or not in the encoding
        return judge(error, first)
    return None if len(pushes) > before else "reply"


def judge(error: Exception, first: int) -> str:
    """What an error from a pure-Python parser means: some error replies are raised, not returned."""
    said = isinstance(error, rx.RedisError) and not isinstance(error, rx.InvalidResponse)
    return "reply" if said and first in b"-!" else "garbage"


def push_option(parser: Any, resp3: type[Any]) -> dict[str, bool]:
    """Makes ``read_response`` return after a push, where there are any."""
    return {"push_request": True} if isinstance(parser, resp3) else {}


@contextlib.contextmanager
def collecting(parser: Any, collect: Callable[[Any], Any]) -> Any:
    """Pushes go to ``collect`` instead of their handlers."""
    parser.handle_push_response = collect
    try:
        yield
    finally:
        del parser.handle_push_response


def _deliver(parser: Any, pushes: list[Any]) -> str | None:
    """Hand them over. If a handler fails, what it should keep may be stale: then a new connection is due."""
    cause = None
    for push in pushes:
        try:
            parser.handle_push_response(push)
        except Exception:  # noqa: BLE001 - a handler may be anybody's
            cause = "garbage"
    return cause


# What kind of connection it is


def _family(parser: Any) -> type[Any] | None:
    cls: Any = type(parser)
    return _family_of(cls)


@functools.cache
def _family_of(cls: Any) -> type[Any] | None:
    """Which of redis-py's parsers reads here; a subclass counts if it reads as its base does."""
    for base in (_HiredisParser, _RESP3Parser, _RESP2Parser):
        if issubclass(cls, base) and cls.read_response is base.read_response:
            return base
    return None


def _is_genuine(inner: Any) -> bool:
    """A real socket, and one of redis-py's parsers on it?"""
    sock = inner_socket(inner)
    parser = getattr(inner, "_parser", None)
    if parser is None or not isinstance(_raw(sock), socket.socket) or _family(parser) is None:
        return False
    return parser._sock is sock


def _unwrapped(connection: Any) -> Any:
    return connection._conn if isinstance(connection, CacheProxyConnection) else connection


def _drain_lock(connection: Any) -> contextlib.AbstractContextManager[Any]:
    """Under the client-side cache, other borrowers' connections read from this one; redis-py locks this for it."""
    if isinstance(connection, CacheProxyConnection):
        lock: contextlib.AbstractContextManager[Any] = connection._pool_lock
        return lock
    return contextlib.nullcontext()


def _raw(sock: Any) -> Any:
    return sock.raw if isinstance(sock, DeadlineSocket) else sock


def inner_socket(inner: Any) -> Any:
    """Its socket, if it has one."""
    return getattr(inner, "_sock", None)


def _is_connected(inner: Any) -> bool:
    if hasattr(inner, "_sock"):
        return inner._sock is not None
    return bool(getattr(inner, "is_connected", True))


def _can_read(inner: Any) -> bool:
    """The public question. Not to a connection that may not be connected: it would dial to answer."""
    if not hasattr(inner, "_sock") and not hasattr(inner, "is_connected"):
        return False
    return bool(inner.can_read(0))


def should_reconnect(connection: Any) -> bool:
    """Does redis-py want it dialled anew? Before redis-py 7 it never does."""
    asks = getattr(connection, "should_reconnect", None)
    return asks is not None and bool(asks())


# A verdict holds


def soil(inner: Any, link: Any, cause: str) -> None:
    """Remember why it is dirty: what showed it has been read, and will not show it again."""
    with contextlib.suppress(AttributeError):  # it has no room for it
        inner._soil = (link, cause)
    if isinstance(inner, Session):
        inner._states |= SOILED


def soil_of(inner: Any, link: Any) -> str | None:
    """Why it was found dirty, over this very socket or stream."""
    found = getattr(inner, "_soil", None)
    return found[1] if found is not None and found[0] is link else None
