"""The shared connections of one pool, for threads: which one a command takes, and what follows when one ends.

Twin of `aio_lines`. They are borrowed from the pool for as long as they live, so that they are dialled, counted,
bounded and given new credentials there. Whoever finds one missing dials it, in his own thread and time; all others
who come meanwhile wait for that dial. It hangs on the pool's state, and holds the pool weakly.
"""

from __future__ import annotations

import builtins
import contextlib
import math
import threading
import weakref
from typing import Any, NoReturn

import redis.exceptions as rx

from resilient_redis.clock import Clock
from resilient_redis.connections.attempt import Attempt, current_attempt
from resilient_redis.errors import FenceRefusedError, PoolClosedError, PoolSaturatedError
from resilient_redis.pool import fork
from resilient_redis.pool.adoption import is_ours
from resilient_redis.pool.bell import Bell
from resilient_redis.pool.stats import LineStats
from resilient_redis.transport.multiplexed import endings
from resilient_redis.transport.multiplexed.caller import Caller
from resilient_redis.transport.multiplexed.fences import Fences, same
from resilient_redis.transport.multiplexed.line import Line
from resilient_redis.transport.multiplexed.options import Multiplexed
from resilient_redis.transport.multiplexed.redials import Redials, Untried
from resilient_redis.transport.multiplexed.tally import Tally
from resilient_redis.transport.multiplexed.traffic import ENDED, OPEN

_AGAIN = 1.0
"""Seconds before one is dialled again that could not be had, while others still serve."""

_STEP = 0.001


class ApartError(Exception):
    """It turns out that these connections cannot be shared. Nothing was sent."""


class _Dial:
    """One that is under way.

    Attributes:
        by: whose thread dials.
        over: rung when it has ended.
        error: why it failed, if that is so for everybody.
        waiting: callers who wait for it, the one who dials among them.
    """

    def __init__(self, by: Caller) -> None:
        self.by = by
        self.over = Bell()
        self.error: Exception | None = None
        self.waiting = 1


