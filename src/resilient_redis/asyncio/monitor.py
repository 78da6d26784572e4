"""``monitor()`` of the asyncio client. Twin of `resilient_redis.client_monitor`."""

from __future__ import annotations

from typing import Any

import redis.asyncio.client
from redis.exceptions import ConnectionError as RedisConnectionError

from resilient_redis.calls import NO_DEADLINE
from resilient_redis.client_monitor import ENDED
from resilient_redis.connections.aio_observed import is_observed
from resilient_redis.connections.attempt import Attempt
from resilient_redis.pipeline.async_driver import acall
from resilient_redis.pipeline.plan import Plan
from resilient_redis.transport.aio_surfaces import PubSubSurface, exchange


class ResilientMonitor(redis.asyncio.client.Monitor):
    """``redis.asyncio.client.Monitor`` that is started through the policies; made by ``client.monitor()``.

    Waiting for the next command is not guarded: on a quiet server it takes as long as it takes.

    A lost connection ends it. It does not go on over another one: a list of commands with a hole in it, and nothing
    to show where, is worse than one that ends.

    Raises:
        redis.ConnectionError: from ``next_command()`` and ``listen()``, once the connection is lost, and at each
            further call; with ``delivery``, ``attempts`` and ``elapsed`` like any other.

    For one task.

    >>> import asyncio
    >>> from resilient_redis.asyncio import ResilientRedis
    >>> from resilient_redis.testing import EmbeddedServer
    >>> async def main(url):
    ...     async with ResilientRedis.from_url(url) as r, r.monitor() as monitor:
    ...         await r.set("name", "Ada")
    ...         async for command in monitor.listen():
    ...             if command["command"].startswith("SET"):
    ...                 return command["command"]
    >>> with EmbeddedServer.start() as server:
    ...     print(asyncio.run(main(server.url)))
    SET name Ada
    """

    def __init__(self, connection_pool: Any, *, plan: Plan) -> None:
        super().__init__(connection_pool)
        self._plan = plan
        self._observed = is_observed(connection_pool.connection_class)
        self._surface = PubSubSurface(plan.now, self._observed)
        self._started: float | None = None

    async def __aenter__(self) -> ResilientMonitor:
        try:
            await acall(self._plan, self._surface, ("MONITOR", super().__aenter__), {})
        except BaseException:  # nobody calls __aexit__ then
            await self.__aexit__()
            raise
        self._started = self._plan.now()
        return self

    async def __aexit__(self, *args: Any) -> None:
        self._started = None
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self.connection_pool.release(connection)

    async def next_command(self) -> Any:
        """The next command that the server runs, as redis-py's; it waits for one."""
        connection: Any = self.connection
        if self._started is None or connection is None:
            raise RedisConnectionError("this monitor does not run: use it in a with block, and make a new one after it")
        if not connection.is_connected:
            raise self._ended()
        # With an allowance without end, so that no socket_timeout ends the wait.
        attempt = Attempt(self._plan.now, NO_DEADLINE, NO_DEADLINE, self._observed)
        try:
            return await exchange(attempt, "MONITOR", super().next_command)
        except (RedisConnectionError, OSError) as error:
            await connection.disconnect(nowait=True)
            raise self._ended() from error

    def _ended(self) -> Any:
        error: Any = RedisConnectionError(ENDED)
        error.delivery, error.attempts = "unknown", 1
        error.elapsed = 0.0 if self._started is None else self._plan.now() - self._started
        return error
