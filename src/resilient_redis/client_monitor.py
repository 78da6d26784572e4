"""``monitor()`` of the sync client. Twin of `resilient_redis.asyncio.monitor`."""

from __future__ import annotations

from typing import Any

import redis.client
from redis.exceptions import ConnectionError as RedisConnectionError

from resilient_redis.calls import NO_DEADLINE
from resilient_redis.connections.attempt import Attempt
from resilient_redis.connections.observed import is_observed
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pipeline.sync_driver import call
from resilient_redis.transport.surfaces import PubSubSurface, exchange

ENDED = "the monitor's connection is lost, and what the server did meanwhile is not known; make a new monitor()"


class ResilientMonitor(redis.client.Monitor):
    """``redis.client.Monitor`` that is started through the policies; made by ``client.monitor()``.

    Waiting for the next command is not guarded: on a quiet server it takes as long as it takes.

    A lost connection ends it. It does not go on over another one: a list of commands with a hole in it, and nothing
    to show where, is worse than one that ends.

    Raises:
        redis.ConnectionError: from ``next_command()`` and ``listen()``, once the connection is lost, and at each
            further call; with ``delivery``, ``attempts`` and ``elapsed`` like any other.

    For one thread.

    >>> from resilient_redis import ResilientRedis
    >>> from resilient_redis.testing import EmbeddedServer
    >>> with EmbeddedServer.start() as server, ResilientRedis.from_url(server.url) as r, r.monitor() as monitor:
    ...     _ = r.set("name", "Ada")
    ...     for command in monitor.listen():
    ...         if command["command"].startswith("SET"):
    ...             print(command["command"])
    ...             break
    SET name Ada
    """

    def __init__(self, connection_pool: Any, *, plan: Plan) -> None:
        self._plan = plan
        self._observed = is_observed(connection_pool.connection_class)
        self._surface = PubSubSurface(plan.now, self._observed)
        self._started: float | None = None
        borrow: Any = super().__init__
        call(plan, self._surface, ("MONITOR", lambda: borrow(connection_pool)), {})

    def __enter__(self) -> ResilientMonitor:
        try:
            call(self._plan, self._surface, ("MONITOR", super().__enter__), {})
        except BaseException:  # nobody calls __exit__ then
            self.__exit__()
            raise
        self._started = self._plan.now()
        return self

    def __exit__(self, *args: Any) -> None:
        self._started = None
        leave: Any = super().__exit__
        leave(*args)

    def next_command(self) -> Any:
        """The next command that the server runs, as redis-py's; it waits for one."""
        if self._started is None:
            raise RedisConnectionError("this monitor does not run: use it in a with block, and make a new one after it")
        if getattr(getattr(self.connection, "_conn", self.connection), "_sock", True) is None:
            raise self._ended()
        # With an allowance without end, so that no socket_timeout ends the wait.
        attempt = Attempt(self._plan.now, NO_DEADLINE, NO_DEADLINE, self._observed)
        try:
            return exchange(attempt, "MONITOR", super().next_command)
        except (RedisConnectionError, OSError) as error:
            self.connection.disconnect()
            raise self._ended() from error

    def _ended(self) -> Any:
        error: Any = RedisConnectionError(ENDED)
        error.delivery, error.attempts = "unknown", 1
        error.elapsed = 0.0 if self._started is None else self._plan.now() - self._started
        return error
