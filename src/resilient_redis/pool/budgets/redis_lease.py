"""RedisBudget: processes of all hosts lease their share from the server, in chunks, for a time."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any

from resilient_redis.clock import SYSTEM_CLOCK, Clock
from resilient_redis.durations import Duration, parse_duration
from resilient_redis.errors import ConfigError
from resilient_redis.events import logger
from resilient_redis.pool.budgets.base import BaseBudget, whole
from resilient_redis.pool.budgets.lease_script import LEASE, LEAVE
from resilient_redis.pool.budgets.link import Link

_RENEWALS = 3  # in the time of one lease
_ATTEMPTS = 30  # at most, in the same time


class RedisBudget(BaseBudget):
    """At most ``limit`` connections over all processes, on any number of hosts, that use the same key.

    Each process may always hold ``floor`` connections: they are set aside for ``max_workers`` processes and need no
    server. The rest is leased in chunks for ``ttl``, by one script, ahead of demand, in `maintain`. `take` looks at
    the local lease only. A lease that could not be renewed in time shrinks to the floor, before others can be given
    what it held: the time runs from *before* the request was sent, and ends ``margin`` early, so that the pool can
    close its `surplus`.

    A key that did not exist may be one that was lost (a restart without a disk, FLUSHALL, an eviction). So for the
    first ``grace`` it grants nothing new, and processes that still have a lease of before say so and keep it.

    Its own connection to the server (one for each process) is not counted.

    Args:
        url_or_client_factory: where the leases are kept: a URL, or a function that makes a `redis.Redis`. The client
            is this budget's own and closed with it.
        key: the same for all processes that share the limit; a hash is kept there.
        limit: connections over all processes.
        chunk: slots that are asked for, and given back, at a time.
        ttl: for how long a lease holds after it was renewed last; renewed every third of it. So the share of a
            process that died returns after at most this time.
        floor: what each process may hold without a lease, 1 or more.
        max_workers: the most processes that run at once. ``floor * max_workers`` is set aside. Required.
        margin: how long before the end of the lease this process gives up; default a quarter of ``ttl``.
        grace: how long a new key grants nothing; default ``ttl``. 0 only where the key is never lost.
        timeout: seconds for connecting and for each reply, when a URL was given.
        clock: for tests.

    Raises:
        ConfigError: a number is out of its range, or the floors alone exceed the limit.

    >>> RedisBudget("redis://localhost", "app:connections", 245, max_workers=13).describe()
    'redis budget: 0 of 1 taken here (floor 1 + lease 0), limit 245; no lease yet'
    """

    def __init__(
        self,
        url_or_client_factory: str | Callable[[], Any],
        key: str,
        limit: int,
        chunk: int = 5,
        ttl: Duration = 30.0,
        floor: int = 1,
        *,
        max_workers: int | None = None,
        margin: Duration | None = None,
        grace: Duration | None = None,
        timeout: Duration = 1.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.chunk = whole("RedisBudget", "chunk", chunk, 1)
        self.floor = whole("RedisBudget", "floor", floor, 1)
        if max_workers is None:
            raise ConfigError(
                "RedisBudget: give max_workers, the most processes that run at once: each may always hold "
                f"floor={floor} without asking, and that has to be set aside from the limit",
                field="max_workers",
            )
        self.max_workers = whole("RedisBudget", "max_workers", max_workers, 1)
        self.limit, self._shared = limit, self._check_limit(limit)
        self.ttl = _positive(ttl, "ttl")
        self._margin = self.ttl / 4 if margin is None else _positive(margin, "margin")
        if self._margin * _RENEWALS >= self.ttl * (_RENEWALS - 1):
            raise ConfigError(
                f"RedisBudget.margin: {self._margin:g} s leaves no time to renew a lease of {self.ttl:g} s, which is "
                f"due after {self.ttl / _RENEWALS:g} s; give less than {self.ttl * (1 - 1 / _RENEWALS):g} s",
                field="margin",
            )
        self._grace = self.ttl if grace is None else parse_duration(grace, "RedisBudget.grace")
        self.interval = self.ttl / _RENEWALS / 2
        self._key = key
        self._clock = clock
        self._link = Link(url_or_client_factory, _positive(timeout, "timeout"), "RedisBudget")
        self._begin()
        super().__init__()

    def _begin(self) -> None:
        self._turn = threading.Lock()
        # Host and process are for people who look at the key.
        self._holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._sequence = 0
        self._lease = 0
        self._until = -math.inf  # by our clock; from then on there is no lease
        self._shed = 0  # part of the lease that must not be used: all together have too much
        self._too_many = False
        self._peak = 0  # since the last renewal
        self._refused = False  # likewise
        self._renew_at = self._not_before = -math.inf
        self._news: tuple[int, int, float] | None = None
        self._failure: str | None = None

    def take(self) -> bool:
        """One more, if the lease, as it is known here, allows it."""
        with self._lock:
            if not super().take():
                self._refused = True
                return False
            self._peak = max(self._peak, self._taken)
            return True

    def maintain(self, now: float) -> None:
        """Renew the lease if that is due, or if more or less is needed: one script."""
        if not self._turn.acquire(blocking=False):
            return  # another pool of this process is at it
        try:
            self._notice_loss()
            if self.due(now):
                self._not_before = now + self.ttl / _ATTEMPTS
                self._renew()
                self._renew_at = now + self.ttl / _RENEWALS
                self._failure = None
        except Exception as error:  # noqa: BLE001 - the server's trouble is not the pool's: the lease runs out
            self._failure = type(error).__name__  # its text may show a key
        finally:
            self._turn.release()

    def due(self, now: float) -> bool:
        """Is it time to renew, or is a chunk more, or a chunk less, needed?"""
        with self._lock:
            if self._closed or now < self._not_before:
                return False
            target = min(self._target(), self._shared)
            return now >= self._renew_at or target > self._lease or target <= self._lease - self.chunk

    def resize(self, limit: int) -> None:
        """Change the limit while running. Every process has to; each sheds its part as it renews its lease."""
        shared = self._check_limit(limit)
        with self._lock:
            self.limit, self._shared = limit, shared

    def describe(self) -> str:
        """What is held, of what; who else holds how much; what went wrong last."""
        with self._lock:
            now = self._clock.monotonic()
            allowed = self._allowed()
            held = f"redis budget: {self._held(allowed)} (floor {self.floor} + lease {allowed - self.floor})"
            held += f", limit {self.limit}"
            if self._news is not None:
                others, workers, wait = self._news
                held += f"; {others} leased elsewhere, {workers} of {self.max_workers} workers"
                held += f", new key: grants in {wait:.3g} s" if wait else ""
            if now >= self._until:
                held += "; lease lost" if self._news is not None else "; no lease yet"
            return held + (f" ({self._failure})" if self._failure else "")

    def close(self) -> None:
        """Grant nothing more and, if nothing is held, give the lease back: one request. Else it runs out."""
        with self._turn:
            with self._lock:
                was_closed, self._closed = self._closed, True
            if was_closed:
                return
            with contextlib.suppress(Exception):  # then it runs out
                if not self._taken and self._sequence:
                    self._link.execute("EVAL", LEAVE, 1, self._key, self._holder)
            with contextlib.suppress(Exception):
                self._link.close()

    def _forget(self) -> None:
        self._link.forget()
        self._begin()

    def _allowed(self) -> int:
        # The clock is read only where the answer depends on it.
        lease = self._lease - self._shed
        return self.floor + lease if lease > 0 and self._clock.monotonic() < self._until else self.floor

    def _target(self) -> int:
        """Leased slots that should be ours: what was used since the last renewal and something to spare, in chunks."""
        if not self._peak:
            return 0
        used = self._peak - self.floor
        spare = math.ceil(self.chunk / 2)
        if self._refused:
            spare = max(spare, used)  # somebody had to wait: double it
        return self.chunk * math.ceil(max(0, used + spare) / self.chunk)

    def _notice_loss(self) -> None:
        with self._lock:
            if not self._lease or self._clock.monotonic() < self._until:
                return
            lost, self._lease, self._shed = self._lease, 0, 0
        logger.warning(
            "redis budget: a lease of %d connections could not be renewed (%s); down to the floor of %d",
            *(lost, self._failure or "not in time", self.floor),
        )

    def _renew(self) -> None:
        with self._lock:
            used = max(0, self._taken - self.floor)
            # Without a lease, connections that are not closed yet are there all the same, and the key should know.
            unleased = used > self._lease
            have = max(self._lease, used)
            want = used if self._shed else max(used, min(self._target(), self._shared))
            self._lease = min(self._lease, want)  # what is to be given back must not be used from here on
            self._shed = min(self._shed, self._lease)
            self._sequence += 1
            request = (self._holder, self._sequence, have, want, self._shared, self.floor, self.max_workers)
            # Taken before the request leaves: the server's time for this lease begins later than ours.
            sent = self._clock.monotonic()
        times = (math.ceil(self.ttl * 1000), math.ceil(self._grace * 1000))
        noticed, granted, others, workers, wait = self._link.execute("EVAL", LEASE, 1, self._key, *request, *times)
        if not noticed:
            raise RuntimeError("overtaken by a later request")
        with self._lock:
            self._lease, self._until = granted, sent + self.ttl - self._margin
            self._shed = self._to_shed(granted, others, at_once=unleased)
            self._peak, self._refused = self._taken, False
            first_time_too_many = workers > self.max_workers and (self._news is None or self._news[1] < workers)
            self._news = (others, workers, wait / 1000)
        if first_time_too_many:
            logger.warning(
                "redis budget: %d workers, but max_workers is %d: each holds up to %d connections that nobody set "
                "aside; raise max_workers in all of them",
                *(workers, self.max_workers, self.floor),
            )

    def _to_shed(self, granted: int, others: int, *, at_once: bool) -> int:
        """What this process must do without, when all leases together are more than there is.

        That happens after a lost lease (then that process sheds it all), a lowered limit, or a key that lost its last
        writes in a failover (then everyone sheds his part, once it lasts for a second renewal).
        """
        over = others + granted - self._shared
        lasting, self._too_many = self._too_many and over > 0, over > 0
        if over <= 0:
            return 0
        if at_once:
            return min(over, granted)
        return math.ceil(over * granted / (others + granted)) if lasting else 0

    def _check_limit(self, limit: int) -> int:
        aside = self.floor * self.max_workers
        if whole("RedisBudget", "limit", limit, 1) < aside:
            raise ConfigError(
                f"RedisBudget: floor {self.floor} x max_workers {self.max_workers} = {aside}, which is over the limit "
                f"of {limit}; set limit to {aside} or more, or run at most {limit // self.floor} workers",
                field="limit",
            )
        return limit - aside


def _positive(value: Duration, field: str) -> float:
    seconds = parse_duration(value, f"RedisBudget.{field}")
    if seconds <= 0:
        raise ConfigError(f"RedisBudget.{field}: {value!r} does not fit; give more than 0 seconds", field=field)
    return seconds
