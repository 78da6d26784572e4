"""The pool for asyncio: a true ``redis.asyncio.ConnectionPool`` over the ledger. Twin of `sync_pool`.

No lock: everything that decides runs without a pause in the one loop. Giving back does not wait for anything either,
so no cancel can come in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Self
from weakref import WeakSet

import redis.asyncio

from resilient_redis.clock import SYSTEM_CLOCK, Clock
from resilient_redis.connections.aio_cleanliness import absorb, dirt
from resilient_redis.connections.aio_observed import observed
from resilient_redis.durations import Duration, parse_duration
from resilient_redis.pool import fork, leaks
from resilient_redis.pool.aio_dialling import Dialler
from resilient_redis.pool.aio_endings import abort
from resilient_redis.pool.aio_life import Life
from resilient_redis.pool.aio_redis_side import RedisSide
from resilient_redis.pool.face import PoolFace, deadline_of, mark_as_dialled
from resilient_redis.pool.options import PoolOptions, take_options
from resilient_redis.pool.priority import Priority, current_priority, parse_priority
from resilient_redis.pool.slots import Slot, State, Waiter
from resilient_redis.pool.todo import Todo

_MARGIN = 0.001
"""Seconds before its call's deadline at which a borrower leaves the queue: else the call's own timer cancels it."""

_UNDER_WAY = (State.RESERVED, State.DIALLING)


class ResilientConnectionPool(Life, RedisSide, PoolFace, redis.asyncio.ConnectionPool):  # type: ignore[misc] # redis-py's bases
    """A ``redis.asyncio.ConnectionPool`` with bounds, order, and an end.

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

    For one event loop at a time: another loop gets a ``RuntimeError``, unless the first one is closed; then the pool
    begins anew. Safe for fork.

    >>> pool = ResilientConnectionPool.from_url("redis://localhost:6379", max_connections=20, acquire_timeout="250ms")
    >>> redis.asyncio.Redis(connection_pool=pool).connection_pool.stats().max
    20

    With policies, for redis-py's own client:

    >>> from resilient_redis import Fallback, Retry
    >>> async def main():
    ...     pool = ResilientConnectionPool(port=1, policies=[Fallback("?"), Retry(attempts=2)])
    ...     return await redis.asyncio.Redis(connection_pool=pool).get("greeting")
    >>> asyncio.run(main())
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
        connection_class: Any = redis.asyncio.Connection,
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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._dials: set[asyncio.Task[Any]] = set()
        self._quiet: asyncio.Future[None] | None = None
        self._forgotten: WeakSet[Any] = WeakSet()
        self._dialler = Dialler(self)
        self._watch_releases()
        self._begin(options, clock, own_dials=False)
        fork.register(self)

    # Borrowing and giving back

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Borrow a connection: open, shaken hands, clean. The arguments are redis-py's old ones, and not used.

        Raises:
            PoolTimeoutError: none came free in time.
            PoolSaturatedError: too many wait already.
            PoolClosedError: the pool is closed.
            DialFailedError: the server did not answer a dial just now, and another borrower was told.
            redis.ConnectionError: the server did not answer a dial, and this borrower is the one to be told.
            RuntimeError: the pool belongs to another event loop.
        """
        if asyncio.get_running_loop() is not self._loop:
            self._enter_loop()
        slot = self._ledger.take(self._now())
        if slot is None or self._careful or slot.idled > self._validate_after or dirt(slot.connection) is not None:
            return await self._borrow(deadline_of(self._now(), self._patience, _MARGIN), current_priority.get(), slot)
        return slot.connection

    async def acquire(self, *, timeout: Duration | None = None, priority: Priority | None = None) -> Any:
        """As `get_connection`, with a patience and a priority of its own. Give it back with `release`.

        Args:
            timeout: seconds; ``None``: the option ``acquire_timeout``; 0: only what is idle.
            priority: ``"high"``, ``"normal"``, ``"low"`` or a number; ``None``: that of the context.
        """
        if asyncio.get_running_loop() is not self._loop:
            self._enter_loop()
        rank = current_priority.get() if priority is None else parse_priority(priority)
        patience = self._patience if timeout is None else parse_duration(timeout, "timeout")
        return await self._borrow(deadline_of(self._now(), patience, _MARGIN), rank)

    @contextlib.asynccontextmanager
    async def lease(self, *, timeout: Duration | None = None, priority: Priority | None = None) -> AsyncIterator[Any]:
        """A connection for a block, given back whatever happens.

        >>> from resilient_redis.testing import EmbeddedServer
        >>> async def main(url):
        ...     async with ResilientConnectionPool.from_url(url) as pool, pool.lease(priority="high") as connection:
        ...         await connection.send_command("PING")
        ...         return await connection.read_response()
        >>> with EmbeddedServer.start() as server:
        ...     asyncio.run(main(server.url))
        b'PONG'
        """
        connection = await self.acquire(timeout=timeout, priority=priority)
        try:
            yield connection
        finally:
            await self.release(connection)

    async def release(self, connection: Any) -> None:
        """Give a connection back. If it is not clean it is closed, and the cause counted. Never waits.

        Raises:
            PoolReturnError: it is not lent, and no other exception is being handled. Nothing else came of it.
        """
        self._give_back(connection)

    def _give_back(self, connection: Any) -> None:
        ledger = self._ledger
        slot = ledger.leased.pop(connection, None)
        if slot is None:
            self._stray(connection)
            return
        now = self._now()
        if slot.reported:
            leaks.report_return(self, slot, now)
        cause = dirt(connection)
        if cause is None and slot.expires <= now:
            cause = slot.doom
        if self._announces and self._announce_release(slot, cause):
            return
        if cause is not None:
            self._discard(slot, cause)
        elif not ledger.give_back(slot, now) or self._meter is not None:
            self._step(ledger.settle)

    def _stray(self, connection: Any) -> None:
        if fork.is_inherited(connection) or connection in self._forgotten:
            abort(connection)
            return
        self._refuse_return()

    # Waiting

    async def _borrow(self, deadline: float, rank: float, slot: Slot | None = None) -> Any:
        """The careful way: wait if need be, and examine what there is until one is well."""
        began = self._now()
        found: Slot = slot or self._ledger.take(began) or await self._wait(deadline, rank)
        silent: float = math.inf  # seconds of idling after which one gave no answer: older ones are not even asked
        while (cause := await self._examine(found, deadline, silent)) is not None:
            if cause == "validation":
                silent = min(silent, found.idled)
            self._discard(found, cause)
            found = self._ledger.take(self._now()) or await self._wait(deadline, rank)
        found.reported = False
        found.place = None if self._leak_threshold is None else leaks.caller()
        if self._meter is not None:
            self._meter.borrowed(self, self._now() - began)
        return found.connection

    async def _wait(self, deadline: float, rank: float) -> Slot:
        """Queue until there is a connection."""
        loop = asyncio.get_running_loop()
        awake: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not awake.done():
                awake.set_result(None)

        waiter = Waiter(rank, self._now(), wake)
        self._step(lambda now: self._ledger.acquire(waiter, now))
        try:
            if not waiter.settled:
                await self._until(awake, wake, deadline - self._now())
        except BaseException:
            self._leave(waiter)
            raise
        if not waiter.settled:
            self._step(lambda now: self._ledger.give_up(waiter, now))
        self._ledger.waited(waiter, self._now())
        if waiter.slot is not None:
            return waiter.slot
        raise self._too_late(waiter) if waiter.refusal is None else self._refused(waiter.refusal)

    async def _until(self, awake: asyncio.Future[None], wake: Callable[[], None], seconds: float) -> None:
        if seconds <= 0:
            return
        if self._clock is not SYSTEM_CLOCK:
            await self._clock.await_future(awake, None if seconds == math.inf else seconds)
            return
        timer = None if seconds == math.inf else asyncio.get_running_loop().call_later(seconds, wake)
        try:
            await awake
        finally:
            if timer is not None:
                timer.cancel()

    def _leave(self, waiter: Waiter) -> None:
        """Cancelled: nothing that was granted may be lost."""
        self._step(lambda now: self._ledger.give_up(waiter, now))
        self._ledger.waited(waiter, self._now())
        if self._only_dials(self.stats()):
            mark_as_dialled()
        if waiter.slot is not None:
            self._give_back(waiter.slot.connection)

    async def _examine(self, slot: Slot, deadline: float, silent: float) -> str | None:
        """Why this connection is of no use; ``None``: it is well."""
        try:
            cause = dirt(slot.connection)
            if cause == "unread":
                cause = absorb(slot.connection)
            elif cause == "lost":
                cause = absorb(slot.connection) or cause  # nobody had it: it was closed, as for threads
            if cause is not None or slot.idled <= self._validate_after:
                return cause
            if slot.idled >= silent:
                return "validation"
            slot.state = State.VALIDATING
            cause = await self._dialler.ping(slot.connection, deadline)
            slot.state = State.LEASED
            return cause
        except BaseException:
            self._discard(slot, "validation")
            raise

    # Steps

    def _discard(self, slot: Slot, cause: str) -> None:
        self._step(lambda now: self._ledger.discard(slot, cause, now))

    def _step(self, step: Callable[[float], Todo]) -> None:
        """One step of the ledger; then what it asks for."""
        todo = step(self._now())
        for waiter in todo.wake:
            waiter.wake()
        for slot in todo.dial:
            self._start_dial(slot)
        for slot in todo.close:
            self._close_slot(slot)
        if self._meter is not None:
            self._meter.tell(self)
        quiet = self._quiet
        if quiet is not None and not quiet.done() and self._ledger.quiet:
            quiet.set_result(None)

    def _start_dial(self, slot: Slot) -> asyncio.Task[Any] | None:
        ledger = self._ledger
        task = self._spawn(self._dialler.dial(slot))

        def ended(task: asyncio.Task[Any]) -> None:
            self._dials.discard(task)
            if slot.state in _UNDER_WAY:  # cancelled before its first step: nothing of it has run
                self._step(lambda now: ledger.dial_abandoned(slot, now))

        if task is not None:
            self._dials.add(task)
            task.add_done_callback(ended)
        return task

    def _spawn(self, work: Any) -> asyncio.Task[Any] | None:
        """Run something beside the borrowers. ``None``: there is no loop any more."""
        loop = self._loop
        if loop is None or loop.is_closed():
            work.close()
            return None
        task = loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _close_slot(self, slot: Slot) -> None:
        """The socket is closed by the loop, in its next round; until then it counts."""
        ledger = self._ledger
        abort(slot.connection)

        def closed() -> None:
            if slot in ledger.slots:  # else `reset` has done it
                self._give_back_budget(1)
            self._step(lambda now: ledger.closed(slot, now))
            self._closed_for_budget()

        try:
            asyncio.get_running_loop().call_soon(closed)
        except RuntimeError:
            closed()

    def _enter_loop(self) -> None:
        """The pool belongs to the loop that uses it first, until that one is closed."""
        loop = asyncio.get_running_loop()
        if not fork.witness[0]:
            fork.catch_up()
        if self._loop is not None and not self._loop.is_closed():
            raise self._not_this_loop()
        if self._loop is not None:
            self.reset()
        self._loop = loop
        self._schedule_upkeep()

    def _keep_out(self) -> None:
        """Nobody closes connections under another loop that runs, in a thread of its own. One that stands still is
        no danger: whoever clears up after it may do so from his own.
        """
        loop = self._loop
        if loop is not None and loop.is_running() and loop is not asyncio.get_running_loop():
            raise self._not_this_loop()

    def _not_this_loop(self) -> RuntimeError:
        return RuntimeError(
            f"pool {self.name!r} belongs to another event loop, which is still open; make one client for each loop"
        )
