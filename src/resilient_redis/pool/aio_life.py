"""The life of a pool for asyncio: warm-up, upkeep, drain, close. Twin of `life`."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

import redis.exceptions as rx

from resilient_redis.clock import Clock
from resilient_redis.connections.aio_cleanliness import absorb, dirt
from resilient_redis.durations import Duration, parse_duration
from resilient_redis.events import logger
from resilient_redis.pool import fork, leaks
from resilient_redis.pool.aio_endings import abort, cut_off, let_the_loop_close
from resilient_redis.pool.aio_redis_side import SameLayout
from resilient_redis.pool.face import check_bounds
from resilient_redis.pool.life import UPKEEP_DIALS, WarmUp
from resilient_redis.pool.slots import LENDABLE, Slot


class Life(SameLayout):
    """Mixin of the asyncio `ResilientConnectionPool`."""

    _ledger: Any
    _options: Any
    _clock: Clock
    _now: Callable[[], float]
    _step: Any
    _discard: Callable[[Slot, str], None]
    _enter_loop: Callable[[], None]
    _look_for_metrics: Callable[[], None]
    _new_ledger: Callable[[], None]
    _give_back_budget: Callable[[int], None]
    _keep_out: Callable[[], None]
    _renew_locks: Callable[[], None]
    _retire_shared: Callable[[str], None]
    _shed_for_budget: Callable[[], None]
    _start_dial: Callable[[Slot], Any]
    _spawn: Callable[[Any], Any]
    _why_not_warm: Callable[[], list[BaseException]]
    _loop: asyncio.AbstractEventLoop | None
    _quiet: asyncio.Future[None] | None
    _tasks: set[asyncio.Task[Any]]
    _dials: set[asyncio.Task[Any]]
    _forgotten: weakref.WeakSet[Any]
    _asking_budget: asyncio.Task[Any] | None = None
    _upkeep_timer: asyncio.TimerHandle | None = None

    async def warm_up(self, *, timeout: Duration = 5.0) -> WarmUp:
        """Open connections until ``min_idle`` are idle, each a socket of its own, shaken hands.

        Args:
            timeout: seconds for all of it.

        It raises nothing: look at the result, which is true when all went well and has the errors else.

        >>> from resilient_redis.asyncio import ResilientConnectionPool
        >>> from resilient_redis.testing import EmbeddedServer
        >>> async def main(url):
        ...     async with ResilientConnectionPool.from_url(url, min_idle=2) as pool:
        ...         return (await pool.warm_up()).opened
        >>> with EmbeddedServer.start() as server:
        ...     asyncio.run(main(server.url))
        2
        """
        seconds = parse_duration(timeout, "timeout")
        self._ledger.resting = False
        return await self._warm(seconds)

    async def _warm(self, seconds: float) -> WarmUp:
        """The same for upkeep: it stops where the pool is disconnected meanwhile."""
        if asyncio.get_running_loop() is not self._loop:
            self._enter_loop()
        opened: list[int] = []
        errors: list[BaseException] = []
        try:
            async with asyncio.timeout(seconds):
                await self._open_spares(opened, errors)
        except TimeoutError as error:
            errors.append(error)
        errors = errors or self._why_not_warm()
        return WarmUp(self._ledger.least, len(opened), len(self._ledger.idle), tuple(errors))

    async def _open_spares(self, opened: list[int], errors: list[BaseException]) -> None:
        while not errors and (slot := self._ledger.reserve_spare(self._now())) is not None:
            task = self._start_dial(slot)
            try:
                error = await asyncio.shield(task)
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if not task.cancelled() or (me is not None and me.cancelling()):
                    raise
                error = rx.ConnectionError("the dial was ended by disconnect() or aclose()")
            if error is not None:
                errors.append(error)
            elif slot.connection is not None:
                opened.append(1)

    async def maintain(self) -> None:
        """One round of upkeep: close what is too old, idle too long or dead, keep ``min_idle`` open, report leaks.

        It happens by itself every ``maintenance_interval``; there is no need to call it.
        """
        self._look_for_metrics()
        await self.keep_budget()
        self._step(self._ledger.maintain)
        self._bury_the_dead()
        leaks.report(self, self._now())
        await self._warm(UPKEEP_DIALS)

    async def keep_budget(self) -> None:
        """Renew the share of this process, and close what it has too much."""
        budget = self._options.budget
        if budget is None:
            return
        await asyncio.get_running_loop().run_in_executor(None, budget.maintain, self._now())
        self._shed_for_budget()

    def _ask_budget(self) -> None:
        """Somebody waits for it, and it may want to ask for more before the next round."""
        asking = self._asking_budget
        if (asking is None or asking.done()) and self._options.budget.due(self._now()):
            self._asking_budget = self._spawn(self.keep_budget())

    def _bury_the_dead(self) -> None:
        """An idle connection that the server has closed is found here, not by a borrower."""
        for slot in list(self._ledger.idle):
            cause = dirt(slot.connection)
            if cause is None or not self._ledger.check_out(slot):
                continue
            if cause == "unread":
                cause = absorb(slot.connection)
            elif cause == "lost":
                cause = absorb(slot.connection) or cause  # nobody had it: it was closed, as for threads
            if cause is None:
                self._step(lambda now, slot=slot: self._ledger.check_in(slot, now))
            else:
                self._discard(slot, cause)

    def _schedule_upkeep(self) -> None:
        """By a timer that holds the pool weakly: a forgotten pool can go, and nothing is left when the loop ends."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return  # it begins when there is one
        if self._upkeep_timer is not None:
            self._upkeep_timer.cancel()
        budget = self._options.budget
        seconds = min(
            self._options.maintenance_interval, getattr(budget, "interval", self._options.maintenance_interval)
        )
        self._upkeep_timer = loop.call_later(max(seconds, 0.01), _upkeep, weakref.ref(self), loop)

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

    def reset(self) -> None:
        """Forget every connection, as redis-py's does; lent ones are closed when they come back, and count no more.

        Whoever waits is served by new ones.
        """
        if "_ledger" not in vars(self):
            return
        ledger = self._ledger
        self._forgotten.update(ledger.leased)
        if self._loop is not None and self._loop.is_closed():
            self._leave_loop()
            return
        self._retire_shared("drain")
        forgotten = ledger.forget_lent()
        self._step(ledger.drain)
        self._give_back_budget(forgotten)

    def _leave_loop(self) -> None:
        """The loop has ended, and whoever waited in it: nothing that was to happen in it ever will."""
        ledger = self._ledger
        self._upkeep_timer = self._asking_budget = None
        self._renew_locks()
        self._new_ledger()
        for slot in list(ledger.idle):
            abort(slot.connection)
        self._give_back_budget(sum(slot.state in LENDABLE for slot in ledger.slots))

    async def aclose(self, timeout: Duration = 0.0) -> bool:
        """Close the pool for good: refuse newcomers, serve those who wait, close what is idle, wait for the rest.

        Args:
            timeout: seconds to wait for what is lent; then it is cut off. 0: do not wait.

        Returns:
            Did everything come back in time?

        Raises:
            RuntimeError: the pool belongs to another event loop, which runs.

        Safe to call again.
        """
        seconds = parse_duration(timeout, "timeout")
        if not fork.witness[0]:
            fork.catch_up()
        self._keep_out()
        self._step(self._ledger.begin_close)  # before anything is waited for
        self._retire_shared("closed")
        hook = getattr(self, "_on_close", None)  # redis-py 8: ends its maintenance tasks
        if hook is not None:
            await hook()
        if self._quiet is None or self._quiet.get_loop() is not asyncio.get_running_loop():
            self._quiet = asyncio.get_running_loop().create_future()
        await let_the_loop_close()  # what was idle
        if not self._ledger.quiet and seconds > 0:
            await self._clock.await_future(self._quiet, seconds)
        calm = self._ledger.quiet
        self._step(self._ledger.finish_close)
        for connection in list(self._ledger.leased):
            cut_off(connection)
        dials = [task for task in self._dials if task is not asyncio.current_task()]
        for task in dials:
            task.cancel()
        if dials:
            await asyncio.wait(dials, timeout=1.0)
        await let_the_loop_close()
        return bool(calm)

    def _after_fork(self) -> None:
        """In a child: begin anew, with whatever loop comes."""
        self._loop = self._upkeep_timer = self._asking_budget = None
        self._tasks = set()
        self._dials = set()
        self._quiet = None
        self._new_ledger()
        if self._options.budget is not None:
            self._options.budget.after_fork()
            self._options.budget.attach(self.name)  # type: ignore[attr-defined] # of `PoolFace`


def _upkeep(ref: Any, loop: asyncio.AbstractEventLoop) -> None:
    pool = ref()
    if pool is None or pool._loop is not loop or pool._ledger.state == "closed":
        return
    pool._spawn(_round(pool))
    pool._schedule_upkeep()


async def _round(pool: Any) -> None:
    try:
        await pool.maintain()
    except Exception:  # noqa: BLE001 - the next round tries again
        logger.exception("upkeep of pool %s failed; the next round tries again", pool.name)
