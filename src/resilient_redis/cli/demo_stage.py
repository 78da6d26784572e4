"""What happens to the server in the demo, and when."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Literal

from resilient_redis.cli.demo_figures import Outage
from resilient_redis.cli.demo_service import fill
from resilient_redis.testing import EmbeddedServer

Phase = Literal["up", "DOWN", "back"]

SHORTEST, LONGEST = 6, 30
"""Seconds of a whole demo."""

_STOP_SECONDS = 11.0
"""A server that is being started says within 10 seconds whether it did."""


@dataclass(frozen=True)
class Schedule:
    """How many seconds the server is up, down, and back."""

    up: int
    down: int
    back: int

    @classmethod
    def of(cls, seconds: int) -> Schedule:
        """The schedule for a demo of ``seconds``, with time kept for starting, stopping and adding up.

        One second does; the longest demo keeps two, so that it ends within its 30 on a busy machine too.

        >>> Schedule.of(20)
        Schedule(up=5, down=8, back=6)
        """
        rows = min(seconds - 1, LONGEST - 2)
        up, down = max(1, round(rows * 0.25)), max(2, round(rows * 0.4))
        return cls(up, down, rows - up - down)

    @property
    def seconds(self) -> int:
        """All three."""
        return self.up + self.down + self.back


class Stage:
    """The server on its schedule. Used by one thread.

    Args:
        server: a running server; the caller stops it, after `close`.
        schedule: when it is killed and comes back.
    """

    def __init__(self, server: EmbeddedServer, schedule: Schedule) -> None:
        self.server, self.schedule = server, schedule
        self._outage = Outage()
        self._restart: threading.Thread | None = None
        self._failure: Exception | None = None
        fill(server.host, server.port)

    @property
    def outage(self) -> Outage:
        """When it was killed and when it was back."""
        return self._outage

    @property
    def phase(self) -> Phase:
        """Where it stands now."""
        if self._outage.killed is None:
            return "up"
        return "DOWN" if self._outage.back is None else "back"

    def second_ended(self, number: int) -> None:
        """Do what is due after that many seconds.

        Raises:
            ServerStartError: the server did not come back.
        """
        if self._failure is not None:
            raise self._failure
        if number == self.schedule.up:
            self._outage = Outage(killed=time.monotonic())
            self.server.kill()
        elif number == self.schedule.up + self.schedule.down:
            # In a thread: the next row must not wait for a server that takes its time.
            self._restart = threading.Thread(target=self._bring_back, daemon=True)
            self._restart.start()

    def close(self) -> None:
        """Wait for a start that is under way, so that the server can be stopped for good."""
        if self._restart is not None:
            self._restart.join(_STOP_SECONDS)

    def _bring_back(self) -> None:
        try:
            self.server.restart()
            self._outage = Outage(self._outage.killed, time.monotonic())
            fill(self.server.host, self.server.port)
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            self._failure = error
