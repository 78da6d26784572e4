"""coredis: a client for asyncio with a pool and two retries of its own."""

from __future__ import annotations

import asyncio

from benchmarks.contenders._base import KEY, Contender, Opened, Place


class Coredis(Contender):
    """A client of its own make."""

    name = "coredis"
    package, module = "coredis", "coredis"
    sync = False
    goes = 30

    async def aopen(self, place: Place) -> Opened:
        import coredis

        client = coredis.Redis(host=place.host, port=place.port, max_connections=place.connections)
        ready, over = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            # Its pool must be left by the task that entered it.
            async with client:
                ready.set()
                await over.wait()

        holder = asyncio.ensure_future(hold())
        waiting = asyncio.ensure_future(ready.wait())
        await asyncio.wait([holder, waiting], return_when=asyncio.FIRST_COMPLETED)
        if holder.done():
            waiting.cancel()
            await holder

        async def close() -> None:
            over.set()
            await holder

        return Opened(lambda: client.get(KEY), close)
