"""The errors this library raises itself.

What the *server* or the *network* did leaves as redis-py's own class, so existing
``except`` clauses keep working. What *we* decided has a class of its own here, with a
redis-py base for the same reason. Every error that leaves a pipeline carries:

- ``delivery``: ``"not_sent"`` | ``"rejected"`` | ``"unknown"``, the worst over all attempts;
- ``attempts``: how many times the command was tried (0 when it was refused before the first);
- ``elapsed``: seconds from the call to the error;
- notes (``__notes__``): a line for people. Keys, values and passwords are never in them.

Errors of guarded functions leave as they are: what a client inside wrote on them is about its command.
"""

from __future__ import annotations

import builtins
from typing import Any, ClassVar

import pybreaker
import redis.exceptions

from resilient_redis.calls import Kind


class ResilienceError(redis.exceptions.RedisError):
    """Base of every error that is this library's own decision; what a server or a network did is redis-py's.

    >>> from resilient_redis import Timeout
    >>> try:
    ...     Timeout("250")
    ... except ResilienceError as error:
    ...     print(error)
    Timeout.seconds: '250' has no unit; write "250s" or "250ms"
    """


class RejectedError(ResilienceError):
    """The command was refused on this side: **it was never sent**.

    Attributes:
        retry_after: seconds after which another try makes sense; ``None`` when unknown.
        delivery: always ``"not_sent"``.

    A policy of your own refuses with it, or with a subclass.

    >>> error = RejectedError("quota: no calls left; not sent", retry_after=2)
    >>> print(error, "-", error.delivery)
    quota: no calls left; not sent (retry after 2 s) - not_sent
    """

    kind: ClassVar[Kind] = Kind.REJECTED
    delivery: str = "not_sent"
    # redis-py 8 sets these in the constructor that is not called here, and its repr() needs them.
    error_type: Any = getattr(getattr(redis.exceptions, "ExceptionType", None), "NETWORK", None)
    status_code: str | None = None

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        # No super().__init__: BaseException has stored the message already, and the way through the bases of two
        # packages costs more than a refusal may.
        self.retry_after = retry_after

    def __str__(self) -> str:
        """The message, with the time to wait where it is known."""
        message = str(self.args[0])
        return message if self.retry_after is None else f"{message} (retry after {self.retry_after:.3g} s)"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args[0], self.retry_after, self.__dict__))


def _rebuild(cls: type[RejectedError], message: str, retry_after: float | None, state: dict[str, Any]) -> RejectedError:
    error = cls(message, retry_after=retry_after)
    error.__dict__.update(state)
    return error


class CircuitOpenError(RejectedError, pybreaker.CircuitBreakerError, redis.exceptions.ConnectionError):
    """The circuit breaker is open: the server is not asked.

    Caught by ``except redis.ConnectionError`` and by ``except pybreaker.CircuitBreakerError`` too.

    >>> import redis
    >>> from resilient_redis import CircuitBreaker, ResilientRedis
    >>> r = ResilientRedis(policies=[CircuitBreaker()])
    >>> r.breakers["circuit_breaker"].isolate()
    >>> try:
    ...     r.get("greeting")
    ... except redis.ConnectionError as error:
    ...     print(type(error).__name__, error.delivery)
    CircuitOpenError not_sent
    """

    kind: ClassVar[Kind] = Kind.CIRCUIT_OPEN


class BulkheadFullError(RejectedError, redis.exceptions.ConnectionError):
    """As many calls as the bulkhead admits are under way, and its queue is full or the wait was too long.

    >>> from resilient_redis import Bulkhead, ResiliencePipeline
    >>> narrow = ResiliencePipeline([Bulkhead(1)])
    >>> try:
    ...     narrow.call(narrow.call, len, "the second one inside the first")
    ... except BulkheadFullError as error:
    ...     print(error)
    bulkhead: 1 of 1 calls under way, 0 waiting; not sent
    """

    kind: ClassVar[Kind] = Kind.BULKHEAD_FULL


class PoolTimeoutError(RejectedError, redis.exceptions.MaxConnectionsError):
    """No connection came free in time. The message has the pool's numbers.

    Caught by ``except redis.ConnectionError`` too, as what redis-py's pools raise is.

    >>> from resilient_redis import ResilientConnectionPool
    >>> from resilient_redis.testing import EmbeddedServer
    >>> with EmbeddedServer.start() as server:
    ...     pool = ResilientConnectionPool.from_url(server.url, max_connections=1)
    ...     with pool.lease():
    ...         try:
    ...             pool.acquire(timeout="10ms")
    ...         except PoolTimeoutError as error:
    ...             print(error.delivery)
    ...     _ = pool.close()
    not_sent
    """

    kind: ClassVar[Kind] = Kind.POOL_EXHAUSTED


