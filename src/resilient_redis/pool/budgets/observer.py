"""ServerObserver: no agreement with anybody, only a look at how full the server is."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
from collections.abc import Callable
from typing import Any

from resilient_redis.clock import SYSTEM_CLOCK, Clock
from resilient_redis.durations import Duration, parse_duration
from resilient_redis.errors import ConfigError
from resilient_redis.pool.budgets.base import BaseBudget
from resilient_redis.pool.budgets.link import Link

_ONE_EVENT = 1.0  # refusals within this time are one event: a burst of dials must not halve the size again and again
_KEPT = 3  # intervals for which a reading is believed when no newer one can be had
_NO_LIMIT = sys.maxsize
_FULL = "max number of clients reached"


def is_server_full(error: BaseException) -> bool:
    """Did the server refuse this connection because it has as many clients as it admits?

    >>> import redis
    >>> is_server_full(redis.ConnectionError("max number of clients reached"))
    True
    """
    return _FULL in str(error)


class ServerObserver(BaseBudget):
    """No more connections while the server has ``stop_at`` of the clients that it admits. It closes none.

    Needs no cooperation, so it also heeds tenants that know nothing of it. It is a brake, not a limit: between two
    looks, many processes may grow at once. When the server does refuse a connection, `note_server_full` halves what
    this process may hold, and from there it grows by ``regrow`` connections a second.

    Args:
        url_or_client_factory: the server: a URL, or a function that makes a `redis.Redis`. The client is this
            object's own and closed with it; its connection (one for each process) is not counted.
        stop_at: part of ``maxclients`` from which on nothing more is opened.
        interval: seconds between two looks (INFO clients).
        regrow: connections a second after the server was full.
        timeout: seconds for connecting and for each reply, when a URL was given.
        clock: for tests.

    Raises:
        ConfigError: a number is out of its range.

    >>> ServerObserver("redis://localhost").describe()
    'server observer: 0 taken here, clients of the server not known yet'
    """

    def __init__(
        self,
        url_or_client_factory: str | Callable[[], Any],
        stop_at: float = 0.9,
        interval: Duration = 30.0,
        *,
        regrow: float = 1.0,
        timeout: Duration = 1.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.stop_at = _number("stop_at", stop_at, 1)
        self.regrow = _number("regrow", regrow, math.inf)
        self.interval = _number("interval", parse_duration(interval, "ServerObserver.interval"), math.inf)
        self._clock = clock
        self._link = Link(url_or_client_factory, parse_duration(timeout, "ServerObserver.timeout"), "ServerObserver")
        self._begin()
        super().__init__()

    def _begin(self) -> None:
        self._turn = threading.Lock()
        self._look_at = -math.inf
        self._seen: tuple[int, int] | None = None  # connected, maxclients (0: not known)
        self._seen_at = -math.inf
        self._taken_then = 0
        self._failure: str | None = None
        self._halved: int | None = None
        self._heard = -math.inf

    def maintain(self, now: float) -> None:
        """Look at the server, if it is time."""
        if not self._turn.acquire(blocking=False):
            return  # another pool of this process is at it
        try:
            if self.due(now):
                self._look_at = now + self.interval
                self._look()
        except Exception as error:  # noqa: BLE001 - the server's trouble is not the pool's
            self._failure = type(error).__name__
            if is_server_full(error):
                admitted = self._seen[1] if self._seen is not None else 0
                self._read(max(1, admitted), max(1, admitted), self._taken)
        finally:
            self._turn.release()

    def due(self, now: float) -> bool:
        """Is it time to look again?"""
        return not self._closed and now >= self._look_at

    def note_server_full(self) -> None:
        """Halve what this process may hold, but once for refusals that come together; and look again soon."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._heard + _ONE_EVENT:
                return
            allowed = max(1, min(self._taken, self._allowed()) // 2)
            self._halved, self._heard = allowed, now
            self._look_at = -math.inf

    def describe(self) -> str:
        """Taken, the server's clients, where growth stops, and what is left of a refusal."""
        with self._lock:
            allowed, reading = self._allowed(), self._reading()
            held = self._held(allowed) if allowed < _NO_LIMIT else self._held("").replace(" of  ", " ")
            if reading is None:
                seen = "clients of the server not known" + (f" ({self._failure})" if self._failure else " yet")
            else:
                connected, admitted = reading
                seen = f"{connected} of {admitted} clients, no more from {math.ceil(self.stop_at * admitted)} on"
                if not admitted:
                    seen = f"{connected} clients, maxclients not known"
            return f"server observer: {held}, {seen}"

    def close(self) -> None:
        """Grant nothing more, and close the connection of its own."""
        with self._turn:
            self._closed = True
            with contextlib.suppress(Exception):
                self._link.close()

    def _forget(self) -> None:
        self._link.forget()
        self._begin()

    def _allowed(self) -> int:
        if self._halved is None:
            return _NO_LIMIT
        return self._halved + int((self._clock.monotonic() - self._heard) * self.regrow)

    def _may_grow(self) -> bool:
        if not super()._may_grow():
            return False
        reading = self._reading()
        if reading is None or not reading[1]:
            return True
        connected, admitted = reading
        # What this process opened since then is not in the reading.
        return connected + max(0, self._taken - self._taken_then) < self.stop_at * admitted

    def _reading(self) -> tuple[int, int] | None:
        if self._seen is not None and self._clock.monotonic() - self._seen_at > _KEPT * self.interval:
            self._seen = None
        return self._seen

    def _look(self) -> None:
        taken = self._taken  # before it is asked: what is opened meanwhile may not be in the answer
        info = self._link.execute("INFO", "clients")
        admitted = int(info["maxclients"]) if "maxclients" in info else self._ask_for_maxclients()
        self._read(int(info["connected_clients"]), admitted, taken)
        self._failure = None

    def _ask_for_maxclients(self) -> int:
        """Servers before 6.2 do not say it in INFO; and CONFIG may be forbidden."""
        try:
            told: dict[str | bytes, Any] = self._link.execute("CONFIG GET", "maxclients")
        except Exception:  # noqa: BLE001 - then it is not known, and only refusals count
            return 0
        return int(told.get("maxclients") or told.get(b"maxclients") or 0)

    def _read(self, connected: int, admitted: int, taken: int) -> None:
        with self._lock:
            self._seen, self._seen_at, self._taken_then = (connected, admitted), self._clock.monotonic(), taken


def _number(field: str, value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        upto = f", at most {most:g}" if most < math.inf else ""
        raise ConfigError(f"ServerObserver.{field}: {value!r} does not fit; give a number above 0{upto}", field=field)
    return float(value)
