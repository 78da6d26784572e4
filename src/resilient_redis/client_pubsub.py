"""Pub/sub of the sync client. Twin of `resilient_redis.asyncio.pubsub`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import redis.client
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from resilient_redis.connections.observed import is_observed
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pipeline.sync_driver import call
from resilient_redis.pool import fork
from resilient_redis.transport.surfaces import PubSubSurface


class ResilientPubSub(redis.client.PubSub):
    """``redis.client.PubSub`` that subscribes and reconnects through the policies; made by ``client.pubsub()``.

    Waiting for messages is not guarded: it may take for ever. When the connection is lost, reconnecting and
    subscribing again is one guarded call; messages published meanwhile are lost, as Redis keeps none.

    Raises:
        redis.ConnectionError: the policies could not get a connection back; the subscriptions are kept, and the
            next ``get_message()`` tries again.
    """

    def __init__(self, connection_pool: Any, *, plan: Plan, **kwargs: Any) -> None:
        if kwargs.get("event_dispatcher") is None:
            kwargs.pop("event_dispatcher", None)
        super().__init__(connection_pool, **kwargs)
        self._plan = plan
        self._surface = PubSubSurface(plan.now, is_observed(connection_pool.connection_class))
        self._guarded = False
        fork.renew(self, _lock=threading.RLock)

    def execute_command(self, *args: Any) -> Any:
        """SUBSCRIBE and its like, through the policies."""
        return self._guard(str(args[0]), lambda: super(ResilientPubSub, self).execute_command(*args))

    def _guard(self, name: str, function: Callable[[], Any]) -> Any:
        if self._guarded:  # resubscribing is part of a guarded reconnect
            return function()
        self._guarded = True
        try:
            return call(self._plan, self._surface, (name, function), {})
        finally:
            self._guarded = False

    def _execute(self, conn: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        if self._guarded:
            return super()._execute(conn, command, *args, **kwargs)
        if getattr(getattr(conn, "_conn", conn), "_sock", True) is None:  # else redis-py would dial past the policies
            self._guard("RECONNECT", conn.connect)
        try:
            return super()._execute(conn, command, *args, **kwargs)
        except (RedisConnectionError, RedisTimeoutError):
            self._guard("RECONNECT", conn.connect)
        return super()._execute(conn, command, *args, **kwargs)

    def _reconnect(self, conn: Any, *_: Any, **__: Any) -> None:
        """Only let go here; whether and when to dial again is for the policies to say."""
        conn.disconnect()
