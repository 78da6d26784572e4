"""Makes a redis-py pool ready for our clients: observing connections, redis-py's own retries off, a place for state.

What redis-py was told to retry is read first: without ``policies`` it becomes our `Retry`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import redis
import redis.asyncio
import redis.asyncio.connection
import redis.asyncio.retry
import redis.retry
from redis.backoff import NoBackoff

from resilient_redis.calls import CommandClass
from resilient_redis.clock import Clock
from resilient_redis.connections import observed
from resilient_redis.connections.attempt import current_attempt
from resilient_redis.errors import ConfigError
from resilient_redis.events import Events
from resilient_redis.pipeline.store import LayerStore, check_policies
from resilient_redis.policies.base import Policy
from resilient_redis.policies.retry import Retry
from resilient_redis.pool.face import PoolFace

if TYPE_CHECKING:
    from resilient_redis.transport.multiplexed.options import Multiplexed

_ATTRIBUTE = "_resilient_redis"


class PoolState:
    """What hangs on a pool.

    Attributes:
        store: layers and plans.
        policies: the policies of the client that made this pool; ``None`` when it was handed in.
        redis_retry: redis-py's own retry as it was set, turned into a `Retry`; ``None`` when there was none.
        given_retry: the same as redis-py's object, for ``get_retry()``.
        defaults: the default stack for this pool, made once so that its circuit is one.
        marks: the user's own words for what commands do; ``None`` without any.
        renewed: clock reading at which its connections were last given up after a failover.
        strategy: how its clients share its connections, as said: ``None``: nobody has said yet.
        lines: the shared connections of the multiplexed strategy, once a client uses them.
    """

    def __init__(self, clock: Clock | None, redis_retry: Retry | None, events: Events | None) -> None:
        self.store = LayerStore(clock, events=events)
        self.policies: tuple[Policy, ...] | None = None
        self.redis_retry = redis_retry
        self.defaults: tuple[Policy, ...] | None = None
        self.given_retry: Any = None
        self.marks: Mapping[str, CommandClass] | None = None
        self.renewed = -math.inf
        self.strategy: Multiplexed | Literal["pooled"] | None = None
        self.lines: Any = None

    @property
    def multiplexed(self) -> Multiplexed | None:
        """The strategy, if it is that the clients share connections."""
        return None if self.strategy == "pooled" else self.strategy

    def choose(self, strategy: Any, pool: Any) -> None:
        """A client says how the pool's connections are to be shared; ``None``: as said before, else pooled.

        Raises:
            ConfigError: another client has said something else, or the pool is too small for it.
        """
        if strategy is None:
            return
        from resilient_redis.transport.multiplexed.options import parse_strategy, show_strategy

        chosen = parse_strategy(strategy)
        if self.strategy is not None and chosen != self.strategy:
            raise ConfigError(
                f"strategy: another client over this pool says {show_strategy(self.strategy)}, and this one "
                f"{show_strategy(chosen)}; leave it out here, or give this client a pool of its own",
                field="strategy",
            )
        if chosen != "pooled" and pool.max_connections <= chosen.connections:
            raise ConfigError(
                f"strategy: {chosen.connections} of the pool's max_connections={pool.max_connections} would be shared, "
                f"and none left for commands that cannot be; allow {chosen.connections + 1} or more",
                field="strategy",
            )
        self.strategy = chosen


class _Off(redis.retry.Retry):
    """Put in by us: says nothing about what the user wants. (redis-py copies it, so identity would not tell.)"""


class _AsyncOff(redis.asyncio.retry.Retry):
    """The same for asyncio."""


def no_redis_retries() -> redis.retry.Retry:
    """For sync connections: one try, no wait."""
    return _Off(NoBackoff(), 0)


def no_async_redis_retries() -> redis.asyncio.retry.Retry:
    """For asyncio connections: one try, no wait."""
    return _AsyncOff(NoBackoff(), 0)


def adopt(pool: Any, clock: Clock | None = None) -> PoolState:
    """The state of ``pool``; a pool seen for the first time is made ready.

    A pool that a user hands over is changed: its connections observe, its retries are off. On those that it has open
    already a deadline is only checked afterwards, and no fence is known.
    """
    state: PoolState | None = vars(pool).get(_ATTRIBUTE)
    if state is not None:
        if clock is not None and clock is not state.store.runtime.clock:
            raise ConfigError(
                "clock: this pool has a clock already, from the first client over it; give that client this one",
                field="clock",
            )
        return state
    given = pool.connection_kwargs.pop("policies", None)  # as Sentinel.master_for(policies=...) passes them on
    state = PoolState(clock, convert_retry(pool.connection_kwargs.get("retry")), getattr(pool, "events", None))
    if state.redis_retry is not None:
        state.given_retry = pool.connection_kwargs["retry"]
    if given is not None:
        state.policies = check_policies(given)
    if isinstance(pool, PoolFace):
        is_async = isinstance(pool, redis.asyncio.ConnectionPool)
        pool.set_retry(no_async_redis_retries() if is_async else no_redis_retries())
    elif isinstance(pool, redis.asyncio.ConnectionPool):
        pool.connection_class = _observing(pool.connection_class)
        _set_retry(pool, no_async_redis_retries())
    else:
        pool.connection_class = observed.observed(pool.connection_class)
        _set_retry(pool, no_redis_retries())
        if isinstance(pool, redis.BlockingConnectionPool):
            pool.__class__ = _bounded(type(pool))
    setattr(pool, _ATTRIBUTE, state)
    return state


def _set_retry(pool: Any, retry: Any) -> None:
    """For connections to come and those it has. The pools' own ``set_retry`` fails on a sync BlockingConnectionPool
    and leaves out the connections to come on an asyncio pool.
    """
    pool.connection_kwargs["retry"] = retry
    for attribute in ("_available_connections", "_in_use_connections", "_connections"):
        for connection in tuple(vars(pool).get(attribute, ())):
            _observe(connection)
            connection.retry = retry


def _observe(connection: Any) -> None:
    """A connection that was made before the pool was ours: from now on it marks attempts."""
    inner = getattr(connection, "_conn", connection)
    is_async = isinstance(inner, redis.asyncio.connection.AbstractConnection)
    form = _observing(type(inner)) if is_async else observed.observed(type(inner))
    if form is not type(inner):
        configured = vars(inner).pop("socket_connect_timeout", None)
        inner.__class__ = form
        inner.socket_connect_timeout = configured


def _observing(cls: Any) -> Any:
    from resilient_redis.connections import aio_observed  # here: a sync client has no use for it

    return aio_observed.observed(cls)


def convert_retry(retry: Any) -> Retry | None:
    """redis-py's ``Retry(backoff, n)`` as our `Retry` of n + 1 attempts with that backoff; ``None`` if it is ours.

    >>> from redis.backoff import ConstantBackoff
    >>> convert_retry(redis.retry.Retry(ConstantBackoff(0.1), 2)).describe()
    '3 attempts, waits by RedisBackoff'
    """
    if retry is None or isinstance(retry, (_Off, _AsyncOff)):
        return None
    count = int(retry.get_retries() if hasattr(retry, "get_retries") else retry._retries)
    if count == 0:
        return Retry(attempts=1)
    wait = RedisBackoff(retry._backoff)
    if count < 0:
        return Retry(stop=_never, wait=wait)
    return Retry(attempts=count + 1, wait=wait, total_time=math.inf)


def _never(_state: Any) -> bool:
    return False


class RedisBackoff:
    """A redis-py backoff as a tenacity wait."""

    def __init__(self, backoff: Any) -> None:
        self._backoff = backoff

    def __call__(self, state: Any) -> float:
        """Seconds before the next attempt."""
        return float(self._backoff.compute(state.attempt_number))


@functools.cache
def _bounded(cls: type[Any]) -> type[Any]:
    """A BlockingConnectionPool whose queue ends at the deadline of the call that waits in it."""

    def get(pool: Any) -> float | None:
        configured: float | None = vars(pool)["timeout"]
        attempt = current_attempt.get()
        return configured if attempt is None else _smaller(configured, attempt.left)

    def set_(pool: Any, seconds: float | None) -> None:
        vars(pool)["timeout"] = seconds

    return type(f"Bounded{cls.__name__}", (cls,), {"timeout": property(get, set_), "__module__": __name__})


def _smaller(configured: float | None, left: Callable[[], float]) -> float | None:
    seconds = left()
    if configured is not None:
        return min(configured, seconds)
    return None if seconds == math.inf else seconds
