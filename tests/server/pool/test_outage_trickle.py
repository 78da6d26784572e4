"""After an outage the server sees a trickle of connections, whoever waits for them. On both shells.

The figures themselves are in ``benchmarks/pool.py``; the bounds here are wide, for machines that are busy.
"""

from __future__ import annotations

import asyncio
import bisect
import threading
import time
from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

TASKS, THREADS = 200, 64
SIZE = 20
OUTAGE = 1.5
"""Seconds."""

STEP = 0.01
MOST_IN_A_STEP = 6


def most_in(moments: list[float], step: float) -> int:
    """The most of these moments that any span of so many seconds holds."""
    return max((bisect.bisect_left(moments, moment + step) - index for index, moment in enumerate(moments)), default=0)


class Crowd:
    """Callers who ask again and again, whatever they are told."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.served: dict[int, float] = {}
        self.over = threading.Event()

    def served_since(self, moment: float) -> int:
        return sum(last > moment for last in list(self.served.values()))

    def call(self, number: int) -> None:
        while not self.over.is_set():
            try:
                self._client.get("k")
                self.served[number] = time.monotonic()
            except redis.RedisError:
                pass
            time.sleep(0.005)

    async def acall(self, number: int) -> None:
        while not self.over.is_set():
            try:
                await self._client.get("k")
                self.served[number] = time.monotonic()
            except redis.RedisError:
                pass
            await asyncio.sleep(0.005)


def recording(opened: list[float], bench: Any) -> type[Any]:
    """A connection class that notes when each was opened."""

    class Recording(redis.Connection):
        def _connect(self) -> Any:
            sock = super()._connect()
            opened.append(time.monotonic())
            return sock

    class AsyncRecording(redis.asyncio.Connection):
        async def _connect(self) -> None:
            await super()._connect()
            opened.append(time.monotonic())

    return Recording if bench.is_sync else AsyncRecording


async def test_a_crowd_comes_back_as_a_trickle(bench: Any, own_server: EmbeddedServer) -> None:
    opened: list[float] = []
    pool = bench.pool(own_server.url, connection_class=recording(opened, bench), max_connections=SIZE)
    client = bench.client(pool, policies=[CircuitBreaker(fail_max=1_000_000)])
    (breaker,) = client.breakers.values()
    crowd = Crowd(client)
    count = THREADS if bench.is_sync else TASKS
    for number in range(count):
        bench.start(crowd.call if bench.is_sync else crowd.acall, number)
    try:
        await bench.until(lambda: len(crowd.served) == count)
        own_server.kill()
        before = len(opened), pool.stats().dial_failures
        await asyncio.sleep(OUTAGE)
        failed = pool.stats().dial_failures - before[1]
        counted = breaker.fail_counter
        began = time.monotonic()
        await asyncio.to_thread(own_server.restart)
        back = time.monotonic()
        await bench.until(lambda: crowd.served_since(back) == count, 20)
        await asyncio.sleep(max(0.0, back + 1.0 - time.monotonic()))
    finally:
        crowd.over.set()
    early = sorted(moment for moment in opened if began <= moment < back + 1)
    assert 2 <= failed <= 25  # in the outage nobody hammers a dead server
    assert 1 <= counted <= failed + SIZE + 3  # once for a dial, and for each command that was lost with its connection
    assert 1 <= len(early) <= SIZE
    assert most_in(early, STEP) <= MOST_IN_A_STEP
    assert pool.stats().allowed == SIZE
