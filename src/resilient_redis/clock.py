"""The one source of time. Everything that reads time or waits is given a `Clock`.

Why an object: a fake one makes tests exact and instant, and freezegun moves the real one, because
`SystemClock` looks ``time.monotonic`` up as a module attribute at every call (a stored reference would
not move).
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the library asks of a clock. All times are seconds."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never steps back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block the calling thread."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Suspend the calling task."""
        ...

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Block until ``event`` is set or ``seconds`` are over (``None``: without limit). Is it set?"""
        ...

    async def await_future(self, future: asyncio.Future[None], seconds: float | None) -> bool:
        """Suspend until ``future`` is done or ``seconds`` are over (``None``: without limit). Is it done?"""
        ...


class SystemClock:
    """Real time. Safe for any number of threads and event loops."""

    def monotonic(self) -> float:
        """``time.monotonic()``."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """``time.sleep()``."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """``asyncio.sleep()``."""
        await asyncio.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """``event.wait()``."""
        return event.wait(seconds)

    async def await_future(self, future: asyncio.Future[None], seconds: float | None) -> bool:
        """Wait for ``future`` without cancelling it when the time is over."""
        await asyncio.wait([future], timeout=seconds)
        return future.done()


SYSTEM_CLOCK = SystemClock()
"""The clock used where none is given."""
