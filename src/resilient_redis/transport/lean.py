"""The lean path: an ordinary command from its words to its reply, without redis-py's detours. Twin of `aio_lean`.

redis-py spends about 40 µs of Python on a GET whose exchange takes 16 to 19: retry objects, metric recorders, wrappers
of deprecated arguments, locks. Here a connection that redis-py has dialled and shaken hands on is borrowed, written
to and read from directly, and given back. Whatever is not of the usual kind takes redis-py's own path, with the same
results: see `serves` and `NAMES`.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import Any

import redis
import redis.connection
import redis.exceptions as rx
from redis._parsers.socket import SERVER_CLOSED_CONNECTION_ERROR

from resilient_redis.commands.traits import BLOCKING
from resilient_redis.connections.attempt import ANSWERED, CONNECT, SENDING, SENT, Attempt, current_attempt
from resilient_redis.connections.session import ORDINARY
from resilient_redis.pool.sync_pool import ResilientConnectionPool

try:
    from hiredis import pack_command
    from redis._parsers.hiredis import NOT_ENOUGH_DATA
except ImportError:  # then no connection is lean
    pack_command = NOT_ENOUGH_DATA = None  # type: ignore[assignment] # never called then

pack: Any = pack_command
_SERIALIZER: Any = getattr(redis.connection, "HiredisRespSerializer", object)()
NOT_ENOUGH: Any = NOT_ENOUGH_DATA

NAMES: dict[Any, Any] = {}
"""Command names, as callers write them, that were seen to be ordinary on redis-py's path, and may be lean; with the
name as response callbacks go by it."""

NEVER = ("NEVER_DECODE", "EMPTY_RESPONSE")
"""Options of redis-py's by which a reply is read in another way."""

PLAIN = frozenset({bytes, str, int, float, bool, type(None)})
"""Types of replies that are just what they are."""

STOCK = redis.Redis.execute_command
_PROVIDERS: Any = sys.modules.get("redis.observability.providers")  # redis-py imports it, from 7.4 on
_of_dict: Any = dict.get  # redis-py's dictionary of callbacks has a ``get`` that writes each name anew
_OVERRIDABLE = ("_execute_command", "_send_command_parse_response", "parse_response")


def is_usual(options: dict[str, Any]) -> bool:
    """The reply is to be read as ever, and nobody counts."""
    # `NEVER` and `metrics_are_on` spelled out: each command asks.
    if "NEVER_DECODE" in options or "EMPTY_RESPONSE" in options:
        return False
    instance = None if _PROVIDERS is None else _PROVIDERS._observability_instance
    return instance is None or instance._provider_manager is None


def serves(client: Any, pool_type: type[Any], stock: type[Any]) -> bool:
    """Is this client one that has nothing of its own between its commands and the wire? Asked once for each."""
    own = (getattr(type(client), name, None) is not getattr(stock, name, None) for name in _OVERRIDABLE)
    pool = client.connection_pool
    return pack is not None and isinstance(pool, pool_type) and getattr(pool, "cache", None) is None and not any(own)


def learn(name: Any) -> bool:
    """May commands of this name be lean, now that redis-py's path may have seen one?"""
    text = (name.decode("latin-1") if isinstance(name, bytes) else name).upper()
    if name in ORDINARY and text not in BLOCKING and " " not in text and not text.startswith("HIMPORT"):
        NAMES[name] = name.upper()
        return True
    return False


def metrics_are_on() -> bool:
    """Are redis-py's metrics switched on? They are counted on redis-py's own path."""
    instance = None if _PROVIDERS is None else _PROVIDERS._observability_instance
    return instance is not None and instance._provider_manager is not None


def callback_for(client: Any, name: Any) -> Any:
    """What redis-py makes of the reply to this command; ``None``: nothing."""
    return _of_dict(client.response_callbacks, NAMES[name])


def packed(words: tuple[Any, ...]) -> Any:
    """The command on the wire.

    Raises:
        redis.DataError: an argument is of a type that Redis does not know.
    """
    try:
        return pack(words)
    except TypeError:
        return b"".join(_SERIALIZER.pack(*words))  # which may take more, or says it in redis-py's words


def without_keys(options: dict[str, Any]) -> dict[str, Any]:
    """The options that are for the callback; ``keys`` is for redis-py's cache alone."""
    if "keys" not in options:
        return options
    return {} if len(options) == 1 else {name: value for name, value in options.items() if name != "keys"}