class PoolSaturatedError(RejectedError, redis.exceptions.MaxConnectionsError):
    """As many borrowers as ``max_waiting`` allows wait already.

    >>> from resilient_redis import ResilientConnectionPool
    >>> from resilient_redis.testing import EmbeddedServer
    >>> with EmbeddedServer.start() as server:
    ...     pool = ResilientConnectionPool.from_url(server.url, max_connections=1, max_waiting=0)
    ...     with pool.lease():
    ...         try:
    ...             pool.acquire()
    ...         except PoolSaturatedError as error:
    ...             print(error.delivery)
    ...     _ = pool.close()
    not_sent
    """

    kind: ClassVar[Kind] = Kind.POOL_EXHAUSTED


class PoolClosedError(RejectedError, redis.exceptions.ConnectionError):
    """The pool is draining or closed; it stays so.

    >>> from resilient_redis import ResilientConnectionPool
    >>> pool = ResilientConnectionPool()
    >>> pool.close()
    True
    >>> try:
    ...     pool.acquire()
    ... except PoolClosedError as error:
    ...     print(error.delivery)
    not_sent
    """

    kind: ClassVar[Kind] = Kind.POOL_CLOSED


class DialFailedError(RejectedError, redis.exceptions.ConnectionError):
    """Somebody else's dial has just failed, and the pool pauses before the next one; ``retry_after`` says how long.

    The failure itself leaves once, with the borrower for whom the dial was made, as redis-py's own error. So a
    circuit breaker counts one failure however many waited. ``__cause__`` is that error.
    """

    kind: ClassVar[Kind] = Kind.UNREACHABLE


class ConnectionStateLostError(RejectedError, redis.exceptions.ConnectionError):
    """The connection that this client keeps to itself is lost, and with it what its commands had made of it.

    Nothing is sent over another one in its place. It is no outage: no fallback stands for it, and no circuit counts it.
    Leave the ``lease()`` block, or make a new client with ``client()``, and begin again.
    """

    kind: ClassVar[Kind] = Kind.PROGRAMMING


class FenceRefusedError(RejectedError, redis.exceptions.ConnectionError):
    """A write was not repeated, because its first run may still arrive and cannot be kept from it.

    It never leaves a client: the error of the first run does, with this one in its notes.
    """


class PoolReturnError(ResilienceError, KeyError):
    """A connection was given back that is not lent: twice, or to another pool. Nothing else came of it.

    A ``KeyError`` too, as redis-py's asyncio pool raises.

    >>> from resilient_redis import ResilientConnectionPool
    >>> from resilient_redis.testing import EmbeddedServer
    >>> with EmbeddedServer.start() as server:
    ...     pool = ResilientConnectionPool.from_url(server.url)
    ...     connection = pool.acquire()
    ...     pool.release(connection)
    ...     try:
    ...         pool.release(connection)
    ...     except PoolReturnError as error:
    ...         print(error)
    ...     _ = pool.close()
    pool '...': this connection is not lent; it was given back before, or belongs to another pool
    """

    def __str__(self) -> str:
        """The message; a KeyError's would be in quotes."""
        return str(self.args[0])


class CallTimeoutError(ResilienceError, redis.exceptions.TimeoutError, builtins.TimeoutError):
    """A guarded coroutine did not end before its deadline, and was cancelled.

    A Redis command that is out of time leaves as ``redis.TimeoutError`` instead.

    >>> import asyncio
    >>> from resilient_redis import ResiliencePipeline, Timeout
    >>> try:
    ...     asyncio.run(ResiliencePipeline([Timeout("1ms")]).acall(asyncio.sleep, 60))
    ... except CallTimeoutError as error:
    ...     print(error)
    sleep did not end within 0.001 s and was cancelled
    """


class ConfigError(ResilienceError, ValueError):
    """A policy, a configuration file or an argument is wrong.

    Attributes:
        field: the field or key path, such as ``profiles.base.policies[1].attempts``; ``""`` when it is the whole.
        problems: every message, when several things are wrong at once.

    >>> from resilient_redis.config import load_config
    >>> try:
    ...     load_config({"policies": [{"type": "retry", "attempts": 0}]}, environ={})
    ... except ConfigError as error:
    ...     print(*error.problems)
    config: policies[0].attempts: 0 is out of range; give 1 or more; 1 turns repeating off
    """

    def __init__(self, message: str, *, field: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.field = field
        self.problems = problems or (message,)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild_config, (self.args[0], self.field, self.problems))


def _rebuild_config(message: str, field: str, problems: tuple[str, ...]) -> ConfigError:
    return ConfigError(message, field=field, problems=problems)


class PipelineOrderWarning(UserWarning):
    """The order of the policies defeats itself.

    Attributes:
        code: a stable code such as ``RR101``, for ``warnings.filterwarnings(message="RR101")``.
        reason: what happens as it stands.
        remedy: what to write instead.

    >>> import warnings
    >>> from resilient_redis import Fallback, ResilientRedis, Retry
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     _ = ResilientRedis(policies=[Retry(), Fallback(None)])
    >>> caught[0].message.code
    'RR101'
    """

    def __init__(self, code: str, reason: str, remedy: str) -> None:
        super().__init__(f"{code}: {reason} Remedy: {remedy}")
        self.code = code
        self.reason = reason
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return (PipelineOrderWarning, (self.code, self.reason, self.remedy))
