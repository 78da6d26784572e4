"""Pipelines and transactions by the lean path: one write, all replies, then what redis-py makes of them.

The order in which errors and callbacks come is redis-py's, to the letter; only the detours are left out. The parts
that do no I/O serve asyncio too: see `aio_lean_pipeline`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import redis.client
import redis.exceptions as rx
from redis._parsers.socket import SERVER_CLOSED_CONNECTION_ERROR
from redis.client import CaseInsensitiveDict

from resilient_redis.calls import LeftBehind
from resilient_redis.connections.attempt import ANSWERED, CONNECT, Attempt
from resilient_redis.connections.cleanliness import dirt, soil_of
from resilient_redis.connections.replies_due import TOO_MANY
from resilient_redis.transport.going_on import goes_on
from resilient_redis.transport.lean import (
    NAMES,
    NEVER,
    NOT_ENOUGH,
    PLAIN,
    callback_for,
    error_in,
    is_push,
    learn,
    metrics_are_on,
    pack,
    packed,
    talk,
    without_keys,
)
from resilient_redis.transport.replies import (
    NIL,
    Refused,
    delivery_of_pipeline,
    delivery_of_transaction,
    marked,
    note_delivery,
    refusal,
)

MULTI = b"*1\r\n$5\r\nMULTI\r\n"
EXEC = b"*1\r\n$4\r\nEXEC\r\n"
STOCK = redis.client.Pipeline.execute

_OVERRIDABLE = ("_execute_pipeline", "_execute_transaction", "_send_command_parse_response", "parse_response")
_OURS = ("redis", __name__.partition(".")[0])


def serves(pipe: Any, pool_type: type[Any], behind: list[LeftBehind] | None) -> bool:
    """May this pipeline be lean, if the connection is? Asked before each attempt."""
    return (
        behind is None
        and not pipe.scripts
        and is_plain(pipe, pool_type)
        and all(map(_is_ordinary, pipe.command_stack))
        and (not pipe.watching if pipe.connection is None else goes_on(pipe.connection))
    )


def is_plain(pipe: Any, pool_type: type[Any]) -> bool:
    """Does nothing of its own, its pool's, or its process's stand between its commands and the wire?"""
    pool = pipe.connection_pool
    return (
        pack is not None
        and isinstance(pool, pool_type)
        and getattr(pool, "cache", None) is None
        and type(pipe.response_callbacks) is CaseInsensitiveDict
        and not _has_its_own(pipe.__class__)
        and not metrics_are_on()
    )


@functools.lru_cache(64)  # bounded: classes may be made at run time
def _has_its_own(cls: type[Any]) -> bool:
    """Does a class of somebody else's stand between the commands and the wire?"""
    strangers = [each for each in cls.__mro__ if each.__module__.partition(".")[0] not in _OURS]
    return any(name in vars(each) for each in strangers for name in _OVERRIDABLE)


def _is_ordinary(command: Any) -> bool:
    words, options = command
    name = words[0]
    try:
        known = name in NAMES or learn(name)
    except TypeError:  # a name that cannot be hashed
        return False
    return known and not (options and (NEVER[0] in options or NEVER[1] in options))


def execute_lean(pipe: Any, attempt: Attempt, raise_on_error: bool, transaction: bool) -> list[Any]:
    """One try of one pipeline; what ``Pipeline.execute()`` does.

    Raises:
        redis.RedisError: as redis-py's ``execute()``.
    """
    commands, pool = pipe.command_stack, pipe.connection_pool
    data = b"".join([packed(words) for words, _ in commands])
    if pipe.connection is None:
        pipe.connection = pool.get_connection()
    connection = pipe.connection
    try:
        if not getattr(connection, "lean", False):
            return redis.client.Pipeline.execute(pipe, raise_on_error)  # its reset() gives the connection back
        attempt.stage = CONNECT
        if transaction and pipe.watching:
            connection._note(("EXEC",))
        replies = _converse(connection, MULTI + data + EXEC if transaction else data, attempt, commands, transaction)
        if transaction and has_ended_the_watch(replies):
            pipe.watching = False
        if must_close(attempt, commands, replies, raise_on_error, transaction):
            connection.disconnect()
    finally:
        if pipe.connection is not None:
            _let_go(pipe, connection)
    try:
        if transaction:
            return _results_of_exec(pipe, commands, executed(pipe, commands, replies, raise_on_error))
        return _results(pipe, commands, replies, raise_on_error)
    except Exception:
        note(commands, replies, transaction)
        raise


def _let_go(pipe: Any, connection: Any) -> None:
    if pipe.watching and connection._sock is not None:
        pipe.reset()  # which ends the watch first
        return
    pipe.watching = False
    pipe.connection_pool.release(connection)
    pipe.connection = None  # only now: if release() is interrupted, reset() gives it back once more


def _converse(connection: Any, data: bytes, attempt: Attempt, commands: Sequence[Any], transaction: bool) -> list[Any]:
    due = len(commands) + 2 * transaction
    connection.replies_due = due  # whoever is interrupted in the midst leaves a connection that nobody takes
    replies: list[Any] = talk(connection, data, attempt, functools.partial(read_all, due))
    return replies


