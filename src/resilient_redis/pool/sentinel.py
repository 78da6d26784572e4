"""The pool for threads behind Redis Sentinel. Twin of `aio_sentinel`."""

from __future__ import annotations

from typing import Any

import redis.sentinel

from resilient_redis.clock import Clock
from resilient_redis.pool.options import PoolOptions, take_options
from resilient_redis.pool.sync_pool import ResilientConnectionPool


class ResilientSentinelConnectionPool(ResilientConnectionPool, redis.sentinel.SentinelConnectionPool):  # type: ignore[misc] # as its base
    """A ``redis.sentinel.SentinelConnectionPool`` that is a `ResilientConnectionPool`.

    Each dial asks the sentinels where the master is (or a replica). When the master has moved, no connection to the
    old one is lent again: idle ones end at once, lent ones when they come back.

    Args:
        service_name: the service as the sentinels know it.
        sentinel_manager: a ``redis.sentinel.Sentinel``. What it asks has the timeouts (in seconds) and retries of its
            own ``sentinel_kwargs``: give it short ones, for a sentinel that hangs holds up a dial for as long.
        max_connections: see `PoolOptions`; ``None`` for its default.
        clock: the source of time, for tests.
        **kwargs: as redis-py's (``is_master``, ``check_connection``, ``ssl``), the other options of `PoolOptions` by
            name, and ``policies``; the rest is for the connections.

    Raises:
        ConfigError: an option is out of its range.

    Safe for threads, for signal handlers and for fork.

    >>> from redis.sentinel import Sentinel
    >>> from resilient_redis import ResilientRedis
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
        redis.sentinel.SentinelConnectionPool.__init__(
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
        self.proxy.reset()

    def disconnect(self, inuse_connections: bool = True) -> None:
        """As the pool's. Without ``inuse_connections``, which is what redis-py asks for when the master has moved,
        what is lent ends when it comes back.
        """
        if inuse_connections:
            super().disconnect()
            return
        self._checkpid()
        self._retire_shared("moving")
        # Not the dials: it is one of them that has found out.
        self._step(lambda now: self._ledger.drain(now, "moving", dialling=False))
