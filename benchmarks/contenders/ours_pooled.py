"""resilient_redis, a connection for each command: the full stack of the README."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.contenders._base import KEY, Contender, Opened, Place
from resilient_redis import CircuitBreaker, Fallback, Policy, ResilientRedis, Retry, Timeout
from resilient_redis.asyncio import ResilientRedis as AsyncResilientRedis


class OursPooled(Contender):
    """All four policies on."""

    name = "resilient_redis, pooled"
    package, module = "resilient-redis", "resilient_redis"
    goes = 40

    def open(self, place: Place) -> Opened:
        client = ResilientRedis(**self.options(place))
        if place.filled:
            self.fill(client.connection_pool, place.callers)
        return Opened(lambda: client.get(KEY), client.close)

    async def aopen(self, place: Place) -> Opened:
        client = AsyncResilientRedis(**self.options(place))
        if place.filled:
            await self.afill(client.connection_pool, place.callers)
        return Opened(lambda: client.get(KEY), client.aclose)

    def fill(self, pool: Any, callers: int) -> None:
        """Open a connection for each caller: the pool dials four at once, and would be at it while it is measured."""
        for connection in [pool.get_connection() for _ in range(callers)]:
            pool.release(connection)

    async def afill(self, pool: Any, callers: int) -> None:
        """The same for asyncio."""
        for connection in await asyncio.gather(*(pool.get_connection() for _ in range(callers))):
            await pool.release(connection)

    def options(self, place: Place) -> dict[str, Any]:
        """As many connections as redis-py gets."""
        return {
            "host": place.host,
            "port": place.port,
            "max_connections": place.connections,
            "acquire_timeout": max(5.0, place.deadline),
            "policies": policies(place),
        }


def policies(place: Place, **breaker: Any) -> list[Policy]:
    """A fallback around three attempts around a circuit that opens after five failures around a deadline."""
    return [
        Fallback(place.fallback),
        Retry(attempts=3, total_time=4 * place.deadline),
        CircuitBreaker(**{"fail_max": 5, "reset_timeout": place.reset_timeout, **breaker}),
        Timeout(place.deadline),
    ]