def read_all(due: int, connection: Any, attempt: Attempt) -> list[Any]:
    """So many replies; push messages between them go to their handlers."""
    parser, sock = connection._parser, connection._sock
    raw, reader, buffer = sock.raw, parser._reader, parser._buffer
    replies: list[Any] = []
    while True:
        count = raw.recv_into(buffer)
        if not count:
            raise rx.ConnectionError(SERVER_CLOSED_CONNECTION_ERROR)
        sock.owed = False
        reader.feed(buffer, 0, count)
        while len(replies) < due and (reply := reader.gets()) is not NOT_ENOUGH:
            if reply.__class__ in PLAIN:
                replies.append(reply)
            elif is_push(parser, reply):
                parser.handle_push_response(reply)
            else:
                replies.append(taken(reply, attempt))
        if len(replies) == due:
            connection.replies_due = 0
            if dirt(connection) == "unread" and soil_of(connection, sock) == "reply":
                raise rx.ConnectionError(TOO_MANY)
            attempt.stage = ANSWERED
            return replies
        sock.bound(attempt)


# --- what asyncio uses too ---


def taken(reply: Any, attempt: Attempt) -> Any:
    """A reply of several as it is kept: an error stands in its place.

    Raises:
        redis.ConnectionError: it says that the connection is of no use, and nothing more may come.
    """
    error = error_in(reply)
    if error is None:
        return reply
    attempt.answered(error)
    if isinstance(error, rx.BusyLoadingError):
        return refusal(error)
    if isinstance(error, rx.ConnectionError):
        attempt.stage = ANSWERED
        raise error
    return marked(error)


def has_ended_the_watch(replies: Sequence[Any]) -> bool:
    """Was EXEC answered? If it was refused, redis-py sends an UNWATCH to be sure."""
    return not isinstance(replies[-1], Exception)


def must_close(
    attempt: Attempt, commands: Sequence[Any], replies: Sequence[Any], raise_on_error: bool, transaction: bool
) -> bool:
    """Must the connection be closed though all replies came? redis-py closes it when a LOADING is raised, and when
    EXEC answers for another number of commands: then no reply of it can be trusted.
    """
    if transaction and _is_out_of_step(replies, commands):
        return True
    raised = raise_on_error or transaction
    return raised and any(isinstance(error, Refused) for error in attempt.answers or ())


def _is_out_of_step(replies: Sequence[Any], commands: Sequence[Any]) -> bool:
    done = replies[-1]
    if done is None or isinstance(done, Exception):
        return False
    if done.__class__ is not list:
        return True
    refused = sum(isinstance(reply, Exception) for reply in replies[:-1])
    return len(done) + refused != len(commands)


def executed(pipe: Any, commands: Sequence[Any], replies: Sequence[Any], raise_on_error: bool) -> list[Any]:
    """What EXEC answered, with what was refused while queueing in its place; no callbacks yet.

    Raises:
        redis.WatchError: it did nothing, since a watched key had changed.
        redis.ResponseError: it was refused, or (with ``raise_on_error``) the first error in it.
    """
    errors = [(0, replies[0])] if isinstance(replies[0], Exception) else []
    for place, reply in enumerate(replies[1:-1]):
        if isinstance(reply, Exception):
            pipe.annotate_exception(reply, place + 1, commands[place][0])
            errors.append((place, reply))
    done = replies[-1]
    if isinstance(done, Exception):
        if errors and isinstance(done, rx.ExecAbortError):
            raise errors[0][1] from done
        raise done
    if done is None:
        raise rx.WatchError("Watched variable changed.")
    for place, error in errors:
        done.insert(place, error)
    if len(done) != len(commands):
        raise rx.ResponseError("Wrong number of response items from pipeline execution")
    if raise_on_error:
        pipe.raise_first_error(commands, done)
    results: list[Any] = done
    return results


def note(commands: Sequence[Any], replies: Sequence[Any], transaction: bool) -> None:
    """Write on the attempt under way what the replies tell of what was applied."""
    errors = [reply if isinstance(reply, Exception) else NIL if reply is None else None for reply in replies]
    note_delivery((delivery_of_transaction if transaction else delivery_of_pipeline)(errors, commands))


# --- results ---


def _results(pipe: Any, commands: Sequence[Any], replies: Sequence[Any], raise_on_error: bool) -> list[Any]:
    results: list[Any] = []
    for reply, (words, options) in zip(replies, commands, strict=True):
        callback = callback_for(pipe, words[0])
        if callback is None or isinstance(reply, Exception):
            results.append(reply)
            continue
        try:
            results.append(callback(reply, **without_keys(options)))
        except rx.ResponseError as error:  # out of a callback: to redis-py it is the reply
            results.append(error)
    if raise_on_error:
        pipe.raise_first_error(commands, results)
    return results


def _results_of_exec(pipe: Any, commands: Sequence[Any], done: Sequence[Any]) -> list[Any]:
    results = []
    for reply, (words, options) in zip(done, commands, strict=True):
        callback = None if isinstance(reply, Exception) else callback_for(pipe, words[0])
        results.append(reply if callback is None else callback(reply, **without_keys(options)))
    return results
