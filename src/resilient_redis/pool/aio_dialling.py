"""Dials and pings of the pool for asyncio. Twin of `dialling`.

A dial is a task of the pool, no borrower's: cancelling one who waits for it does not end it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resilient_redis.connections.attempt import current_attempt
from resilient_redis.pool.aio_endings import abort
from resilient_redis.pool.face import dial_patience, tell_budget
from resilient_redis.pool.slots import Slot, State

if TYPE_CHECKING:
    from resilient_redis.pool.aio_pool import ResilientConnectionPool

_BUDGET_RETRY = 0.05
"""Seconds until a budget that was used up is asked again."""


class Dialler:
    """Opens connections for one pool."""

    def __init__(self, pool: ResilientConnectionPool) -> None:
        self._pool = pool

    @property
    def patience(self) -> float:
        """Seconds for one dial and its handshake."""
        return dial_patience(self._pool.connection_kwargs, self._pool.options)

    async def dial(self, slot: Slot) -> BaseException | None:
        """Dial when the slot's time has come, if it is still needed; what it raised, if it failed."""
        pool, ledger = self._pool, self._pool._ledger
        current_attempt.set(None)  # nobody's attempt: it may outlive the one that asked for it
        try:
            if not await self._may_begin(slot):
                return None
        except BaseException:
            pool._step(lambda now: ledger.dial_abandoned(slot, now))
            raise
        connection: Any = None
        try:
            connection = pool.make_connection()
            async with asyncio.timeout(self.patience):
                await connection.connect()
        except BaseException as error:
            abort(connection)
            self._give_to_budget()
            if _ended_from_outside(error):
                pool._step(lambda now: ledger.dial_abandoned(slot, now))
                raise
            failure = as_redis_error(error)
            tell_budget(pool.options.budget, failure)
            pool._step(lambda now: ledger.dial_failed(slot, failure, now))
            return failure
        pool._step(lambda now: ledger.dialled(slot, connection, now))
        return None

    async def _may_begin(self, slot: Slot) -> bool:
        pool = self._pool
        while slot.state is State.RESERVED:
            early = slot.start - pool._now()
            if early > 0:
                await pool._clock.asleep(early)
            elif not pool._take_budget():
                pool._ledger.postpone(slot, pool._now() + _BUDGET_RETRY)
                pool._ask_budget()
            elif pool._ledger.begin_dial(slot, pool._now()):
                return True
            else:
                self._give_to_budget()
        return False

    def _give_to_budget(self) -> None:
        if self._pool.options.budget is not None:
            self._pool.options.budget.give()

    async def ping(self, connection: Any, deadline: float) -> str | None:
        """Is it alive? It may take half of the time that is left, so that some is left for another connection."""
        left = max(0.0, deadline - self._pool._now())
        try:
            async with asyncio.timeout(left / 2):
                await connection._send_ping()
        except Exception:  # noqa: BLE001 - whatever it is, this connection is of no use
            return "validation"
        return None


def _ended_from_outside(error: BaseException) -> bool:
    """Was the dial itself cancelled, or does the program end? Anything else that it raises is a dial that failed: one
    that did not count as that would be made anew at once, for ever.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit))


def as_redis_error(error: BaseException) -> BaseException:
    """The pool's own timer speaks asyncio's language; callers of redis-py know redis-py's. And a cancel that came from
    within the dial, from a credential provider for example, must not look like one of its borrower's.
    """
    import redis.exceptions as rx

    told: BaseException
    if isinstance(error, asyncio.CancelledError):
        told = rx.ConnectionError("the dial was cancelled from within, by a credential provider or a connect function")
    elif isinstance(error, TimeoutError) and not isinstance(error, rx.RedisError):
        told = rx.TimeoutError("Timeout connecting to server")
    else:
        return error
    told.__cause__ = error
    return told
