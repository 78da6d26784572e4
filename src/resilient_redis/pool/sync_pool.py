"""The pool for threads: a true ``redis.ConnectionPool`` over the ledger. Twin of `aio_pool`."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self
from weakref import WeakSet

import redis
from redis.event import AfterConnectionReleasedEvent

from resilient_redis.clock import Clock
from resilient_redis.connections.cleanliness import absorb, dirt
from resilient_redis.connections.observed import observed
from resilient_redis.durations import Duration, parse_duration
from resilient_redis.errors import PoolTimeoutError
from resilient_redis.pool import fork, leaks, maintenance
from resilient_redis.pool.bell import Bell
from resilient_redis.pool.dialling import Dialler
from resilient_redis.pool.face import PoolFace, deadline_of
from resilient_redis.pool.life import Life
from resilient_redis.pool.mending import Mending
from resilient_redis.pool.options import PoolOptions, take_options
from resilient_redis.pool.priority import Priority, current_priority, parse_priority
from resilient_redis.pool.redis_side import RedisSide
from resilient_redis.pool.slots import Slot, State, Waiter
from resilient_redis.pool.story import exhausted
from resilient_redis.pool.todo import Todo


class ResilientConnectionPool(Life, Mending, RedisSide, PoolFace, redis.ConnectionPool):  # type: ignore[misc] # close() answers
    """A ``redis.ConnectionPool`` with bounds, order, and an end.

    It hands a connection that comes back straight to the longest waiter, opens new ones a few at a time and only
    while somebody needs one, keeps them fresh, takes back only clean ones, and can be drained and closed for good.
    Everything that takes a redis-py pool takes this one.

    Args:
        connection_class: as redis-py's.
        max_connections: see `PoolOptions`; ``None`` for its default.
        clock: the source of time, for tests.
        policies: for redis-py's own clients over this pool, outermost first; `ResilientRedis` uses them too. ``None``:
            those clients get plain connections. See docs/pool-policies.md.
        **kwargs: the other options of `PoolOptions` by name; the rest is for the connections, as redis-py's.

    Raises:
        ConfigError: an option is out of its range, or a policy is wrong.

    Safe for threads, for signal handlers and for fork.

    >>> pool = ResilientConnectionPool.from_url("redis://localhost:6379", max_connections=20, acquire_timeout="250ms")
    >>> redis.Redis(connection_pool=pool).connection_pool.stats().max
    20

    With policies, for redis-py's own client:

    >>> from resilient_redis import Fallback, Retry
    >>> pool = ResilientConnectionPool(port=1, policies=[Fallback("?"), Retry(attempts=2)])
    >>> redis.Redis(connection_pool=pool).get("greeting")
    '?'
    """

    def __new__(cls, *args: Any, policies: Sequence[Any] | None = None, **kwargs: Any) -> Self:
        """With policies it is of a class of its own, so that borrowing costs nothing more without."""
        if policies is None:
            return super().__new__(cls)
        from resilient_redis.transport.guarded_pool import guarded  # stands above the pool, and few need it

        made: Self = super().__new__(guarded(cls))
        return made

    def __init__(
        self,
        connection_class: Any = redis.Connection,
        max_connections: int | None = None,
        *args: Any,
        clock: Clock | None = None,
        policies: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        given = take_options(kwargs)
        if max_connections is not None:
            given["max_connections"] = max_connections
        options = PoolOptions(**given)
        super().__init__(observed(connection_class), options.max_connections, *args, **kwargs)
        self._set_up(options, clock)
        if policies is not None:
            from resilient_redis.transport.guarded_pool import guard

            guard(self, policies, clock)

    def _set_up(self, options: PoolOptions, clock: Clock | None) -> None:
        """What the constructor adds to redis-py's; also turns a fresh pool of redis-py's into one of ours."""
        self.connection_class = observed(self.connection_class)
        self._postponed: deque[Callable[[float], Todo]] = deque()
        self._stepping = False
        self._quiet = Bell()
        self._set_up_mending()
        self._dialler = Dialler(self)
        self._forgotten: WeakSet[Any] = WeakSet()
        self._watch_releases()
        self._begin(options, clock, own_dials=True)
        fork.register(self)
        self._schedule_upkeep()

    # Borrowing and giving back

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Borrow a connection: open, shaken hands, clean. The arguments are redis-py's old ones, and not used.

        Raises:
            PoolTimeoutError: none came free in time.
            PoolSaturatedError: too many wait already.
            PoolClosedError: the pool is closed.
            DialFailedError: the server did not answer somebody else's dial just now.
            redis.ConnectionError: it did not answer ours.
        """
        if not fork.witness[0]:
            fork.catch_up()
        slot = self._ledger.take(self._now())
        try:
            if slot is None or self._careful or slot.idled > self._validate_after or slot.probe():
                return self._borrow(deadline_of(self._now(), self._patience), current_priority.get(), slot)
            return slot.connection
        except BaseException:
            self._recover(slot)
            raise

    def acquire(self, *, timeout: Duration | None = None, priority: Priority | None = None) -> Any:
        """As `get_connection`, with a patience and a priority of its own. Give it back with `release`.

        Args:
            timeout: seconds; ``None``: the option ``acquire_timeout``; 0: only what is idle.
            priority: ``"high"``, ``"normal"``, ``"low"`` or a number; ``None``: that of the context.
        """
        self._checkpid()
        rank = current_priority.get() if priority is None else parse_priority(priority)
        patience = self._patience if timeout is None else parse_duration(timeout, "timeout")
        return self._borrow(deadline_of(self._now(), patience), rank)

    @contextlib.contextmanager
    def lease(self, *, timeout: Duration | None = None, priority: Priority | None = None) -> Iterator[Any]:
        """A connection for a block, given back whatever happens.

        >>> from resilient_redis.testing import EmbeddedServer
        >>> with EmbeddedServer.start() as server:
        ...     with ResilientConnectionPool.from_url(server.url) as pool, pool.lease(priority="high") as connection:
        ...         connection.send_command("PING")
        ...         connection.read_response()
        b'PONG'
        """
        connection = self.acquire(timeout=timeout, priority=priority)
        try:
            yield connection
        finally:
            self.release(connection)

    def release(self, connection: Any) -> None:
        """Give a connection back. If it is not clean it is closed, and the cause counted. Never waits.

        Raises:
            PoolReturnError: it is not lent, and no other exception is being handled. Nothing else came of it.
        """
        ledger = self._ledger
        slot: Slot | None = None
        now: float | None = None
        try:
            slot = ledger.leased.pop(connection, None)
            if slot is None:
                self._stray(connection)
                return
            now = self._now()
            cause = dirt(connection)
            if (
                cause is None
                and slot.expires > now
                and now < self._maintain_at
                and not slot.reported
                and self._heard(AfterConnectionReleasedEvent) is self._usual_listeners  # `_announces`, spelled out
            ):
                if not ledger.give_back(slot, now):
                    self._step(ledger.settle)
            else:
                self._give_back_carefully(slot, cause, now)
        except BaseException:
            self._recover_returned(slot, now)
            raise

    def _give_back_carefully(self, slot: Slot, cause: str | None, now: float) -> None:
        """The rarer ways: it is not clean, or somebody wants to know."""
        if slot.reported:
            leaks.report_return(self, slot, now)
        cause = cause or (slot.doom if slot.expires <= now else None)
        if self._announces:
            cause = self._announce_release(slot, cause)
        if cause is not None:
            self._discard(slot, cause)
        elif not self._ledger.give_back(slot, now) or self._meter is not None:
            self._step(self._ledger.settle)
        if now >= self._maintain_at:
            maintenance.due(self)

    def _stray(self, connection: Any) -> None:
        if fork.is_inherited(connection) or connection in self._forgotten:
            with contextlib.suppress(Exception):
                connection.disconnect()
            return
        self._refuse_return()

    # Waiting

    def _wait(self, deadline: float, rank: float) -> Slot:
        """Queue until there is a connection, dialling for it if that falls to us."""
        with self._lock:
            if self._stepping:
                # A signal handler in the middle of this very thread's step: what it waits for could never come.
                raise PoolTimeoutError(exhausted(self.stats(), 0.0, "asked from inside the pool, by a signal handler"))
        awake = Bell()
        waiter = Waiter(rank, self._now(), awake.set)
        try:
            try:
                self._waiting.add(waiter)
                self._step(lambda now: self._ledger.acquire(waiter, now))
                self._await_outcome(waiter, awake, deadline)
            finally:
                self._waiting.discard(waiter)
                self._ledger.waited(waiter, self._now())
        except BaseException:
            self._leave(waiter)
            raise
        if waiter.slot is not None:
            return waiter.slot
        if waiter.refusal is None:
            self._waited_in_vain()
            raise self._too_late(waiter)
        raise self._refused(waiter.refusal)

    def _await_outcome(self, waiter: Waiter, awake: Bell, deadline: float) -> None:
        while waiter.slot is None and waiter.refusal is None:
            now = self._now()
            if now >= deadline:
                self._step(lambda now: self._ledger.give_up(waiter, now))
                return
            slot = waiter.reservation
            if slot is not None and now >= slot.start:
                self._dialler.dial_for(waiter, slot, deadline)
                continue
            awake.clear()
            if waiter.slot is not None or waiter.refusal is not None or waiter.reservation is not slot:
                continue
            until = deadline if slot is None else min(deadline, slot.start)
            self._clock.wait(awake, None if until == math.inf else until - now)

    def _leave(self, waiter: Waiter) -> None:
        """Whatever ended the wait: nothing that was granted may be lost."""
        self._step(lambda now: self._ledger.give_up(waiter, now))
        if waiter.slot is not None:
            self.release(waiter.slot.connection)

    def _borrow(self, deadline: float, rank: float, slot: Slot | None = None) -> Any:
        """The careful way: wait if need be, and examine what there is until one is well."""
        held: Slot | None = slot
        try:
            began = self._now()
            held = found = slot or self._ledger.take(began) or self._wait(deadline, rank)
            silent: float = math.inf  # seconds of idling after which one gave no answer: older ones are not even asked
            while (cause := self._examine(found, deadline, silent)) is not None:
                if cause == "validation":
                    silent = min(silent, found.idled)
                self._discard(found, cause)
                held = found = self._ledger.take(self._now()) or self._wait(deadline, rank)
            found.reported = False
            found.place = None if self._leak_threshold is None else leaks.caller()
            if self._meter is not None:
                self._meter.borrowed(self, self._now() - began)
            return found.connection
        except BaseException:
            self._recover(held)
            raise

    def _examine(self, slot: Slot, deadline: float, silent: float) -> str | None:
        """Why this connection is of no use; ``None``: it is well."""
        cause = absorb(slot.connection) if slot.probe() else None
        if cause is not None or slot.idled <= self._validate_after:
            return cause
        if slot.idled >= silent:
            return "validation"
        slot.state = State.VALIDATING
        cause = self._dialler.ping(slot.connection, deadline)
        slot.state = State.LEASED
        return cause

    def _discard(self, slot: Slot, cause: str) -> None:
        self._step(lambda now: self._ledger.discard(slot, cause, now))

    # Steps

    def _alone(self) -> contextlib.AbstractContextManager[Any]:
        lock: contextlib.AbstractContextManager[Any] = self._lock
        return lock

    def _step(self, step: Callable[[float], Todo]) -> None:
        """One step of the ledger, alone; then what it asks for, with no lock held.

        A signal handler or a finaliser may come in the middle of a step of its own thread. What it gives back is
        booked right after that step.
        """
        try:
            self._perform(step)
        except BaseException:
            self._mend()
            raise

    def _perform(self, step: Callable[[float], Todo]) -> None:
        with self._lock:
            if self._stepping:
                self._postponed.append(step)
                return
            self._stepping = True
            try:
                todo = step(self._now())
                while self._postponed:
                    more = self._postponed.popleft()(self._now())
                    todo.wake += more.wake
                    todo.close += more.close
            finally:
                self._stepping = False
        for waiter in todo.wake:
            waiter.wake()
        for slot in todo.close:
            self._close_slot(slot)
        if self._meter is not None:
            self._meter.tell(self)
        if self._ledger.state != "open" and self._ledger.quiet:
            self._quiet.set()
        if self._postponed:  # it came when the step above had just looked for the last time
            self._perform(lambda _: Todo())

    def _close_slot(self, slot: Slot) -> None:
        ours = False
        try:
            with self._lock:
                ours = slot.state is State.CLOSING and slot not in self._closing
                if not ours:
                    return  # after an exception everything is done again that may not have been done
                self._closing.add(slot)
            with contextlib.suppress(Exception):
                slot.connection.disconnect()
            if slot in self._ledger.slots:  # else `reset` has done it
                self._give_back_budget(1)
            self._step(lambda now: self._ledger.closed(slot, now))
            self._closed_for_budget()
        finally:
            if ours:
                self._closing.discard(slot)
