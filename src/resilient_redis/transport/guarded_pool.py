"""Pools with policies of their own: ``ResilientConnectionPool(policies=[...])``, sync and asyncio.

Such a pool lends leases (`pool_lease`, `aio_pool_lease`) to redis-py's own clients. A client of this library guards its
commands itself, by the same plan, and gets plain connections. A pool with policies is of a class of its own, so nobody
pays who does not use them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import redis.asyncio

from resilient_redis.clock import Clock
from resilient_redis.connections import aio_observed, observed
from resilient_redis.connections.attempt import current_attempt
from resilient_redis.errors import ConfigError
from resilient_redis.pipeline.describe import breakers_of, describe_plan
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pipeline.store import check_policies
from resilient_redis.policies.base import Policy
from resilient_redis.policies.retry import Retry
from resilient_redis.pool.health import PoolHealth
from resilient_redis.pool.options import PoolOptions
from resilient_redis.transport import aio_pool_lease, pool_lease
from resilient_redis.transport.adopt import PoolState, adopt, convert_retry, no_async_redis_retries, no_redis_retries

_MOST_RETRIES = 1 << 30


class Guard:
    """What the leases of one pool share.

    Attributes:
        state: the pool's.
        plan: the compiled policies.
        observed: its connections know how far a command got.
        surface: what the plan guards.
        retries: how often a command may be repeated, for redis-py's metrics.
    """

    def __init__(self, state: PoolState, plan: Plan, observed: bool, surface: Any) -> None:
        self.state = state
        self.plan = plan
        self.observed = observed
        self.surface = surface(self)
        attempts = [policy._attempts for policy in plan.policies if isinstance(policy, Retry)]
        self.retries = int(min(max(attempts, default=1) - 1, _MOST_RETRIES))
        self._blank: Any = None

    def blank(self, pool: Any) -> Any:
        """A connection that is never dialled, to be asked what those of this pool are like."""
        if self._blank is None:
            made = pool.connection_class(**pool.connection_kwargs)
            made.connect = made.connect_check_health = _refuse
            self._blank = made
        return self._blank


def guard(pool: Any, policies: Sequence[Any], clock: Clock | None) -> None:
    """Give a new pool policies: from now on it lends leases.

    Raises:
        ConfigError: a policy is wrong, or ``retry=`` says something else.
    """
    checked = check_policies(policies)
    state = adopt(pool, clock)
    if state.redis_retry is not None and state.redis_retry._attempts > 1:
        raise _two_retries("retry: redis-py's retry= and policies= both say how to retry; leave retry= out")
    state.policies = checked
    is_async = isinstance(pool, redis.asyncio.ConnectionPool)
    is_observed = (aio_observed if is_async else observed).is_observed
    surface = (aio_pool_lease if is_async else pool_lease).LeaseSurface
    pool._guard = Guard(state, state.store.plan(checked), is_observed(pool.connection_class), surface)


@functools.cache
def guarded(cls: type[Any]) -> type[Any]:
    """The class of pools with policies that belongs to a class of pools; it bears the same name."""
    if issubclass(cls, GuardedSide):
        return cls
    mixin = GuardedAsyncPool if issubclass(cls, redis.asyncio.ConnectionPool) else GuardedPool
    return type(cls.__name__, (mixin, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__})


class GuardedSide:
    """What both guarded pools answer."""

    _guard: Guard | None = None  # without policies, by way of ``type(pool)(...)``
    options: Any
    connection_kwargs: dict[str, Any]

    def _set_up(self, options: PoolOptions, clock: Clock | None) -> None:
        """As the pool's. A Sentinel pool finds the policies among what is for its connections."""
        super()._set_up(options, clock)  # type: ignore[misc] # the pool's
        policies = self.connection_kwargs.pop("policies", None)
        if policies is not None:
            guard(self, policies, clock)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies in force, outermost first."""
        return () if self._guard is None else self._guard.plan.policies

    @property
    def breakers(self) -> dict[str, Any]:
        """The circuits by name (by type name where they have none): ask ``state``, or ``isolate()`` and ``reset()``."""
        return {} if self._guard is None else breakers_of(self._guard.plan)

    def describe(self) -> str:
        """The stack with every effective number, and the pool's bounds."""
        below = f"pool: {self.options.describe()}"
        return below if self._guard is None else describe_plan(self._guard.plan, ["redis-py's own retries: off", below])

    def health(self, *, breakers: Mapping[str, str] | None = None) -> PoolHealth:
        """As a pool's without policies; with its own circuits, unless others are given."""
        if breakers is None:
            breakers = {name: str(layer.state) for name, layer in self.breakers.items()}
        health: PoolHealth = super().health(breakers=breakers)  # type: ignore[misc] # the pool's
        return health

    def set_retry(self, retry: Any) -> None:
        """Not here.

        Raises:
            ConfigError: the policies say it already.
        """
        if self._guard is None or convert_retry(retry) is None:
            super().set_retry(retry)  # type: ignore[misc] # the pool's; this is how its retries are turned off
            return
        is_async = isinstance(self, redis.asyncio.ConnectionPool)
        # redis-py's client has written the new one down already.
        self.connection_kwargs["retry"] = no_async_redis_retries() if is_async else no_redis_retries()
        raise _two_retries("set_retry: this pool's policies= already say how to retry; make it without set_retry")


class GuardedPool(GuardedSide):
    """Mixin of a pool for threads that has policies."""

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Borrow: a `Lease`, or a connection where a client of this library asks, which guards it itself."""
        if self._guard is None or current_attempt.get() is not None:
            return self._lend()
        return pool_lease.Lease(self)

    def release(self, connection: Any) -> None:
        """Give back what was borrowed, a lease or a connection."""
        if isinstance(connection, pool_lease.Lease):
            connection.end()
        else:
            super().release(connection)  # type: ignore[misc] # the pool's

    def _lend(self) -> Any:
        return super().get_connection()  # type: ignore[misc] # the pool's

    def _take_back(self, connection: Any) -> None:
        super().release(connection)  # type: ignore[misc] # the pool's


class GuardedAsyncPool(GuardedSide):
    """Mixin of a pool for asyncio that has policies. Twin of `GuardedPool`."""

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Borrow: a `Lease`, or a connection where a client of this library asks, which guards it itself."""
        if self._guard is None or current_attempt.get() is not None:
            return await self._lend()
        return aio_pool_lease.Lease(self)

    async def release(self, connection: Any) -> None:
        """Give back what was borrowed, a lease or a connection."""
        if isinstance(connection, aio_pool_lease.Lease):
            connection.end()
        else:
            self._take_back(connection)

    async def _lend(self) -> Any:
        return await super().get_connection()  # type: ignore[misc] # the pool's

    def _take_back(self, connection: Any) -> None:
        self._give_back(connection)  # type: ignore[attr-defined] # the pool's


def _refuse(*_: Any, **__: Any) -> None:
    raise redis.ConnectionError("no connection was borrowed yet")


def _two_retries(message: str) -> ConfigError:
    return ConfigError(f"{message} and put a Retry(...) into policies", field="retry")
