"""What redis-py is about to do with a lease, learned by letting it begin. The same for sync and asyncio.

A pool with policies must know the command before it has a connection for it: a fallback answers for a ``GET``, never
for an ``INCR``. redis-py hands over a function that sends on whatever connection it was lent. It is called once while
`learning` is set: the lease notes what it is asked to send, sends nothing, and ends that call by raising `Learned`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import msgspec
import redis.exceptions as rx

from resilient_redis.calls import Call, Delivery
from resilient_redis.commands.traits import BLOCKING, blocking_time, command_name
from resilient_redis.transport.describe_calls import (
    Marks,
    command_call,
    pipeline_allowance,
    pipeline_call,
    pubsub_call,
)
from resilient_redis.transport.replies import delivery_of_pipeline, delivery_of_transaction

SUPPORTED = (rx.ConnectionError, rx.TimeoutError, TimeoutError)
"""The errors after which redis-py gives a connection up."""


class Kind(enum.Enum):
    """What sort of thing it is."""

    COMMAND = "a single command"
    PIPELINE = "a pipeline or transaction"
    PUBSUB = "subscribing, or a way back to the server for somebody who stays"
    WAIT = "reading what the server sends on its own"


COMMAND, PIPELINE, PUBSUB, WAIT = Kind


class Errand(msgspec.Struct, eq=False):
    """One call of redis-py's on a lease.

    Attributes:
        kind: what sort of thing it is.
        name: the command, ``PIPELINE`` or ``TRANSACTION``.
        words: the command's words; for a pipeline all its commands, each with (no) options, as redis-py keeps them.
        allowance: seconds that it may block on the server.
        stateful: the lease holds something that another connection has not.
        lease: on which it runs.
        do: does it once.
        fail: redis-py wants to be told of each failed attempt: it closes the connection and ends a WATCH.
        counted: ``fail`` wants the number of failures, too.
        failures: that number.
    """

    kind: Kind
    name: str
    words: Sequence[Any] = ()
    allowance: float = 0.0
    stateful: bool = False
    lease: Any = None
    do: Callable[[], Any] | None = None
    fail: Callable[..., Any] | None = None
    counted: bool = False
    failures: int = 0

    @property
    def atomic(self) -> bool:
        """Is all of it needed for any of it to run?"""
        return self.kind is not PIPELINE or self.name == "TRANSACTION" or len(self.words) == 1

    def describe(self, marks: Marks) -> Call:
        """It as the policies see it."""
        if self.kind is PUBSUB:
            return pubsub_call(self.name)
        if self.kind is PIPELINE:
            return pipeline_call(self.words, self.name == "TRANSACTION", marks, stateful=self.stateful)
        return command_call(tuple(self.words), {}, marks, stateful=self.stateful)

    def delivery_by(self, errors: Sequence[Any]) -> Delivery | None:
        """How far a pipeline got, by the error replies among those that came; ``None`` where they do not tell."""
        told = delivery_of_transaction if self.name == "TRANSACTION" else delivery_of_pipeline
        return told(errors, self.words)

    def arguments(self, error: Exception) -> tuple[Any, ...]:
        """What ``fail`` is called with, after one more failure."""
        self.failures += 1
        return (error, self.failures) if self.counted else (error,)


class Learned(BaseException):
    """Ends a call that was begun only to see what it would send. No ``Exception``, so that nobody else catches it."""

    def __init__(self, errand: Errand) -> None:
        self.errand = errand


learning: ContextVar[Any] = ContextVar("resilient_redis_learning", default=None)
"""The lease that is to note what it is asked to send. A context variable, since a pub/sub is used by two threads."""

inside: ContextVar[Any] = ContextVar("resilient_redis_inside", default=None)
"""The lease of which a guarded call is under way: what redis-py does on it meanwhile is part of that call. It goes
along into the task in which asyncio dials."""


def single(words: tuple[Any, ...], *, pubsub: bool) -> Errand:
    """An errand of one command."""
    name = command_name(words)
    if pubsub:
        return Errand(PUBSUB, name, words)
    return Errand(COMMAND, name, words, blocking_time(words) if words[0] in BLOCKING else 0.0)


def several(commands: Sequence[Any]) -> Errand:
    """An errand of a pipeline, from the commands that redis-py packs: MULTI and EXEC are no commands of the user's."""
    commands = list(commands)
    transaction = len(commands) > 1 and _is(commands[0], "MULTI") and _is(commands[len(commands) - 1], "EXEC")
    if transaction:
        commands = commands[1 : len(commands) - 1]
    words: list[Any] = [(tuple(command), {}) for command in commands]
    name = "TRANSACTION" if transaction else "PIPELINE"
    return Errand(PIPELINE, name, words, pipeline_allowance(words, transaction))


def waiting() -> Errand:
    """An errand of reading."""
    return Errand(WAIT, "WAIT")


def _is(command: Any, name: str) -> bool:
    return len(command) == 1 and command_name(tuple(command)) == name
