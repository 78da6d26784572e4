"""redis-py with its retries off."""

from __future__ import annotations

from typing import Any

import redis.asyncio.retry
import redis.retry
from redis.backoff import NoBackoff

from benchmarks.contenders._base import Place
from benchmarks.contenders.redis_py import RedisPy


class RedisPyNoRetries(RedisPy):
    """The least that redis-py does; what the wrappers wrap."""

    name = "redis-py, retries off"
    goes = 11

    def options(self, place: Place, *, aio: bool = False) -> dict[str, Any]:
        kind: Any = redis.asyncio.retry.Retry if aio else redis.retry.Retry
        return {**super().options(place), "retry": kind(NoBackoff(), 0)}
