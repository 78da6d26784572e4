"""Dials and pings of the pool for threads: in the borrower's own thread, or apart from it. Twin of `aio_dialling`."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from resilient_redis.connections.attempt import CONNECT, Attempt, current_attempt
from resilient_redis.connections.cleanliness import make_peek
from resilient_redis.errors import ConfigError
from resilient_redis.pool.face import dial_patience, tell_budget
from resilient_redis.pool.slots import Slot, State, Waiter
from resilient_redis.pool.todo import Todo

if TYPE_CHECKING:
    from resilient_redis.pool.sync_pool import ResilientConnectionPool

_BUDGET_RETRY = 0.05
"""Seconds until a budget that was used up is asked again."""


_TOLERANCE = 0.002
"""Seconds by which a socket's timeout may come before the deadline it was set for."""

_NEARLY_ALL = 0.9
"""Part of a dial's usual time after which one that did not succeed counts as failed, whoever ended it."""


class Dialler:
    """Opens connections for one pool.

    A borrower dials in its own thread. Where its deadline once ended a dial before its time, dials are made in a
    short-lived thread of their own from then on, if the pool may have threads: else patience that is shorter than a
    dial would throw away every dial.
    """

    def __init__(self, pool: ResilientConnectionPool) -> None:
        self._pool = pool
        self._too_short: float | None = None  # a patience, in seconds, that has ended a dial

    def dial_for(self, waiter: Waiter, slot: Slot, deadline: float) -> None:
        """Dial, if it is still needed. The waiter has an outcome then, or goes on waiting.

        Raises:
            redis.TimeoutError: its own deadline ended the dial.
        """
        pool = self._pool
        if not self._take_from_budget(slot):
            return
        apart = self._too_short is not None and pool.options.background and deadline < pool._now() + self.patience
        started = False
        try:
            if not self._begin(slot, apart=apart):
                return
            started = apart and self._start_thread(slot)
            if not started:
                self._dial(slot, deadline)
        except BaseException:
            if not started:
                self._abandon(slot)
            raise

    def dial_spare(self, slot: Slot, deadline: float) -> BaseException | None:
        """Dial in this thread for whoever comes, if it is still needed; what it raised, if it failed."""
        if not self._take_from_budget(slot):
            self._let_go(slot)
            return ConfigError("budget: it allows no more connections now", field="budget")
        if not self._begin(slot, apart=False):
            self._let_go(slot)
            return None
        try:
            return self._dial(slot, min(deadline, self._pool._now() + self.patience))
        except Exception as error:  # noqa: BLE001 - it is the caller's to show
            return error

    def _abandon(self, slot: Slot) -> None:
        """A signal handler's exception came before the dial's end was booked."""
        if slot.state is State.DIALLING:
            ledger = self._pool._ledger
            self._pool._step(lambda now: ledger.dial_abandoned(slot, now))

    @property
    def patience(self) -> float:
        """Seconds for one dial and its handshake."""
        return dial_patience(self._pool.connection_kwargs, self._pool.options)

    def ping(self, connection: Any, deadline: float) -> str | None:
        """Is it alive? It may take half of the time that is left, so that some is left for another connection."""
        now = self._pool._now()
        outer = current_attempt.get()
        try:
            try:
                current_attempt.set(Attempt(self._pool._now, now + max(0.0, deadline - now) / 2, 0.0, True))
                connection._send_ping()
            except Exception:  # noqa: BLE001 - whatever it is, this connection is of no use
                return "validation"
            finally:
                current_attempt.set(outer)
        except BaseException:
            current_attempt.set(outer)  # again: an interrupt may have come before it was done
            raise
        return None

    def _let_go(self, slot: Slot) -> None:
        """The place that was kept for a dial is free again."""
        ledger = self._pool._ledger
        self._pool._step(lambda now: ledger.dial_abandoned(slot, now))

    def _take_from_budget(self, slot: Slot) -> bool:
        if self._pool._take_budget():
            return True
        slot.start = self._pool._now() + _BUDGET_RETRY
        return False

    def _give_to_budget(self) -> None:
        if self._pool.options.budget is not None:
            self._pool.options.budget.give()

    def _begin(self, slot: Slot, *, apart: bool) -> bool:
        begun = False

        def begin(now: float) -> Todo:
            nonlocal begun
            begun = self._pool._ledger.begin_dial(slot, now, apart=apart)
            return Todo()

        self._pool._step(begin)
        if not begun:
            self._give_to_budget()
        return begun

    def _start_thread(self, slot: Slot) -> bool:
        thread = threading.Thread(target=self._dial_apart, args=(slot,), name="resilient-redis-dial", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is ending
            return False
        return True

    def _dial_apart(self, slot: Slot) -> None:
        with contextlib.suppress(BaseException):  # it was told to whoever waits
            self._dial(slot, self._pool._now() + self.patience, apart=True)

    def _dial(self, slot: Slot, deadline: float, *, apart: bool = False) -> BaseException | None:
        """Dial; what it raised, if it failed.

        Args:
            slot: whose dial has begun.
            deadline: clock reading by which it must have ended.
            apart: in a thread of its own, where no signal handler raises: all that ends the dial is its failure.
        """
        pool, ledger = self._pool, self._pool._ledger
        began = pool._now()
        try:
            connection = self._connect(deadline)
        except BaseException as error:
            self._give_to_budget()
            if not (apart or isinstance(error, Exception)) or self._was_cut(began, deadline):
                pool._step(lambda now: ledger.dial_abandoned(slot, now))
                raise
            failure = error
            tell_budget(pool.options.budget, failure)
            pool._step(lambda now: ledger.dial_failed(slot, failure, now))
            return error
        try:
            slot.probe = make_peek(connection)
            pool._step(lambda now: ledger.dialled(slot, connection, now))
        except BaseException:
            if slot.state is State.DIALLING:  # a signal handler's: the connection is nobody's
                connection.disconnect()
                self._give_to_budget()
                self._abandon(slot)
            raise
        if self._too_short is not None and pool._now() - began < self._too_short:
            self._too_short = None
        return None

    def _was_cut(self, began: float, deadline: float) -> bool:
        """Did the borrower's own deadline end it, well before a dial's usual time was over?"""
        given = deadline - began
        cut = self._pool._now() >= deadline - _TOLERANCE and given < _NEARLY_ALL * self.patience
        if cut:
            self._too_short = given
        return cut

    def _connect(self, deadline: float) -> Any:
        """A connection that is open and has shaken hands, or none at all."""
        pool = self._pool
        outer, inner = current_attempt.get(), Attempt(pool._now, deadline, 0.0, True)
        connection = None
        try:
            try:
                current_attempt.set(inner)
                connection = pool.make_connection()
                connection.connect()
            except BaseException:
                if outer is not None:
                    outer.stage = max(CONNECT, inner.stage)  # what it met was not for want of a free connection
                if connection is not None:
                    with contextlib.suppress(Exception):
                        connection.disconnect()
                raise
            finally:
                current_attempt.set(outer)
        except BaseException:
            current_attempt.set(outer)  # again: an interrupt may have come before it was done
            raise
        return connection
