"""The life of a pool for threads: warm-up, upkeep, drain, close. Twin of `aio_life`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import msgspec

from resilient_redis.clock import Clock
from resilient_redis.connections.cleanliness import absorb
from resilient_redis.durations import Duration, parse_duration
from resilient_redis.pool import leaks, maintenance
from resilient_redis.pool.bell import Bell
from resilient_redis.pool.dialling import Dialler
from resilient_redis.pool.endings import cut_off
from resilient_redis.pool.face import check_bounds
from resilient_redis.pool.slots import Slot, State
from resilient_redis.pool.todo import Todo

_UNFINISHED = (State.RESERVED, State.DIALLING)


class WarmUp(msgspec.Struct, frozen=True):
    """What came of a warm-up; true when everything that was wanted is open.

    Attributes:
        wanted: ``min_idle``.
        opened: connections opened by this call.
        idle: connections idle afterwards.
        errors: what the dials that failed raised.
    """

    wanted: int
    opened: int
    idle: int
    errors: tuple[BaseException, ...] = ()

    def __bool__(self) -> bool:
        return self.idle >= self.wanted


UPKEEP_DIALS = 5.0
"""Seconds that one round of upkeep may take to keep ``min_idle`` connections open."""


class Life:
    """Mixin of `ResilientConnectionPool`."""

    _ledger: Any
    _options: Any
    _clock: Clock
    _dialler: Dialler
    _lock: Any
    _quiet: Bell
    _spares: set[Slot]
    _forgotten: WeakSet[Any]
    _postponed: deque[Callable[[float], Todo]]
    _now: Callable[[], float]
    _step: Any
    _discard: Callable[[Slot, str], None]
    _recover: Callable[[Slot | None], None]
    _mend: Callable[[], None]
    _audit: Callable[[], None]
    _checkpid: Callable[[], None]
    _look_for_metrics: Callable[[], None]
    _new_ledger: Callable[[], None]
    _retire_shared: Callable[[str], None]
    _set_up_mending: Callable[[], None]
    _shed_for_budget: Callable[[], None]
    _why_not_warm: Callable[[], list[BaseException]]
    _maintain_at = math.inf
    """Clock reading at which a borrower's thread does the upkeep, where no background thread may."""

    def warm_up(self, *, timeout: Duration = 5.0) -> WarmUp:
        """Open connections until ``min_idle`` are idle, each a socket of its own, shaken hands.

        Args:
            timeout: seconds for all of it.

        It raises nothing: look at the result, which is true when all went well and has the errors else.

        >>> from resilient_redis import ResilientConnectionPool
        >>> from resilient_redis.testing import EmbeddedServer
        >>> with EmbeddedServer.start() as server:
        ...     with ResilientConnectionPool.from_url(server.url, min_idle=2) as pool:
        ...         pool.warm_up().opened
        2
        """
        seconds = parse_duration(timeout, "timeout")
        self._checkpid()
        self._ledger.resting = False
        return self._warm(seconds)

    def _warm(self, seconds: float) -> WarmUp:
        """The same for upkeep: it stops where the pool is disconnected meanwhile."""
        deadline = self._now() + seconds
        opened = 0
        errors: list[BaseException] = []
        while self._now() < deadline:
            slot = self._spare()
            if slot is None:
                break
            try:
                if slot.start > self._now():
                    self._clock.sleep(slot.start - self._now())
                error = self._dialler.dial_spare(slot, deadline)
            finally:
                if slot.state in _UNFINISHED:  # nobody else would go on, and waiters would count on it
                    self._step(lambda now, slot=slot: self._ledger.dial_abandoned(slot, now))
                self._spares.discard(slot)
            if error is not None:
                errors.append(error)
                break
            opened += slot.connection is not None
        errors = errors or self._why_not_warm()
        return WarmUp(self._ledger.least, opened, len(self._ledger.idle), tuple(errors))

    def _spare(self) -> Any:
        with self._lock:
            if self._stepping:
                return None  # asked from inside a step, by a signal handler or a finaliser
        slot: Any = None

        def reserve(now: float) -> Todo:
            nonlocal slot
            slot = self._ledger.reserve_spare(now)
            if slot is not None:
                self._spares.add(slot)
            return Todo()

        try:
            self._step(reserve)
        except BaseException:
            self._spares.discard(slot)
            self._mend()
            raise
        return slot

    def maintain(self, *, dial_for: float = UPKEEP_DIALS) -> None:
        """One round of upkeep: close what is too old, idle too long or dead, keep ``min_idle`` open, report leaks.

        It happens by itself every ``maintenance_interval``; there is no need to call it.

        Args:
            dial_for: seconds for keeping ``min_idle`` connections open.
        """
        self._look_for_metrics()
        self.keep_budget()
        self._step(self._ledger.maintain)
        self._audit()
        self._bury_the_dead()
        leaks.report(self, self._now())
        self._warm(dial_for)

    def _schedule_upkeep(self) -> None:
        maintenance.register(self)

    def keep_budget(self) -> None:
        """Renew the share of this process, and close what it has too much."""
        budget = self._options.budget
        if budget is None:
            return
        budget.maintain(self._now())
        self._shed_for_budget()

    def _bury_the_dead(self) -> None:
        """An idle connection that the server has closed is found here, not by a borrower."""
        for slot in list(self._ledger.idle):
            ours = False
            try:
                ours = slot.probe() and self._ledger.check_out(slot)
                cause = absorb(slot.connection) if ours else None
                if cause is not None:
                    self._discard(slot, cause)
                elif ours:
                    self._step(lambda now, slot=slot: self._ledger.check_in(slot, now))
            except BaseException:
                self._recover(slot if ours else None)
                raise

    def resize(self, max_connections: int | None = None, min_idle: int | None = None) -> None:
        """Other bounds, from now on. What is idle and too much is closed now; what is lent, when it comes back.

        Args:
            max_connections: ``None``: as it is.
            min_idle: ``None``: as it is, or ``max_connections`` if that is less.

        Raises:
            ConfigError: they are out of range.
        """
        most, least = check_bounds(max_connections, min_idle, self._options)
        self._options = self._options.resized(most, least)
        self._step(lambda now: self._ledger.resize(most, least, now))

    def drain(self) -> None:
        """A new generation: idle connections are closed now, lent ones when they come back.

        For after a failover, or a change of credentials. The pool goes on serving.
        """
        self._step(self._ledger.drain)
        self._retire_shared("drain")

    def close(self, timeout: Duration = 0.0) -> bool:
        """Close the pool for good: refuse newcomers, serve those who wait, close what is idle, wait for the rest.

        Args:
            timeout: seconds to wait for what is lent; then it is cut off. 0: do not wait.

        Returns:
            Did everything come back in time?

        Safe to call again, and from a signal handler's thread.
        """
        seconds = parse_duration(timeout, "timeout")
        self._checkpid()
        self._quiet.clear()
        self._step(self._ledger.begin_close)
        self._retire_shared("closed")
        calm = self._ledger.quiet or (seconds > 0 and self._clock.wait(self._quiet, seconds))
        self._step(self._ledger.finish_close)
        for connection in list(self._ledger.leased):
            cut_off(connection)
        return bool(calm)

    def _after_fork(self) -> None:
        """In a child: begin anew."""
        self._forgotten.update(self._ledger.leased)
        self._postponed.clear()
        self._stepping = False
        self._quiet = Bell()
        self._set_up_mending()
        self._new_ledger()
        if self._options.budget is not None:
            self._options.budget.after_fork()
            self._options.budget.attach(self.name)  # type: ignore[attr-defined] # of `PoolFace`
