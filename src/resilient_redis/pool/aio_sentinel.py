"""The pool for asyncio behind Redis Sentinel. Twin of `sentinel`."""

from __future__ import annotations

from typing import Any

import redis.asyncio.sentinel

from resilient_redis.clock import Clock
from resilient_redis.pool.aio_endings import let_the_loop_close
from resilient_redis.pool.aio_pool import ResilientConnectionPool
from resilient_redis.pool.options import PoolOptions, take_options


class ResilientSentinelConnectionPool(ResilientConnectionPool, redis.asyncio.sentinel.SentinelConnectionPool):  # type: ignore[misc] # as its base
    """A ``redis.asyncio.sentinel.SentinelConnectionPool`` that is a `ResilientConnectionPool`.

    Each dial asks the sentinels where the master is (or a replica). When the master has moved, no connection to the
    old one is lent again: idle ones end at once, lent ones when they come back.

    Args:
        service_name: the service as the sentinels know it.
        sentinel_manager: a ``redis.asyncio.sentinel.Sentinel``. What it asks has the timeouts (in seconds) and retries
            of its own ``sentinel_kwargs``, and ends with the dial.
        max_connections: see `PoolOptions`; ``None`` for its default.
        clock: the source of time, for tests.
        **kwargs: as redis-py's (``is_master``, ``check_connection``, ``ssl``), the other options of `PoolOptions` by
            name, and ``policies``; the rest is for the connections.

    Raises:
        ConfigError: an option is out of its range.

    For one event loop at a time. Safe for fork.

    >>> from redis.asyncio.sentinel import Sentinel
    >>> from resilient_redis.asyncio import ResilientRedis
    >>> sentinel = Sentinel([("localhost", 26379)], sentinel_kwargs={"socket_timeout": 0.5})
    >>> options = {"redis_class": ResilientRedis, "connection_pool_class": ResilientSentinelConnectionPool}
    >>> client = sentinel.master_for("mymaster", **options, max_connections=8)
    >>> client.connection_pool.stats().max
    8
    """

    def __init__(
        self,
        service_name: str,
        sentinel_manager: Any,
        *,
        max_connections: int | None = None,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        given = take_options(kwargs)
        if max_connections is not None:
            given["max_connections"] = max_connections
        options = PoolOptions(**given)
        self.service_name = service_name
        redis.asyncio.sentinel.SentinelConnectionPool.__init__(
            self, service_name, sentinel_manager, max_connections=options.max_connections, **kwargs
        )
        self._set_up(options, clock)

    @property
    def name(self) -> str:
        """The option ``name``, or service, role and database."""
        given: str | None = self._options.name
        if given is not None:
            return given
        role = "master" if self.is_master else "replica"
        return f"{self.service_name} ({role})/{self.connection_kwargs.get('db') or 0}"

    def reset(self) -> None:
        """Forget every connection, and where the master was."""
        super().reset()
        self.master_address = None
        self.slave_rr_counter = None

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """As the pool's. Without ``inuse_connections``, which is what redis-py asks for when the master has moved,
        what is lent ends when it comes back.
        """
        if inuse_connections:
            await super().disconnect()
            return
        # Not the dials: it is one of them that has found out.
        self._step(lambda now: self._ledger.drain(now, "moving", dialling=False))
        await let_the_loop_close()
