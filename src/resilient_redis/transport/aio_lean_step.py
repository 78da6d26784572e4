"""Lean steps of asyncio. Twin of `lean_step`, which says what they are for."""

from __future__ import annotations

from typing import Any

import redis.asyncio.client
import redis.exceptions as rx

from resilient_redis.calls import LeftBehind
from resilient_redis.connections.attempt import Attempt
from resilient_redis.pool.aio_pool import ResilientConnectionPool
from resilient_redis.transport.aio_lean import one_try, packed, talk, within
from resilient_redis.transport.aio_surfaces import StepSurface
from resilient_redis.transport.lean_step import begin, finish, serves

STOCK = redis.asyncio.client.Pipeline.immediate_execute_command


class LeanStepSurface(StepSurface):
    """A step of the usual kind goes directly, every other one by redis-py's own path."""

    async def run(
        self, args: Any, options: dict[str, Any], deadline: float, behind: list[LeftBehind] | None = None
    ) -> Any:
        """Send it on the pipeline's connection."""
        # The class attribute is looked up at each try: OpenTelemetry's instrumentor replaces it.
        stock = redis.asyncio.client.Pipeline.immediate_execute_command is STOCK and self._observed
        if not stock or behind is not None or not serves(self._pipe, ResilientConnectionPool, args, options):
            return await super().run(args, options, deadline, behind)
        attempt = Attempt(self._now, deadline, 0.0, True)
        return await one_try(attempt, args[0], self._step, attempt, args, options)

    async def _step(self, attempt: Attempt, words: tuple[Any, ...], options: dict[str, Any]) -> Any:
        pipe = self._pipe
        if pipe.connection is None:
            pipe.connection = await pipe.connection_pool.get_connection()
        connection = pipe.connection
        if not getattr(connection, "lean", False):
            return await within(attempt, words[0], STOCK, pipe, *words, **options)
        data = packed(connection, words)
        begin(connection, attempt, words[0])
        try:
            reply = await talk(connection, data, attempt)
        except (rx.ConnectionError, rx.TimeoutError) as error:
            await pipe._disconnect_reset_raise_on_watching(connection, error)
            raise
        return finish(pipe, words[0], reply, options)
