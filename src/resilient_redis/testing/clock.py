"""A clock that moves only when told, or when somebody sleeps on it."""

from __future__ import annotations

import asyncio
import threading


class FakeClock:
    """A `resilient_redis.clock.Clock` for tests: no real time passes.

    ``sleep`` and the waits advance it at once, so code under test runs through its backoff instantly.
    Safe for several threads.

    >>> clock = FakeClock()
    >>> clock.sleep(1.5); clock.advance(0.5); clock.monotonic()
    2.0
    >>> clock.sleeps
    [1.5]
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._lock = threading.Lock()
        self.sleeps: list[float] = []
        """Every wait that was asked for, in order."""

    def monotonic(self) -> float:
        """The fake time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move time forward."""
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Note the wait and move time forward."""
        self.sleeps.append(seconds)
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        """Note the wait, move time forward, and let other tasks run once."""
        self.sleep(seconds)
        await asyncio.sleep(0)

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Answer at once; an event that is not set takes all of ``seconds``."""
        if event.is_set():
            return True
        if seconds is None:
            return event.wait()
        self.sleep(seconds)
        return event.is_set()

    async def await_future(self, future: asyncio.Future[None], seconds: float | None) -> bool:
        """As `wait`, for a future; other tasks run once first, since they may be the ones to end it."""
        await asyncio.sleep(0)
        if seconds is None:
            await asyncio.wait([future])
        elif not future.done():
            await self.asleep(seconds)
        return future.done()
