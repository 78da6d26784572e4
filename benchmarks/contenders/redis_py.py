"""redis-py with its own defaults: ten retries, a pool that opens what it needs."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio

from benchmarks.contenders._base import KEY, Contender, Opened, Place


class RedisPy(Contender):
    """What all others are compared with."""

    name = "redis-py as it comes"
    package, module = "redis", "redis"
    goes = 10

    def open(self, place: Place) -> Opened:
        client = redis.Redis(**self.options(place))
        return Opened(lambda: client.get(KEY), client.close)

    async def aopen(self, place: Place) -> Opened:
        return self.at(place)

    def at(self, place: Place) -> Opened:
        """For asyncio; nothing is awaited until the first GET."""
        client = redis.asyncio.Redis(**self.options(place, aio=True))
        return Opened(lambda: client.get(KEY), client.aclose)

    def options(self, place: Place, *, aio: bool = False) -> dict[str, Any]:
        """A connection for each caller, since redis-py's pool refuses whoever comes too many."""
        return {"host": place.host, "port": place.port, "max_connections": place.connections}
