"""resilient_redis, all callers over one connection: the full stack of the README."""

from __future__ import annotations

from typing import Any

import resilient_redis
from benchmarks.contenders._base import Place
from benchmarks.contenders.ours_pooled import OursPooled
from resilient_redis import ResilientRedis
from resilient_redis.asyncio import ResilientRedis as AsyncResilientRedis


class OursMultiplexed(OursPooled):
    """All four policies on. Skipped as long as the constructor refuses ``strategy``."""

    name = "resilient_redis, multiplexed"
    goes = 41
    note = "Unsent commands bounded by twice the number of callers, where that is more than the default of 200."

    def missing(self, side: str) -> str | None:
        client = ResilientRedis if side == "threads" else AsyncResilientRedis
        try:
            client(port=1, policies=[], strategy="multiplexed")  # type: ignore[call-arg,unused-ignore]
        except Exception as error:
            return f"this version refuses strategy='multiplexed': {error}"
        return None

    def fill(self, pool: Any, callers: int) -> None:
        """One connection is enough, and the first caller opens it."""

    async def afill(self, pool: Any, callers: int) -> None:
        """The same."""

    def options(self, place: Place) -> dict[str, Any]:
        strategy: Any = "multiplexed"
        if place.callers > 100:
            # All callers speak in one tick here; a service that did so would raise the bound too.
            strategy = resilient_redis.Multiplexed(max_unsent=2 * place.callers)  # type: ignore[attr-defined,unused-ignore]
        return {**super().options(place), "strategy": strategy}
