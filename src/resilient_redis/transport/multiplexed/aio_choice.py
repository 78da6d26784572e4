"""Whether an asyncio client's connections can be shared, and what it then guards its calls with. Twin of `choice`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis.asyncio

from resilient_redis.connections.aio_observed import is_observed
from resilient_redis.pool.adoption import is_ours
from resilient_redis.transport.adopt import adopt
from resilient_redis.transport.lean import serves
from resilient_redis.transport.multiplexed.aio_lines import Lines
from resilient_redis.transport.multiplexed.aio_pipeline import SharedPipelineSurface
from resilient_redis.transport.multiplexed.aio_surface import MultiplexedSurface
from resilient_redis.transport.multiplexed.options import patience, why_not


class Shared:
    """What a client that shares connections is made of."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def commands(self, ordinary: Any, now: Callable[[], float]) -> MultiplexedSurface:
        """For single commands."""
        return MultiplexedSurface(ordinary, self._lines, now)

    def pipeline(self, pipe: Any, ordinary: Any, now: Callable[[], float]) -> Any:
        """For this pipeline; the ordinary one where it cannot share."""
        if SharedPipelineSurface.takes(pipe, self._lines):
            return SharedPipelineSurface(pipe, ordinary, self._lines, now)
        return ordinary

    async def drain(self, seconds: float) -> None:
        """End the shared connections once their commands are answered; wait for it at most so long."""
        await self._lines.drain(seconds)


def share(client: Any, plan: Any) -> tuple[Shared | None, str | None]:
    """The shared connections of the client's pool, or why there are none."""
    pool = client.connection_pool
    cause = why_not(pool.connection_kwargs)
    if cause is None and not is_observed(pool.connection_class):
        cause = f"{getattr(pool.connection_class, '__name__', 'the connection class')} sends in a way of its own"
    if cause is None and not serves(client, redis.asyncio.ConnectionPool, redis.asyncio.Redis):
        cause = "this client reads replies in a way of its own, or has a client-side cache"
    if cause is not None:
        return None, cause
    state = adopt(pool)
    if state.lines is None:
        state.lines = Lines(pool, state.strategy, state.store.runtime.clock.monotonic)  # type: ignore[arg-type] # checked
        if is_ours(pool):
            pool._shared = state.lines
    state.lines.allow(patience(plan, pool.connection_kwargs))
    return Shared(state.lines), None