def exchange_lean(
    now: Callable[[], float], client: Any, words: tuple[Any, ...], options: dict[str, Any], deadline: float
) -> Any:
    """One try of one command; what `surfaces.exchange` does with redis-py's path.

    Raises:
        redis.RedisError: as on redis-py's path, stamped with how far it got.
    """
    attempt = Attempt(now, deadline, 0.0, True)
    outer = current_attempt.get()
    pool: ResilientConnectionPool = client.connection_pool
    try:
        try:
            current_attempt.set(attempt)
            data = packed(words)
            connection = pool.get_connection()
            try:
                attempt.stage = CONNECT
                lean = getattr(connection, "lean", None)
                if lean is None:  # of a class that was put into the pool since, and sends in a way of its own
                    attempt.observed = False
                    return client._send_command_parse_response(connection, words[0], *words, **options)
                if lean:
                    reply = talk(connection, data, attempt)
                else:
                    connection.send_packed_command([data])
                    reply = connection.read_response()
            finally:
                pool.release(connection)
            callback = _of_dict(client.response_callbacks, NAMES[words[0]])
            if callback is None:
                return reply
            return callback(reply, **without_keys(options))
        except builtins.TimeoutError as error:  # out of time in a queue of ours, or before it was sent
            if attempt.stage >= ANSWERED:  # out of a callback of the caller's
                attempt.stamp(error)
                raise
            late = rx.TimeoutError(f"{words[0]} did not end before its deadline")
            attempt.stamp(late)
            raise late from error
        except Exception as error:
            attempt.stamp(error)
            raise
        finally:
            current_attempt.set(outer)
    except BaseException:
        current_attempt.set(outer)  # again: an interrupt may have come before it was done
        raise


def read_one(connection: Any, attempt: Attempt) -> Any:
    """The reply; push messages before it go to their handlers.

    Raises:
        redis.RedisError: the reply is an error.
    """
    parser, sock = connection._parser, connection._sock
    raw, reader, buffer = sock.raw, parser._reader, parser._buffer
    while True:
        count = raw.recv_into(buffer)
        if not count:
            raise rx.ConnectionError(SERVER_CLOSED_CONNECTION_ERROR)
        sock.owed = False
        reader.feed(buffer, 0, count)
        reply = reader.gets()
        while reply is not NOT_ENOUGH:
            if reply.__class__ in PLAIN:
                attempt.stage = ANSWERED
                return reply
            if not is_push(parser, reply):
                return judged(reply, attempt)
            parser.handle_push_response(reply)
            reply = reader.gets()
        sock.bound(attempt)


def talk(connection: Any, data: bytes, attempt: Attempt, read: Callable[[Any, Attempt], Any] = read_one) -> Any:
    """Send, and read what ``read`` reads. The connection is closed unless all of it was read.

    Raises:
        redis.RedisError: what redis-py would raise.
    """
    sock = connection._sock
    sock.bound(attempt)
    attempt.carrier = connection.identity
    attempt.stage = SENDING
    raw = sock.raw
    try:
        sock.owed = sock.cut_short = True
        raw.sendall(data)
        sock.cut_short = False
        attempt.stage = SENT
        return read(connection, attempt)
    except rx.RedisError as error:
        if attempt.stage != ANSWERED or isinstance(error, rx.ConnectionError):  # LOADING … is one to redis-py
            connection.disconnect()
        raise
    except TimeoutError:
        raise _lost(connection, sock, attempt, None) from None
    except OSError as error:
        raise _lost(connection, sock, attempt, error) from error
    except BaseException:
        connection.disconnect()
        raise


def is_push(parser: Any, reply: Any) -> bool:
    """Is it a message that the server sends by itself (RESP3)?"""
    push = parser._hiredis_PushNotificationType
    return push is not None and isinstance(reply, push)


def error_in(reply: Any) -> Any:
    """The error that a reply is, if it is one. A list that begins with a lost connection is one to redis-py."""
    first = reply[0] if reply.__class__ is list and reply else reply
    if isinstance(first, rx.ConnectionError):
        return first
    return reply if isinstance(reply, rx.ResponseError) else None


def judged(reply: Any, attempt: Attempt) -> Any:
    """The reply, or the error that it is.

    Raises:
        redis.RedisError: the reply is an error.
    """
    attempt.stage = ANSWERED
    error = error_in(reply)
    if error is None:
        return reply
    attempt.answered(error)
    raise error


def _lost(connection: Any, sock: Any, attempt: Attempt, error: OSError | None) -> rx.RedisError:
    """What redis-py would raise; ``error`` is ``None`` for a timeout."""
    sending = attempt.stage == SENDING
    connection.disconnect()
    if sending:
        connection.look_at_failed_write(attempt, sock)
    where = "writing to" if sending else "reading from"
    if error is None:
        return rx.TimeoutError(f"Timeout {where} socket")
    return rx.ConnectionError(f"Error while {where} {connection._host_error()}: {error.args}")
