"""What the sync and the asyncio pool share: options, numbers, and the errors they raise."""

from __future__ import annotations

import math
import random
import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import redis.exceptions as rx

from resilient_redis.calls import Kind
from resilient_redis.clock import SYSTEM_CLOCK, Clock
from resilient_redis.connections.attempt import ACQUIRE, CONNECT, current_attempt
from resilient_redis.errors import (
    DialFailedError,
    PoolClosedError,
    PoolReturnError,
    PoolSaturatedError,
    PoolTimeoutError,
    RejectedError,
)
from resilient_redis.events import Events
from resilient_redis.pool.budgets.observer import is_server_full
from resilient_redis.pool.health import PoolHealth, pool_health
from resilient_redis.pool.ledger import Ledger
from resilient_redis.pool.metrics import connection_count
from resilient_redis.pool.options import BUILT_IN, PoolOptions
from resilient_redis.pool.slots import Refusal, State, Waiter
from resilient_redis.pool.stats import PoolStats
from resilient_redis.pool.story import AT_ONCE, exhausted, story
from resilient_redis.pool.todo import Todo

_DENIED = (rx.AuthenticationError, rx.AuthorizationError, rx.NoPermissionError)

_REFUSED: dict[str, tuple[type[RejectedError], str]] = {
    "closed": (PoolClosedError, "it is closed, or closing, and stays so"),
    "dial_failed": (DialFailedError, "the last dial failed ({error}); nobody dials until the pause is over"),
}


JUST_USED = 0.001
"""Seconds for which a connection that came back counts as alive, whatever ``validate_after`` says: what is handed from
one borrower straight to the next one, perhaps late in that one's patience, must not be put to the test again."""

_NEWS = 1.0
"""Seconds for which it counts that the budget allowed no more. Who waits for it asks it twenty times in that time."""

USUAL_DIAL = 5.0
"""Seconds that a dial may take where nothing else is said; redis-py 8's own default."""


