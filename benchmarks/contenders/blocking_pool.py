"""redis-py over its BlockingConnectionPool, with that pool's own bounds: 50 connections, 20 s of waiting."""

from __future__ import annotations

import redis
import redis.asyncio

from benchmarks.contenders._base import KEY, Contender, Opened, Place


class BlockingPool(Contender):
    """redis-py's pool that lets callers wait."""

    name = "redis-py BlockingConnectionPool"
    package, module = "redis", "redis"
    goes = 12
    note = "50 connections, as it comes; callers beyond that wait for one."

    def open(self, place: Place) -> Opened:
        pool = redis.BlockingConnectionPool(host=place.host, port=place.port)
        client = redis.Redis(connection_pool=pool)
        return Opened(lambda: client.get(KEY), pool.disconnect)

    async def aopen(self, place: Place) -> Opened:
        pool = redis.asyncio.BlockingConnectionPool(host=place.host, port=place.port)
        client = redis.asyncio.Redis(connection_pool=pool)
        return Opened(lambda: client.get(KEY), pool.disconnect)
