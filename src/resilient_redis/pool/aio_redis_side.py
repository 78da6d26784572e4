"""What redis-py calls on a pool for asyncio, kept working over the ledger. Twin of `redis_side`."""

from __future__ import annotations

import contextlib
import os
from typing import Any
from weakref import WeakSet

from redis.event import AsyncAfterConnectionReleasedEvent, AsyncReAuthConnectionListener

from resilient_redis.pool import fork
from resilient_redis.pool.slots import Slot, State

_abandoned: list[Any] = []
"""In a forked child: the parent's connections. They are kept for ever: their finalisers would speak to a loop that is
the parent's."""


class RedisSide:
    """Mixin of the asyncio `ResilientConnectionPool`: redis-py's methods and attributes."""

    _ledger: Any
    connection_class: Any
    connection_kwargs: dict[str, Any]
    _event_dispatcher: Any
    _forgotten: WeakSet[Any]

    # Attributes

    @property
    def max_connections(self) -> int:
        """The upper bound; setting it is ``resize``."""
        most: int = vars(self).get("_most", 0)
        return self._ledger.most if "_ledger" in vars(self) else most

    @max_connections.setter
    def max_connections(self, most: int) -> None:
        if "_ledger" in vars(self):
            self.resize(most)  # type: ignore[attr-defined]
        else:
            vars(self)["_most"] = most

    @property
    def _available_connections(self) -> list[Any]:
        """For onlookers: a copy."""
        return [slot.connection for slot in list(self._ledger.idle)] if "_ledger" in vars(self) else []

    @_available_connections.setter
    def _available_connections(self, _ignored: Any) -> None:
        """redis-py's constructor sets it; the ledger knows."""

    @property
    def _in_use_connections(self) -> set[Any]:
        """For onlookers: a copy."""
        return set(self._ledger.leased) if "_ledger" in vars(self) else set()

    @_in_use_connections.setter
    def _in_use_connections(self, _ignored: Any) -> None:
        """redis-py's constructor sets it; the ledger knows."""

    def can_get_connection(self) -> bool:
        """Would a borrower be served without waiting for another one?"""
        ledger = self._ledger
        return ledger.state == "open" and bool(ledger.idle or len(ledger.slots) < ledger.most)

    # Making and forgetting

    def make_connection(self) -> Any:
        """A connection object, not open yet and not counted: the ledger counts."""
        return self.connection_class(**self.connection_kwargs)

    async def ensure_connection(self, connection: Any) -> None:
        """redis-py's check of a borrowed connection; ours is made when it is borrowed."""
        await connection.connect()

    def reset(self) -> None:
        """Forget every connection and begin anew, as redis-py's does; lent ones are closed when they come back."""
        if "_ledger" not in vars(self):
            return
        ledger = self._ledger
        self._forgotten.update(ledger.leased)
        taken = sum(slot.connection is not None for slot in ledger.slots)
        self._new_ledger()  # type: ignore[attr-defined]
        for slot in list(ledger.idle):
            abort(slot.connection)
        budget = self._options.budget  # type: ignore[attr-defined]
        for _ in range(taken if budget is not None else 0):
            budget.give()

    def after_fork(self) -> None:
        """In a child process: nothing of the parent's is used, and its loop is not touched."""
        ledger = self._ledger
        connections = [slot.connection for slot in ledger.slots if slot.connection is not None]
        descriptors = [fork.descriptor_of(_socket_of(connection)) for connection in connections]
        fork.sever([number for number in descriptors if number is not None])
        _abandoned.append((ledger, self._tasks, self._loop))  # type: ignore[attr-defined]
        self._forgotten.update(ledger.leased)
        self._after_fork()  # type: ignore[attr-defined]

    def owns_connection(self, connection: Any) -> bool:
        """Was it made by this process?"""
        return getattr(connection, "pid", os.getpid()) == os.getpid()

    # Closing

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections, and with ``inuse_connections`` the lent ones too; the pool stays open."""
        ledger = self._ledger
        for task in self._dials:  # type: ignore[attr-defined]
            task.cancel()
        self._step(lambda now: ledger.drain(now, "disconnect"))  # type: ignore[attr-defined]
        if inuse_connections:
            for connection in list(ledger.leased):
                abort(connection)
        await _let_the_loop_close()

    # Credentials, retries and events

    def set_retry(self, retry: Any) -> None:
        """As redis-py's: for connections to come and those there are."""
        self.connection_kwargs["retry"] = retry
        for connection in (*self._available_connections, *self._in_use_connections):
            connection.retry = retry

    async def re_auth_callback(self, token: Any) -> None:
        """New credentials: idle connections get them now, lent ones when they come back."""
        self._tokens_change = True
        for connection in self._in_use_connections:
            connection.set_re_auth_token(token)
        for slot in list(self._ledger.idle):
            if self._ledger.check_out(slot):
                slot.connection.set_re_auth_token(token)
                await self._while_checked_out(slot, slot.connection.re_auth)

    def _watch_releases(self) -> None:
        """Remember redis-py's own listeners: with them alone, and no new credentials, a release need not be told."""
        self._tokens_change = False
        self._listeners = getattr(self._event_dispatcher, "_event_listeners_mapping", {})
        known = self._listeners.get(AsyncAfterConnectionReleasedEvent)
        usual = known is not None and all(type(listener) is AsyncReAuthConnectionListener for listener in known)
        self._usual_listeners = known if usual else None

    @property
    def _announces(self) -> bool:
        """Does anybody want to hear of a connection that comes back?"""
        return (
            self._tokens_change or self._listeners.get(AsyncAfterConnectionReleasedEvent) is not self._usual_listeners
        )

    def _announce_release(self, slot: Slot) -> None:
        """Tell redis-py's event dispatcher, whose own listener re-authenticates; lend the connection after that."""
        connection = slot.connection
        self._ledger.leased[connection] = slot
        slot.state = State.VALIDATING
        dispatch = self._event_dispatcher.dispatch_async
        self._spawn(self._while_checked_out(slot, lambda: dispatch(AsyncAfterConnectionReleasedEvent(connection))))  # type: ignore[attr-defined]

    async def _while_checked_out(self, slot: Slot, work: Any) -> None:
        try:
            await work()
        except BaseException as error:
            self._discard(slot, "auth")  # type: ignore[attr-defined]
            if not isinstance(error, Exception):
                raise
            return
        self._step(lambda now: self._ledger.check_in(slot, now))  # type: ignore[attr-defined]


def abort(connection: Any) -> None:
    """End a connection now, without a word and without waiting. Its transport's socket is closed in the loop's next
    round. Never raises.
    """
    if connection is None:
        return
    with contextlib.suppress(Exception):
        transport = connection._writer.transport
        transport.abort()
    closing = None
    try:
        closing = connection.disconnect(nowait=True)
        closing.send(None)  # with nowait redis-py does not wait for anything
    except StopIteration:
        return
    except Exception:  # noqa: BLE001 - it is gone, one way or another
        return
    closing.close()


async def _let_the_loop_close() -> None:
    import asyncio

    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _socket_of(connection: Any) -> Any:
    writer = getattr(connection, "_writer", None)
    return None if writer is None else writer.transport.get_extra_info("socket")
