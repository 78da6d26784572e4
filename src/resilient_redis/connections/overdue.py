"""A time limit for the exchanges of one asyncio connection that costs nothing while they are in time.

A timer for each exchange would cost more than writing and reading. So there is one alarm for a connection: it stays
set while exchanges come and go, and when it rings it looks whether the present one is over its time. If so the
connection is cut, which wakes up whoever reads from it.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any


class Overdue:
    """Mixin for asyncio connections.

    Attributes:
        overdue: the last exchange was cut because its time was over.
    """

    overdue = False
    _until = math.inf  # loop time at which the present exchange must have ended
    _alarm: asyncio.TimerHandle | None = None
    _writer: Any

    def limit(self, seconds: float) -> None:
        """The exchange that begins now has so many seconds."""
        loop = asyncio.get_running_loop()
        until = self._until = loop.time() + seconds
        self.overdue = False
        alarm = self._alarm
        if alarm is None:
            self._alarm = loop.call_at(until, self._ring)
        elif until < alarm.when():
            alarm.cancel()
            self._alarm = loop.call_at(until, self._ring)

    def unlimit(self) -> None:
        """It has ended. The alarm stays set, and finds nothing to do."""
        self._until = math.inf

    def _ring(self) -> None:
        self._alarm = None
        until = self._until
        if until == math.inf:
            return
        loop = asyncio.get_running_loop()
        if until > loop.time():
            self._alarm = loop.call_at(until, self._ring)
            return
        self.overdue = True
        if self._writer is not None:
            self._writer.transport.abort()
