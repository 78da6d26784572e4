"""Lean pipelines of asyncio. Twin of `lean_pipeline`, which says what they are for."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import functools
import inspect
from collections.abc import Sequence
from typing import Any

import redis.asyncio.client
import redis.exceptions as rx
from redis._parsers.socket import SERVER_CLOSED_CONNECTION_ERROR

from resilient_redis.calls import NO_DEADLINE
from resilient_redis.connections.aio_cleanliness import dirt
from resilient_redis.connections.attempt import ANSWERED, CONNECT, Attempt
from resilient_redis.connections.cleanliness import soil_of
from resilient_redis.connections.replies_due import TOO_MANY
from resilient_redis.transport.aio_lean import CHUNK, limit, one_try, packed, talk, within
from resilient_redis.transport.lean import NOT_ENOUGH, PLAIN, callback_for, is_push, without_keys
from resilient_redis.transport.lean_pipeline import EXEC, MULTI, executed, has_ended_the_watch, must_close, note, taken

STOCK = redis.asyncio.client.Pipeline.execute


async def execute_lean(pipe: Any, attempt: Attempt, raise_on_error: bool, transaction: bool) -> list[Any]:
    """One try of one pipeline; what ``Pipeline.execute()`` does, within its deadline.

    Raises:
        redis.RedisError: as redis-py's ``execute()``, stamped with how far it got.
    """
    return await one_try(attempt, "PIPELINE", _execute, pipe, attempt, raise_on_error, transaction)


async def _execute(pipe: Any, attempt: Attempt, raise_on_error: bool, transaction: bool) -> list[Any]:
    commands, pool = pipe.command_stack, pipe.connection_pool
    if pipe.connection is None:
        pipe.connection = await pool.get_connection()
    connection = pipe.connection
    try:
        if not getattr(connection, "lean", False):
            # By redis-py's own path, whose reset() gives the connection back.
            return await within(attempt, "PIPELINE", redis.asyncio.client.Pipeline.execute, pipe, raise_on_error)
        attempt.stage = CONNECT
        data = b"".join([packed(connection, words) for words, _ in commands])
        if transaction and pipe.watching:
            connection._note(("EXEC",))
        replies = await _converse(
            connection, MULTI + data + EXEC if transaction else data, attempt, len(commands) + 2 * transaction
        )
        if transaction and has_ended_the_watch(replies):
            pipe.watching = False
        if must_close(attempt, commands, replies, raise_on_error, transaction):
            await connection.disconnect(nowait=True)
    finally:
        if pipe.connection is not None:
            await _let_go(pipe, connection, attempt)
    try:
        if transaction:
            return await _results_of_exec(pipe, commands, executed(pipe, commands, replies, raise_on_error))
        return await _results(pipe, commands, replies, raise_on_error)
    except Exception:
        note(commands, replies, transaction)
        raise


async def _let_go(pipe: Any, connection: Any, attempt: Attempt) -> None:
    if pipe.watching and connection.is_connected:
        left = attempt.deadline - attempt.now()
        with contextlib.suppress(builtins.TimeoutError):  # then it was closed, which ends the watch too
            async with asyncio.timeout(None if left == NO_DEADLINE else left):
                await pipe.reset()  # which ends the watch first
        return
    pipe.watching, pipe.connection = False, None
    await pipe.connection_pool.release(connection)


async def _converse(connection: Any, data: bytes, attempt: Attempt, due: int) -> list[Any]:
    connection.replies_due = due  # whoever is cancelled in the midst leaves a connection that nobody takes
    replies: list[Any] = await talk(connection, data, attempt, functools.partial(read_all, due))
    return replies


async def read_all(due: int, connection: Any, attempt: Attempt) -> list[Any]:
    """So many replies; push messages between them go to their handlers."""
    stream, parser = connection._reader, connection._parser
    reader = parser._reader
    replies: list[Any] = []
    while True:
        chunk = await stream.read(CHUNK)
        if not chunk:
            raise rx.ConnectionError(SERVER_CLOSED_CONNECTION_ERROR)
        connection._owed = False
        reader.feed(chunk)
        while len(replies) < due and (reply := reader.gets()) is not NOT_ENOUGH:
            if reply.__class__ in PLAIN:
                replies.append(reply)
            elif is_push(parser, reply):
                await parser.handle_push_response(reply)
            else:
                replies.append(taken(reply, attempt))
        if len(replies) == due:
            connection.replies_due = 0
            if dirt(connection) == "unread" and soil_of(connection, stream) == "reply":
                raise rx.ConnectionError(TOO_MANY)
            attempt.stage = ANSWERED
            return replies
        limit(connection, attempt)


async def _results(pipe: Any, commands: Sequence[Any], replies: Sequence[Any], raise_on_error: bool) -> list[Any]:
    results: list[Any] = []
    for reply, (words, options) in zip(replies, commands, strict=True):
        callback = callback_for(pipe, words[0])
        if callback is None or isinstance(reply, Exception):
            results.append(reply)
            continue
        try:
            value = callback(reply, **without_keys(options))
            results.append(await value if inspect.isawaitable(value) else value)
        except rx.ResponseError as error:  # out of a callback: to redis-py it is the reply
            results.append(error)
    if raise_on_error:
        pipe.raise_first_error(commands, results)
    return results


async def _results_of_exec(pipe: Any, commands: Sequence[Any], done: Sequence[Any]) -> list[Any]:
    results = []
    for reply, (words, options) in zip(done, commands, strict=True):
        callback = None if isinstance(reply, Exception) else callback_for(pipe, words[0])
        value = reply if callback is None else callback(reply, **without_keys(options))
        results.append(await value if inspect.isawaitable(value) else value)
    return results
