"""The lean path of asyncio. Twin of `lean`, which says what it is for."""

from __future__ import annotations

import asyncio
import builtins
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis.asyncio
import redis.exceptions as rx
from redis._parsers.socket import SERVER_CLOSED_CONNECTION_ERROR

from resilient_redis.calls import NO_DEADLINE
from resilient_redis.connections.attempt import ANSWERED, CONNECT, SENDING, SENT, Attempt, current_attempt
from resilient_redis.transport.lean import NAMES, NOT_ENOUGH, PLAIN, is_push, judged, pack, without_keys

STOCK = redis.asyncio.Redis.execute_command
_T = TypeVar("_T")
_of_dict: Any = dict.get  # redis-py's dictionary of callbacks has a ``get`` that writes each name anew

CHUNK = 65536
"""Bytes that are read at once."""

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
    return await one_try(attempt, words[0], _exchange, client, words, options, attempt)


async def one_try(attempt: Attempt, name: str, work: Callable[..., Awaitable[_T]], *args: Any) -> _T:
    """``work(*args)`` under its attempt; what goes wrong is stamped with how far it got.

    Unlike `aio_surfaces.exchange` it sets no timer: the work keeps to the deadline by itself.

    Raises:
        redis.TimeoutError: the time was over before anything was sent.
    """
    outer = current_attempt.get()
    try:
        try:
            current_attempt.set(attempt)
            attempt.check_before(name)
            return await work(*args)
        except builtins.TimeoutError as error:  # out of time in a queue of ours
            if attempt.stage >= ANSWERED:  # out of a callback of the caller's
                attempt.stamp(error)
                raise
            late = rx.TimeoutError(f"{name} did not end before its deadline")
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


async def _exchange(client: Any, words: tuple[Any, ...], options: dict[str, Any], attempt: Attempt) -> Any:
    pool = client.connection_pool
    connection = await pool.get_connection()
    try:
        attempt.stage = CONNECT
        if not hasattr(connection, "lean"):  # of a class that was put into the pool since, and sends in its own way
            attempt.observed = False
            stock = client._send_command_parse_response
            return await within(attempt, words[0], stock, connection, words[0], *words, **options)
        reply = await talk(connection, packed(connection, words), attempt)
    finally:
        await pool.release(connection)
    callback = _of_dict(client.response_callbacks, NAMES[words[0]])
    if callback is None:
        return reply
    value = callback(reply, **without_keys(options))
    return value if value.__class__ in PLAIN or not inspect.isawaitable(value) else await value


async def within(attempt: Attempt, name: str, work: Callable[..., Awaitable[_T]], /, *args: Any, **options: Any) -> _T:
    """``work(*args, **options)``, which knows nothing of deadlines, until that of the attempt.

    Raises:
        redis.TimeoutError: it did not end before, or was not begun.
        redis.ConnectionError: there was no connection to be had before.
    """
    attempt.check_before(name)
    if attempt.deadline == NO_DEADLINE:
        return await work(*args, **options)
    timer = asyncio.timeout(attempt.deadline - attempt.now())
    try:
        async with timer:
            return await work(*args, **options)
    except TimeoutError as error:
        if not timer.expired():
            raise
        if attempt.starved:
            raise rx.ConnectionError(f"{name} got no connection before its deadline") from error
        # redis-py closes a connection whose read is cancelled, so the late reply reaches nobody.
        raise rx.TimeoutError(f"{name} did not end before its deadline") from error


def packed(connection: Any, words: tuple[Any, ...]) -> Any:
    """The command on the wire, as this connection's encoder has it.

    Raises:
        redis.DataError: an argument is of a type that Redis does not know.
    """
    for word in words:
        if word.__class__ not in PACKED:
            return b"".join(connection.pack_command(*words))
    return pack(words) if connection.lean else b"".join(connection.pack_command(*words))


async def read_one(connection: Any, attempt: Attempt) -> Any:
    """The reply; push messages before it go to their handlers.

    Raises:
        redis.RedisError: the reply is an error.
    """
    stream, parser = connection._reader, connection._parser
    reader = parser._reader
    while True:
        chunk = await stream.read(CHUNK)
        if not chunk:
            raise rx.ConnectionError(SERVER_CLOSED_CONNECTION_ERROR)
        connection._owed = False
        reader.feed(chunk)
        reply = reader.gets()
        while reply is not NOT_ENOUGH:
            if reply.__class__ in PLAIN:
                attempt.stage = ANSWERED
                return reply
            if not is_push(parser, reply):
                return judged(reply, attempt)
            await parser.handle_push_response(reply)
            reply = reader.gets()


async def talk(
    connection: Any, data: bytes, attempt: Attempt, read: Callable[[Any, Attempt], Awaitable[Any]] = read_one
) -> Any:
    """Send, and read what ``read`` reads, within the time left. The connection is closed unless all of it was read.

    Raises:
        redis.RedisError: what redis-py would raise.
    """
    limit(connection, attempt)
    try:
        if not connection.lean:
            return await _public(connection, data)
        writer = connection._writer
        attempt.carrier = connection.identity
        attempt.stage = SENDING
        connection._owed = True
        writer.write(data)
        if writer.transport.get_write_buffer_size():
            await writer.drain()
        attempt.stage = SENT
        return await read(connection, attempt)
    except Exception as error:
        if attempt.stage == ANSWERED and not isinstance(error, rx.ConnectionError):  # LOADING … is one to redis-py
            raise
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


def limit(connection: Any, attempt: Attempt) -> None:
    """The next read or write has what is left to the deadline, or the configured time if that is less.

    Raises:
        TimeoutError: nothing is left, and nothing is sent for a call that is over.
    """
    left = attempt.left()
    configured = vars(connection).get("socket_timeout")
    if configured is not None and configured < left:
        left = configured
    if left != NO_DEADLINE:
        connection.limit(left)


async def _public(connection: Any, data: bytes) -> Any:
    """By redis-py's own methods, for a connection that is not of the usual kind."""
    await connection.send_packed_command([data])
    return await connection.read_response()


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