class PoolFace:
    """Mixin of both pools."""

    connection_kwargs: dict[str, Any]
    _ledger: Ledger
    _options: PoolOptions
    _clock: Clock
    _now: Callable[[], float]
    events: Events
    _step: Callable[[Callable[[float], Todo]], None]
    set_retry: Callable[[Any], None]
    _look_for_metrics: Callable[[], None]
    _schedule_upkeep: Callable[[], None]
    _budget_full_at = -math.inf  # when the budget last allowed no more
    _shared: Any = None  # the lines of the multiplexed strategy, if a client uses it

    def _begin(self, options: PoolOptions, clock: Clock | None, *, own_dials: bool) -> None:
        """Open the books; called at the end of the constructors."""
        self._options = options
        self._clock = clock or SYSTEM_CLOCK
        self._now = self._clock.monotonic
        self._take_over(options)
        self._own_dials = own_dials
        self.events = Events()
        """Who hears of closes, failed dials and leaks."""
        self._new_ledger()
        if options.budget is not None:
            options.budget.attach(self.name)

    def _take_over(self, options: PoolOptions) -> None:
        """What is looked at so often that it lies at hand."""
        self._patience = _seconds(options.acquire_timeout)
        self._validate_after = max(_forever(options.validate_after), JUST_USED)
        self._leak_threshold = options.leak_threshold

    def _new_ledger(self) -> None:
        """Begin anew, with nothing open. A pool that was closed stays closed: in a child, and in another loop too."""
        closed = "_ledger" in vars(self) and self._ledger.state != "open"
        self._ledger = Ledger(self._options, random.Random(), own_dials=self._own_dials)
        if closed:
            self._ledger.finish_close(self._now())

    def change(self, options: PoolOptions) -> None:
        """Other options, from now on; what is open stays open as long as the new bounds allow.

        ``max_lifetime`` holds for connections to come. ``fifo``, ``background``, ``budget`` and ``name`` stay as they
        are: they are what the pool was built with.

        >>> from resilient_redis import PoolOptions, ResilientConnectionPool
        >>> pool = ResilientConnectionPool(max_connections=8)
        >>> pool.change(PoolOptions(max_connections=4, acquire_timeout="250ms"))
        >>> pool.options.describe()
        'at most 4 connections, 0 kept idle, 0.25 s to get one, closed after 60 s idle or 1800 s in all'
        """
        fixed = {name: getattr(self._options, name) for name in BUILT_IN}
        interval = self._options.maintenance_interval
        self._options = changed = replace(options, **fixed)
        self._take_over(changed)
        self._look_for_leaks()
        self._ledger._options = changed
        self._step(lambda now: self._ledger.resize(changed.max_connections, changed.min_idle, now))
        if changed.maintenance_interval != interval:
            self._schedule_upkeep()

    def _look_for_leaks(self) -> None:
        """From now on, or no more; then nobody's place in the code is told as that of a later borrower."""
        if self._leak_threshold is None:
            for slot in list(self._ledger.slots):
                slot.place = None
        self._look_for_metrics()  # which chooses how to borrow anew

    @property
    def options(self) -> PoolOptions:
        """What the pool was told."""
        return self._options

    @property
    def name(self) -> str:
        """The option ``name``, or the address."""
        if self._options.name is not None:
            return self._options.name
        kwargs = self.connection_kwargs
        address = kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
        return f"{address}/{kwargs.get('db') or 0}"

    def stats(self) -> PoolStats:
        """The numbers of this moment. Costs no I/O; safe from any thread.

        >>> from resilient_redis import ResilientConnectionPool
        >>> ResilientConnectionPool(max_connections=8).stats().max
        8
        """
        with self._alone():
            return self._count()

    def _alone(self) -> AbstractContextManager[Any]:
        """Keeps steps of other threads out, so that the numbers fit each other and no count of the past goes back."""
        return nullcontext()

    def _count(self) -> PoolStats:
        ledger, tally, now = self._ledger, self._ledger.tally, self._now()
        slots = list(ledger.slots)
        count = dict.fromkeys(State, 0)
        for slot in slots:
            count[slot.state] += 1
        out = (slot for slot in slots if slot.state is State.LEASED and slot.since < math.inf)
        oldest = min(out, key=lambda slot: slot.since, default=None)
        open_now = count[State.IDLE] + count[State.LEASED] + count[State.VALIDATING]
        return PoolStats(
            name=self.name,
            state=ledger.state,
            size=open_now,
            available=count[State.IDLE],
            borrowed=count[State.LEASED],
            pending=len(ledger.queue) + sum(slot.owner is not None for slot in list(ledger.dialling)),
            max=self._options.max_connections,
            min=ledger.least,
            dialling=count[State.RESERVED] + count[State.DIALLING],
            closing=count[State.CLOSING],
            allowed=min(ledger.most, len(slots) - count[State.RESERVED]) if self._budget_is_full else ledger.most,
            generation=ledger.generation,
            borrows=tally.borrows + sum(slot.uses for slot in slots),
            waits=tally.waits,
            wait_seconds=tally.wait_seconds,
            longest_wait=tally.longest_wait,
            dials=tally.dials,
            dial_failures=tally.dial_failures,
            dial_seconds=tally.dial_seconds,
            timeouts=tally.timeouts,
            refusals=tally.refusals,
            closes=tally.closes,
            oldest_lease=None if oldest is None else max(0.0, now - oldest.since),
            oldest_borrower=None if oldest is None else oldest.place,
            lines=None if self._shared is None else self._shared.stats(),
        )

    def health(self, *, breakers: Mapping[str, str] | None = None) -> PoolHealth:
        """Is all well? Critical over 0.9 of the connections in use, warning over 0.7, with reasons and advice.

        Args:
            breakers: state by name of the circuits in front of this pool; a client's ``health()`` knows its own.

        >>> from resilient_redis import ResilientConnectionPool
        >>> ResilientConnectionPool().health().status
        'healthy'
        """
        return pool_health(self.stats(), breakers=breakers or {}, **self._trouble())

    def _why_not_warm(self) -> list[BaseException]:
        """What the last dial raised, if nobody dials just now because of it."""
        pace = self._ledger.pace
        if pace.error is None or len(self._ledger.idle) >= self._ledger.least or pace.left(self._now()) <= 0:
            return []
        return [pace.error]

    def _trouble(self) -> dict[str, Any]:
        """What the last dial met, for `story`, `exhausted` and `pool_health`."""
        pace, budget = self._ledger.pace, self._options.budget
        error = None if pace.error is None else type(pace.error).__name__
        told = budget.describe() if budget is not None and self._budget_is_full else None
        return {"last_dial_error": error, "dial_pause": pace.left(self._now()), "budget": told}

    def __repr__(self) -> str:
        """The pool in one line of numbers; no password is in it."""
        if "_ledger" not in vars(self):
            return f"<{type(self).__name__}, not ready>"
        return f"<{type(self).__name__} {story(self.stats(), **self._trouble())}>"

    def get_connection_count(self) -> list[tuple[int, dict[str, Any]]]:
        """As redis-py's: idle and lent connections, with the attributes of its metrics."""
        return connection_count(self)

    def end(self, connection: Any, cause: str) -> bool:
        """A lent connection is of no more use: close it, and count ``cause``. False: it is not lent by this pool."""
        slot = self._ledger.leased.get(connection)
        if slot is None:
            return False
        self._step(lambda now: self._ledger.discard(slot, cause, now))
        return True

    def _retire_shared(self, cause: str) -> None:
        """Shared connections take nobody new, and end once their commands are answered."""
        if self._shared is not None:
            self._shared.retire(cause)

    def _shed_for_budget(self) -> None:
        """Close what the budget wants back; what is idle now, the rest when it comes back.

        The last connection goes too, if nobody uses it: others may have a part in the budget who hold their last one.
        """
        budget, ledger = self._options.budget, self._ledger
        too_many = budget.surplus() if budget is not None else 0
        most, there = self._options.max_connections, len(ledger.slots)
        if too_many and there:
            unused = not ledger.queue and len(ledger.idle) == there
            most = max(0 if unused else 1, min(most, there - too_many))
        if most != ledger.most:
            self._step(lambda now: ledger.resize(most, ledger.least, now))

    @property
    def _budget_is_full(self) -> bool:
        """Does the budget, or did it a moment ago, allow no more connections?"""
        return self._now() - self._budget_full_at < _NEWS

    def _take_budget(self) -> bool:
        """A place of the budget's for one connection; False: there is none now."""
        budget = self._options.budget
        if budget is None or budget.take():
            self._budget_full_at = -math.inf
            return True
        self._budget_full_at = self._now()
        return False

    def _give_back_budget(self, count: int) -> None:
        """The places of so many connections are for other processes again."""
        budget = self._options.budget
        if budget is not None:
            for _ in range(count):
                budget.give()

    def _closed_for_budget(self) -> None:
        """A connection is closed: perhaps the budget has what it wanted back, and the pool may grow again."""
        if self._ledger.most < self._options.max_connections:
            self._shed_for_budget()

    def _leave_budget(self) -> None:
        """The pool is forgotten, and was perhaps never closed. What is idle ends with it; what is lent, with whoever
        has it.
        """
        own = vars(self)
        budget = own["_options"].budget if "_ledger" in own else None
        if budget is None:
            return
        for slot in list(own["_ledger"].slots):
            if slot.state is State.LEASED:
                weakref.finalize(slot.connection, budget.give).atexit = False
            elif slot.state in (State.IDLE, State.CLOSING):
                budget.give()

    # Errors

    def _refused(self, refusal: Refusal) -> BaseException:
        """The exception for a waiter that gets nothing."""
        if refusal.cause == "dial":
            assert refusal.error is not None
            mark_as_dialled()
            return refusal.error
        if refusal.cause == "saturated":
            why = "max_waiting borrowers wait already"
            return PoolSaturatedError(exhausted(self.stats(), 0.0, why, **self._trouble()))
        kind, why = _REFUSED[refusal.cause]
        error = kind(
            f"pool {self.name!r}: {why.format(error=type(refusal.error).__name__)}", retry_after=refusal.retry_after
        )
        error.__cause__ = refusal.error
        if isinstance(refusal.error, _DENIED):  # waiting does not help, and a fallback must not hide it
            vars(error).update(kind=Kind.DENIED, retry_after=None)
        return error

    def _too_late(self, waiter: Waiter) -> BaseException:
        """The exception for a borrower whose time is over."""
        self._ledger.tally.timeouts += 1
        waited = self._now() - waiter.since
        stats = self.stats()
        if waited < AT_ONCE:
            return PoolTimeoutError(exhausted(stats, waited, **self._trouble()))  # it gave no dial the time to begin
        if self._only_dials(stats):
            # Nobody has what it waits for: it is the server that does not answer, and a circuit should know.
            story = exhausted(stats, waited, "dialling", **self._trouble())
            return rx.TimeoutError(f"no connection could be opened in time: {story}")
        why = "the budget allows no more" if self._budget_is_full else "no connection came back in time"
        return PoolTimeoutError(exhausted(stats, waited, why, **self._trouble()))

    def _only_dials(self, stats: PoolStats) -> bool:
        return stats.dialling > 0 and stats.borrowed == 0 and not self._budget_is_full

    def _refuse_return(self) -> None:
        """Somebody gives back what is not lent.

        Nothing is said while another exception is on its way: it would be hidden, and may be the very reason. One that
        a signal handler raises just as a connection is given back makes redis-py's ``Pipeline.reset()`` do it again.

        Raises:
            PoolReturnError: no other exception is being handled.
        """
        if sys.exc_info()[0] is None:
            raise self._not_lent()

    def _not_lent(self) -> PoolReturnError:
        return PoolReturnError(
            f"pool {self.name!r}: this connection is not lent; it was given back before, or belongs to another pool"
        )