class Lines:
    """All shared connections of one pool. Safe for threads and for fork.

    Args:
        pool: where they are borrowed.
        options: how many, and their bounds.
        clock: the one that deadlines go by.

    Attributes:
        patience: seconds after which the oldest reply is overdue, and its connection cut; ``inf``: never.
        idle_limit: seconds of silence after which one is not trusted any more.
        unable: this pool's connections were seen to be of a kind that cannot be shared.
    """

    name = "lines"

    def __init__(self, pool: Any, options: Multiplexed, clock: Clock) -> None:
        self.options = options
        self.patience = math.inf
        self.idle_limit = float(getattr(pool, "_validate_after", math.inf))
        self.unable = False
        self._allowed = False
        self.fences = Fences()
        self._pool = weakref.ref(pool)
        self._clock = clock
        self._now = clock.monotonic
        self._lock = threading.RLock()
        self._returning = threading.RLock()
        self._lines: list[Line] = []
        self._retired: set[Line] = set()
        self._dial: _Dial | None = None
        self._lent: dict[Any, Line | None] = {}  # the pool's connections that are out for this, and their lines
        self._redials = Redials(self._now)
        self._again = -math.inf  # a further one, or a successor, is not dialled before this time
        self._tally = Tally()
        fork.register(self)

    # Callers

    def exchange(self, slot: Caller) -> None:
        """Send it over one of them, and wait until it has ended.

        Raises:
            ApartError: they cannot be shared.
            PoolSaturatedError: too many wait to be sent already.
            redis.RedisError: its time is over, or none could be opened.
        """
        while True:
            line = self.pick(slot)
            ended = line.exchange(slot)
            if ended:
                return
            if ended is None:
                self._refuse(slot, line)

    def exchange_behind(self, slot: Caller, behind: list[Any]) -> bool:
        """The same for a repeat of what may still arrive over the connections ``behind``; answered, it empties them.

        It goes behind the first try on the same connection, or over one that has cut that one off.

        Returns:
            False: nothing was sent, and whoever sends it has to cut them off himself.
        """
        while True:
            line = self.carrier_of(behind) or self.pick(slot)
            if self.fences.uncovered(behind, line.connection.identity):
                behind[:] = self.fences.uncovered(behind, None)
                return False
            ended = line.exchange(slot)
            if ended is None:
                self._refuse(slot, line)
            if ended:
                if slot.error is None:
                    behind.clear()
                return True

    def _refuse(self, slot: Caller, line: Line | Untried) -> NoReturn:
        self._tally.refused += 1
        raise endings.saturated(slot.name, line.book)

    def pick(self, slot: Caller) -> Line | Untried:
        """The least loaded one; what is missing is dialled."""
        if not fork.witness[0]:
            fork.catch_up()
        lines = self._lines
        if len(lines) == 1 == self.options.connections:
            line = lines[0]
            if line.state is OPEN and not line.worn:
                return line
        try:
            while True:
                found = self._choose(slot)
                if isinstance(found, Line):
                    return found
                if found.by is slot:
                    return Untried(self._carry_out(found, slot), self._redials)
                self._wait_for(found, slot)
        except BaseException:
            self._forsake(slot)
            raise

    def carrier_of(self, behind: list[Any]) -> Line | None:
        """The living one over which one of these was sent."""
        for line in self._lines:
            if line.state is OPEN and any(same(left, line.connection.identity) for left in behind):
                return line
        return None

    def allow(self, seconds: float) -> None:
        """Somebody waits for so long: the longest of all says when a reply is overdue."""
        self.patience = max(self.patience, seconds) if self._allowed else seconds
        self._allowed = True

    def _choose(self, slot: Caller) -> Line | _Dial:
        """One that is open; or the dial to wait for, or to carry out if it is ours."""
        with self._lock:
            self._lines = lines = [line for line in self._lines if line.state is OPEN]
            due = len(lines) < self.options.connections or any(line.worn for line in lines)
            if due and self._dial is None and (not lines or self._now() >= max(self._again, self._redials.not_before)):
                self._dial = _Dial(slot)
                return self._dial
            if lines:
                return min(lines, key=lambda line: line.load)
            assert self._dial is not None
            return self._dial

    def _wait_for(self, dial: _Dial, slot: Caller) -> None:
        """Somebody else dials. Callers who wait for it are unsent commands like others."""
        if dial.waiting >= self.options.max_unsent:
            self._tally.refused += 1
            raise PoolSaturatedError(
                f"not sent: {dial.waiting} commands wait already for the shared connection to be opened "
                f"(max_unsent={self.options.max_unsent})"
            )
        dial.waiting += 1
        try:
            left = slot.deadline - self._now()
            if left <= 0 or not dial.over.wait(None if left == math.inf else left):
                raise endings.late(slot)
        finally:
            dial.waiting -= 1
        if self.unable:
            raise ApartError
        if dial.error is not None:
            endings.undialled([slot, slot], dial.error)
            raise slot.error

    # Dialling

    def _carry_out(self, dial: _Dial, slot: Caller) -> Line:
        attempt = Attempt(self._now, slot.deadline, 0.0, True)
        try:
            line = self._open(attempt)
            self._enter(line)
        except ApartError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            self._again = self._now() + _AGAIN
            left = [line for line in self._lines if line.state is OPEN]
            if left:
                return left[0]
            known: Any = error
            if isinstance(error, builtins.TimeoutError):
                known = rx.TimeoutError("no shared connection could be opened before the deadline")
                known.__cause__ = error
            attempt.stamp(known)
            if slot.deadline > self._now():  # else it says nothing to those who have more time
                dial.error = known
            raise known from known.__cause__
        finally:
            dial.over.set()  # first: a dial that is not rung any more is one to wait for
            self._dial = None
        return line

    def _forsake(self, slot: Caller) -> None:
        """Its thread leaves by an exception, at whatever point: nobody is to wait for its dial."""
        with self._lock:
            dial = self._dial
            if dial is not None and dial.by is slot:
                dial.over.set()
                self._dial = None

    def _open(self, attempt: Attempt) -> Line:
        outer = current_attempt.get()
        try:
            try:
                current_attempt.set(attempt)
                self._sweep()
                attempt.check_before("CONNECT")
                pause = min(self._redials.pause(), attempt.left())
                if pause > 0:
                    self._clock.sleep(pause)
                return self._connect()
            finally:
                current_attempt.set(outer)
        except BaseException:
            current_attempt.set(outer)  # again: an interrupt may have come before it was done
            raise

    def _connect(self) -> Line:
        pool = self._pool()
        if pool is None:
            raise PoolClosedError("the pool of these shared connections is gone")
        connection = pool.acquire(priority="high") if is_ours(pool) else pool.get_connection()
        self._lent[connection] = None
        try:
            if not getattr(connection, "shareable", False):
                self.unable = True
                pool.release(connection)
                del self._lent[connection]
                raise ApartError
            self._fence(connection)
            expires, doom = math.inf, ""
            place = pool._ledger.leased.get(connection) if is_ours(pool) else None
            if place is not None:
                place.since = math.inf  # it is out for as long as it lives, and that is no leak
                expires, doom = self._now() + place.expires - pool._now(), place.doom
            line = self._lent[connection] = Line(self, self.options, connection, self._now, expires, doom)
            return line
        except ApartError:
            raise
        except BaseException:
            self._give_up(connection, "lost")
            raise

    def _sweep(self) -> None:
        """Give back what threads that were killed did not get to. For who dials, before he has borrowed anything."""
        with self._lock:
            known = {*self._lines, *self._retired}
        for connection, line in list(self._lent.items()):
            if line is None or (line.state is OPEN and line not in known):  # it never took its place
                self._give_up(connection, "lost")
            else:
                line.end_if_over()

    def _fence(self, connection: Any) -> None:
        """Cut off lost connections, so that nothing more arrives over them once this one carries repeats."""
        with self._lock:
            batch = self.fences.take()
        behind, refused = list(batch), []
        try:
            while behind:
                try:
                    connection._fence(behind)
                except FenceRefusedError:
                    refused.append(behind.pop(0))
        except BaseException:
            self.fences.give_back(batch)
            raise
        self.fences.settle(batch, refused)

    def _enter(self, line: Line) -> None:
        """It takes its place, or that of one that is worn."""
        with self._lock:
            worn = [old for old in self._lines if old.worn][:1]
            self._lines = [*(old for old in self._lines if old not in worn), line]
            self._retired.update(worn)
            self._tally.opened += 1
            self._redials.opened(line)
        for old in worn:
            old.retire(old.worn)

    # Ends

    def lost(self, line: Line, *, carried: bool) -> None:
        """One is lost: not all are dialled anew in the same moment."""
        with self._lock:
            self._redials.lost(line)
            self.drained(line, carried=carried)

    def drained(self, line: Line, *, carried: bool) -> None:
        """One takes nobody any more; if it ``carried`` what may still arrive, the next one has to cut it off."""
        with self._lock:
            if carried:
                self.fences.add(line.connection.identity.as_lost(line.cause == "lost"))
            self._lines = [other for other in self._lines if other is not line]
            self._redials.gone(line)
            self._tally.ends[line.cause] += 1

    def ended(self, line: Line) -> None:
        """Nobody is at its socket any more: back to the pool, which closes it."""
        with self._lock:
            self._retired.discard(line)
        self._give_up(line.connection, line.cause)

    def _give_up(self, connection: Any, cause: str) -> None:
        """Once; and once more if the first time was cut short."""
        pool = self._pool()
        with self._returning:
            if connection not in self._lent:
                return
            if pool is None or not is_ours(pool) or not pool.end(connection, cause):
                with contextlib.suppress(Exception):
                    connection.disconnect()
                if pool is not None and not is_ours(pool):
                    pool.release(connection)
            self._lent.pop(connection, None)

    def retire(self, cause: str) -> None:
        """Nobody new on those there are; each ends once it is drained. New calls get new ones."""
        with self._lock:
            lines, self._lines = self._lines, []
            self._retired.update(lines)
        for line in lines:
            line.retire(cause)

    def drain(self, seconds: float) -> None:
        """Retire all, and wait until they have ended, at most so long."""
        self.retire("disconnect")
        deadline = self._now() + seconds
        while self._retired and self._now() < deadline:
            self._clock.sleep(_STEP)

    def after_fork(self) -> None:
        """In a child: nothing of the parent's is used, and no lock is as another thread held it."""
        self._lock, self._returning = threading.RLock(), threading.RLock()
        self._lines, self._retired, self._dial, self._lent = [], set(), None, {}
        self._redials = Redials(self._now)

    def stats(self) -> LineStats:
        """The numbers of this moment."""
        with self._lock:
            return self._tally.stats(self.options.connections, [*self._lines, *self._retired])

    def __repr__(self) -> str:
        return f"<Lines {', '.join(line.state for line in self._lines) or ENDED}>"
