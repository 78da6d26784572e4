"""resilient_redis, a connection for each command: the full stack of the README."""

from __future__ import annotations

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
        return Opened(lambda: client.get(KEY), client.connection_pool.disconnect)

    async def aopen(self, place: Place) -> Opened:
        client = AsyncResilientRedis(**self.options(place))
        return Opened(lambda: client.get(KEY), client.connection_pool.disconnect)

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