def deadline_of(now: float, patience: float, margin: float = 0.0) -> float:
    """Clock reading by which a borrower must have its connection.

    Args:
        now: the time.
        patience: the pool's or the borrower's own, in seconds.
        margin: seconds before the deadline of the call at which to leave, so as to leave with the pool's own story.
    """
    attempt = current_attempt.get()
    if attempt is not None:
        # Counted on the call's own clock: it may be a test's, while sockets take real time.
        patience = min(patience, attempt.deadline - attempt.now() - margin)
    return now + patience


def dial_patience(connection_kwargs: dict[str, Any], options: PoolOptions) -> float:
    """Seconds for one dial and its handshake: the connect timeout, else as long as a borrower may wait.

    At least `USUAL_DIAL` then: a pool whose borrowers wait for less than a dial takes would never open one.
    """
    configured = connection_kwargs.get("socket_connect_timeout")
    return float(configured or max(USUAL_DIAL, _seconds(options.acquire_timeout)))


def tell_budget(budget: Any, error: BaseException) -> None:
    """A budget that watches the server learns of it when the server is full."""
    note = getattr(budget, "note_server_full", None)
    if note is not None and is_server_full(error):
        note()


def mark_as_dialled() -> None:
    """What the call of this thread or task meets from here on is not for want of a free connection."""
    attempt = current_attempt.get()
    if attempt is not None and attempt.stage == ACQUIRE:
        attempt.stage = CONNECT


def check_bounds(most: int | None, least: int | None, options: PoolOptions) -> tuple[int, int]:
    """New bounds for a pool.

    Raises:
        ConfigError: they are out of range.
    """
    most = options.max_connections if most is None else most
    most = PoolOptions(max_connections=most).max_connections
    least = min(options.min_idle, most) if least is None else least
    checked = PoolOptions(max_connections=most, min_idle=least)
    return checked.max_connections, checked.min_idle


def _seconds(value: Any) -> float:
    return float(value)


def _forever(value: Any) -> float:
    return float("inf") if value is None else float(value)
