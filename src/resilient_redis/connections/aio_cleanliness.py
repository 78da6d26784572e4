"""Is this asyncio connection clean? Twin of `cleanliness`, where the words are explained.

Nothing here awaits: only what the event loop has read already is looked at. redis-py's handlers of pushes are
coroutines that may wait for others, so they run in a task of their own, at the loop's next step.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine
from typing import Any

from redis._parsers import _AsyncHiredisParser, _AsyncRESP2Parser, _AsyncRESP3Parser

from resilient_redis.connections.cleanliness import (
    Dry,
    collecting,
    judge,
    parse_hiredis,
    push_option,
    should_reconnect,
    soil,
    soil_of,
)
from resilient_redis.connections.session import Session

_CHUNK = 1 << 16
_delivering: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly


def dirt(connection: Any) -> str | None:
    """Why this connection must not go to the next borrower; ``None``: it is clean. Free checks only; never raises.

    Returns:
        ``"lost"`` (not connected, or not yet: a dial is under way), a word of `session.WORDS`, ``"unread"``,
        ``"reconnect"``, or ``None``.
    """
    try:
        # The common case, spelled out.
        stream = connection._reader
        kind: Any = stream.__class__
        if (
            kind is asyncio.StreamReader
            and not stream._buffer
            and not stream._eof
            and stream._exception is None
            and not connection._states
            and not connection._owed
            and not connection.replies_due
            and connection._dial is None
            and not connection._should_reconnect
            and not connection._writer._transport.is_closing()
        ):
            parser = connection._parser
            kind = parser.__class__
            if kind is _AsyncHiredisParser:
                if not parser._reader.has_data():
                    return None
            elif (kind is _AsyncRESP3Parser or kind is _AsyncRESP2Parser) and not (parser._buffer or parser._chunks):
                return None
    except AttributeError:
        pass  # a connection of another kind
    try:
        return _dirt(connection)
    except Exception:  # noqa: BLE001 - whatever it is, this connection is of no use
        return "lost"


def absorb(connection: Any) -> str | None:
    """Take in what the loop has read for an idle connection; ``None``: nothing is left, it is clean.

    Never waits, never raises. After any other answer the connection must be closed.

    Returns:
        ``"eof"``, ``"reply"``, ``"partial"``, ``"garbage"``, or ``None``.
    """
    try:
        return _absorb(connection)
    except Exception:  # noqa: BLE001 - whatever it is, this connection is of no use
        return "garbage"


def _dirt(connection: Any) -> str | None:
    stream = getattr(connection, "_reader", None)
    if not _is_connected(connection) or _has_ended(connection, stream):
        return "lost"
    if isinstance(connection, Session) and connection.session is not None:
        return connection.session
    if getattr(connection, "_owed", False) or getattr(connection, "replies_due", 0):
        return "unread"
    if soil_of(connection, stream) is not None:
        return "unread"
    if _is_genuine(connection):
        cause = _parse(connection)
        if cause is not None:
            soil(connection, stream, cause)
            return "unread"
    elif _can_read(connection):
        return "unread"
    return "reconnect" if should_reconnect(connection) else None


def _absorb(connection: Any) -> str | None:
    stream = getattr(connection, "_reader", None)
    if not _is_connected(connection) or (isinstance(stream, asyncio.StreamReader) and stream.exception() is not None):
        return "eof"
    known = soil_of(connection, stream)
    if known is not None:
        return known
    if getattr(connection, "_owed", False):
        return "reply"
    if not _is_genuine(connection):
        return "reply" if _can_read(connection) else None
    cause = _parse(connection)
    cause = "eof" if _has_ended(connection, stream) else cause
    if cause is not None:
        soil(connection, stream, cause)
    return cause


# Parsing


def _parse(connection: Any) -> str | None:
    """Parse what the stream and the parser hold; hand pushes over; what is left?"""
    parser, stream = connection._parser, connection._reader
    if _family(parser) is _AsyncHiredisParser:
        data = bytearray()
        while stream._buffer:
            data += _drive(stream.read(_CHUNK))
        pushes, cause = parse_hiredis(parser, data)
    else:
        pushes, cause = _parse_python(parser, stream)
    if pushes:
        task = asyncio.get_running_loop().create_task(_deliver(parser, pushes))
        _delivering.add(task)
        task.add_done_callback(_delivering.discard)
    return cause


def _parse_python(parser: Any, stream: Any) -> tuple[list[Any], str | None]:
    pushes: list[Any] = []

    async def collect(push: Any) -> None:
        pushes.append(push)

    with collecting(parser, collect):
        while held := bytes(parser._buffer) + b"".join(parser._chunks) + bytes(stream._buffer[:1]):
            before = len(pushes)
            try:
                _drive(parser.read_response(**push_option(parser, _AsyncRESP3Parser)))
            except Dry:
                return pushes, "partial"
            except Exception as error:  # noqa: BLE001 - no RESP, or not in the encoding
                return pushes, judge(error, held[0])
            if len(pushes) == before:
                return pushes, "reply"
    return pushes, None


def _drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that has all it needs.

    Raises:
        Dry: it has not.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise Dry


async def _deliver(parser: Any, pushes: list[Any]) -> None:
    for push in pushes:
        try:
            await parser.handle_push_response(push)
        except Exception as error:  # noqa: BLE001 - a handler may be anybody's
            context = {"message": "a handler of push messages failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


# What kind of connection it is


def _family(parser: Any) -> type[Any] | None:
    cls: Any = type(parser)
    return _family_of(cls)


@functools.cache
def _family_of(cls: Any) -> type[Any] | None:
    """Which of redis-py's parsers reads here; a subclass counts if it reads as its base does."""
    for base in (_AsyncHiredisParser, _AsyncRESP3Parser, _AsyncRESP2Parser):
        if issubclass(cls, base) and cls.read_response is base.read_response:
            return base
    return None


def _is_genuine(connection: Any) -> bool:
    """A real stream, and one of redis-py's parsers on it?"""
    stream = getattr(connection, "_reader", None)
    parser = getattr(connection, "_parser", None)
    if parser is None or not isinstance(stream, asyncio.StreamReader) or _family(parser) is None:
        return False
    return parser._stream is stream


def _is_connected(connection: Any) -> bool:
    dial = getattr(connection, "_dial", None)
    if dial is not None and not dial.done():
        return False
    return bool(getattr(connection, "is_connected", True))


def _has_ended(connection: Any, stream: Any) -> bool:
    """Closed by the server, or by us: there is no more to come."""
    if not isinstance(stream, asyncio.StreamReader):
        return False
    ended: bool = stream._eof  # type: ignore[attr-defined] # `at_eof` is not asked: it waits for the buffer to be empty
    return ended or stream.exception() is not None or connection._writer.transport.is_closing()


def _can_read(connection: Any) -> bool:
    """The public question, where it is answered at once. (Before redis-py 7 it would throw away what it finds.)"""
    asks = getattr(connection, "can_read", None)
    if asks is None or not hasattr(connection, "is_connected"):
        return False
    try:
        return bool(_drive(asks()))
    except Dry:
        return False
