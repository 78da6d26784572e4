"""resilient_redis, all callers over one connection: the full stack of the README."""

from __future__ import annotations

from typing import Any

import resilient_redis
from benchmarks.contenders._base import Place
from benchmarks.contenders.ours_pooled import OursPooled


class OursMultiplexed(OursPooled):
    """All four policies on."""

    name = "resilient_redis, multiplexed"
    goes = 41
    note = "Unsent commands bounded by twice the number of callers, where that is more than the default of 200."

    def fill(self, pool: Any, callers: int) -> None:
        """One connection is enough, and the first caller opens it."""

    async def afill(self, pool: Any, callers: int) -> None:
        """The same."""

    def options(self, place: Place) -> dict[str, Any]:
        strategy: Any = "multiplexed"
        if place.callers > 100:
            # All callers speak in one tick here; a service that did so would raise the bound too.
            strategy = resilient_redis.Multiplexed(max_unsent=2 * place.callers)
        return {**super().options(place), "strategy": strategy}
