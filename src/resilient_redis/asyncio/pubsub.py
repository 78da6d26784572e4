"""Pub/sub of the asyncio client. Twin of `resilient_redis.client_pubsub`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio.client
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from resilient_redis.connections.aio_observed import is_observed
from resilient_redis.pipeline.async_driver import acall
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pool import fork
from resilient_redis.transport.aio_surfaces import PubSubSurface


class ResilientPubSub(redis.asyncio.client.PubSub):
    """``redis.asyncio.client.PubSub`` that subscribes and reconnects through the policies; made by ``client.pubsub()``.

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
        fork.renew(self, _lock=asyncio.Lock)

    async def execute_command(self, *args: Any) -> Any:
        """SUBSCRIBE and its like, through the policies."""
        return await self._guard(str(args[0]), lambda: super(ResilientPubSub, self).execute_command(*args))

    async def _guard(self, name: str, function: Callable[[], Awaitable[Any]]) -> Any:
        if self._guarded:  # resubscribing is part of a guarded reconnect
            return await function()
        self._guarded = True
        try:
            return await acall(self._plan, self._surface, (name, function), {})
        finally:
            self._guarded = False

    async def parse_response(self, block: bool = True, timeout: float = 0) -> Any:
        """As redis-py's, which would dial past the policies where the connection is lost."""
        conn: Any = self.connection
        if conn is not None and not conn.is_connected:
            await self._guard("RECONNECT", conn.connect)
        return await super().parse_response(block=block, timeout=timeout)

    async def _execute(self, conn: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        if self._guarded:
            return await super()._execute(conn, command, *args, **kwargs)
        try:
            return await super()._execute(conn, command, *args, **kwargs)
        except (RedisConnectionError, RedisTimeoutError):
            await self._guard("RECONNECT", conn.connect)
        return await super()._execute(conn, command, *args, **kwargs)

    async def _reconnect(self, conn: Any, *_: Any, **__: Any) -> None:
        """Only let go here; whether and when to dial again is for the policies to say."""
        await conn.disconnect()
