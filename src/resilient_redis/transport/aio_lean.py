"""The lean path of asyncio. Twin of `lean`, which says what it is for."""

from __future__ import annotations

import asyncio
import builtins
import inspect
from collections.abc import Callable
from typing import Any

import redis.asyncio
import redis.exceptions as rx
from redis._parsers.socket import SERVER_CLOSED_CONNECTION_ERROR

from resilient_redis.calls import NO_DEADLINE
from resilient_redis.connections.attempt import ANSWERED, CONNECT, SENDING, SENT, Attempt, current_attempt
from resilient_redis.transport.lean import NOT_ENOUGH, PLAIN, callback_for, error_in, is_push, pack, without_keys

STOCK = redis.asyncio.Redis.execute_command

PACKED = frozenset({str, bytes, int, float})
"""Types that hiredis packs as redis.asyncio's own encoder does; the rest is left to that one."""


async def exchange_lean(
    now: Callable[[], float], client: Any, words: tuple[Any, ...], options: dict[str, Any], deadline: float
) -> Any:
    """One try of one command; what `aio_surfaces.exchange` does with redis-py's path.

    Raises:
        redis.RedisError: as on redis-py's path, stamped with how far it got.
    """
    attempt = Attempt(now, deadline, 0.0, True)
    outer = current_attempt.get()
    pool = client.connection_pool
    try:
        current_attempt.set(attempt)
        attempt.check_before(words[0])
        connection = await pool.get_connection()
        try:
            attempt.stage = CONNECT
            if not hasattr(connection, "lean"):  # of a class that was put into the pool since, and sends in its own way
                attempt.observed = False
                return await _by_its_own_way(client, connection, words, options, attempt)
            reply = await _talk(connection, words, attempt)
        finally:
            await pool.release(connection)
        callback = callback_for(client, words[0])
        if callback is None:
            return reply
        value = callback(reply, **without_keys(options))
        return value if value.__class__ in PLAIN or not inspect.isawaitable(value) else await value
    except builtins.TimeoutError as error:  # out of time in a queue of ours
        late = rx.TimeoutError(f"{words[0]} did not end before its deadline")
        attempt.stamp(late)
        raise late from error
    except Exception as error:
        attempt.stamp(error)
        raise
    finally:
        current_attempt.set(outer)


async def _by_its_own_way(
    client: Any, connection: Any, words: tuple[Any, ...], options: dict[str, Any], attempt: Attempt
) -> Any:
    left = attempt.left()
    async with asyncio.timeout(None if left == NO_DEADLINE else left):
        return await client._send_command_parse_response(connection, words[0], *words, **options)


async def _talk(connection: Any, words: tuple[Any, ...], attempt: Attempt) -> Any:
    """Send, and read the reply, within the time left."""
    data = pack(words) if connection.lean and all(word.__class__ in PACKED for word in words) else None
    if data is None:
        data = b"".join(connection.pack_command(*words))
    left = attempt.left()  # nothing is sent for a call that is over
    configured = vars(connection).get("socket_timeout")
    if configured is not None and configured < left:
        left = configured
    if left != NO_DEADLINE:
        connection.limit(left)
    try:
        reply = await (_exchange(connection, data, attempt) if connection.lean else _public(connection, data))
    except rx.ResponseError:
        raise
    except Exception as error:
        await connection.disconnect(nowait=True)
        told = _as_redis_says_it(error, connection, attempt)
        if told is error:
            raise
        raise told from error
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        connection.unlimit()
    return reply


async def _exchange(connection: Any, data: bytes, attempt: Attempt) -> Any:
    writer, stream, parser = connection._writer, connection._reader, connection._parser
    reader = parser._reader
    attempt.carrier = connection.identity
    attempt.stage = SENDING
    connection._owed = True
    writer.write(data)
    if writer.transport.get_write_buffer_size():
        await writer.drain()
    attempt.stage = SENT
    while True:
        chunk = await stream.read(65536)
        if not chunk:
            raise rx.ConnectionError(SERVER_CLOSED_CONNECTION_ERROR)
        connection._owed = False
        reader.feed(chunk)
        reply = reader.gets()
        while reply is not NOT_ENOUGH:
            if reply.__class__ in PLAIN or not is_push(parser, reply):
                attempt.stage = ANSWERED
                return reply if reply.__class__ in PLAIN else _judged(reply, attempt)
            await parser.handle_push_response(reply)
            reply = reader.gets()


async def _public(connection: Any, data: bytes) -> Any:
    """By redis-py's own methods, for a connection that is not of the usual kind."""
    await connection.send_packed_command([data])
    return await connection.read_response()


def _judged(reply: Any, attempt: Attempt) -> Any:
    """The reply, or the error that it is.

    Raises:
        redis.RedisError: the reply is an error.
    """
    error = error_in(reply)
    if error is None:
        return reply
    attempt.answers = (error,)
    raise error


def _as_redis_says_it(error: Exception, connection: Any, attempt: Attempt) -> Exception:
    """What redis-py would raise."""
    if connection.overdue or isinstance(error, builtins.TimeoutError):
        where = "writing to" if attempt.stage == SENDING else "reading from"
        return rx.TimeoutError(f"Timeout {where} {connection._host_error()}")
    if isinstance(error, OSError):
        return rx.ConnectionError(f"Error while reading from {connection._host_error()}: {error.args}")
    if attempt.stage == SENDING and isinstance(error, (AttributeError, RuntimeError)):
        # What asyncio's and uvloop's transports raise when the connection is lost in the very moment of the write.
        return rx.ConnectionError("the connection was lost while writing to it")
    return error
