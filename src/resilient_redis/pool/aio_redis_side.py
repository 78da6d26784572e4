"""What redis-py calls on a pool for asyncio, kept working over the ledger. Twin of `redis_side`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

import redis.asyncio
from redis.event import AsyncAfterConnectionReleasedEvent, AsyncReAuthConnectionListener

from resilient_redis.connections.aio_cleanliness import dirt
from resilient_redis.connections.aio_observed import observed
from resilient_redis.connections.attempt import current_attempt
from resilient_redis.connections.fork_gate import CONNECTING, fork_gate
from resilient_redis.errors import PoolTimeoutError
from resilient_redis.events import logger
from resilient_redis.pool import fork
from resilient_redis.pool.aio_dialling import Dialler
from resilient_redis.pool.aio_endings import abandoned, abort, cut_off, disown, let_the_loop_close, socket_of
from resilient_redis.pool.metrics import Meter, metered
from resilient_redis.pool.redis_side import NOTHING_USUAL, are_usual, cannot_know, has_token
from resilient_redis.pool.slots import Slot, State
from resilient_redis.pool.stats import PoolStats
from resilient_redis.pool.story import exhausted
from resilient_redis.pool.todo import Todo


def _layout_of(pool: Any) -> Any:
    """What a class must be made from so that an object of redis-py's class can be made one of it; in redis-py 8.0 it
    is ``abc.ABC``. Python looks at the first base alone.
    """
    while pool.__base__.__dictoffset__:
        pool = pool.__base__
    return pool.__base__


if TYPE_CHECKING:
    SameLayout = object  # the base of the first mixin
else:
    SameLayout = _layout_of(redis.asyncio.ConnectionPool)


class RedisSide:
    """Mixin of the asyncio `ResilientConnectionPool`: redis-py's methods and attributes."""

    _ledger: Any
    _options: Any
    _dialler: Dialler
    _loop: asyncio.AbstractEventLoop | None
    _tasks: set[asyncio.Task[Any]]
    _dials: set[asyncio.Task[Any]]
    _now: Callable[[], float]
    _step: Callable[[Callable[[float], Todo]], None]
    _discard: Callable[[Slot, str], None]
    _spawn: Callable[[Coroutine[Any, Any, None]], Any]
    _after_fork: Callable[[], None]
    _new_ledger: Callable[[], None]
    _leave_budget: Callable[[], None]
    _keep_out: Callable[[], None]
    aclose: Callable[[], Awaitable[Any]]
    resize: Callable[[int], None]
    stats: Callable[[], PoolStats]
    connection_class: Any
    connection_kwargs: dict[str, Any]
    _event_dispatcher: Any
    _forgotten: WeakSet[Any]
    _made: WeakSet[Any]
    _meter: Meter | None = None  # where redis-py's metrics are on
    _careful = True  # every borrower goes the careful way: somebody wants to know
    _token: Any = None  # the newest credentials, where they were renewed

    # Attributes

    @property
    def max_connections(self) -> int:
        """The upper bound; setting it is ``resize``."""
        most: int = vars(self).get("_most", 0)
        return self._ledger.most if "_ledger" in vars(self) else most

    @max_connections.setter
    def max_connections(self, most: int) -> None:
        if "_ledger" in vars(self):
            self.resize(most)
        else:
            vars(self)["_most"] = most

    @property
    def _available_connections(self) -> list[Any]:
        """For onlookers: a copy."""
        return self._get_free_connections()

    @_available_connections.setter
    def _available_connections(self, _ignored: Any) -> None:
        """redis-py's constructor sets it; the ledger knows."""

    @property
    def _in_use_connections(self) -> set[Any]:
        """For onlookers: a copy."""
        return self._get_in_use_connections()

    @_in_use_connections.setter
    def _in_use_connections(self, _ignored: Any) -> None:
        """redis-py's constructor sets it; the ledger knows."""

    def _get_free_connections(self) -> list[Any]:
        return [slot.connection for slot in self._ledger.idle] if "_ledger" in vars(self) else []

    def _get_in_use_connections(self) -> set[Any]:
        return set(self._ledger.leased) if "_ledger" in vars(self) else set()

    # Borrowing, redis-py's other ways

    def can_get_connection(self) -> bool:
        """Would a borrower be served without waiting for another one?"""
        ledger = self._ledger
        return ledger.state == "open" and bool(ledger.idle or len(ledger.slots) < ledger.most)

    def get_available_connection(self) -> Any:
        """Borrow an idle connection without waiting, and without a look whether it is well.

        Raises:
            PoolTimeoutError: none is idle. (redis-py makes one that is not open yet; here one is opened before it is
                lent: ``await get_connection()``.)
        """
        slot = self._ledger.take(self._now())
        if slot is None:
            raise PoolTimeoutError(exhausted(self.stats(), 0.0, "no connection is idle; await get_connection()"))
        return slot.connection

    # Making and forgetting

    def make_connection(self) -> Any:
        """A connection object, not open yet and not counted: the ledger counts."""
        self._look_for_metrics()
        with fork_gate.inside(CONNECTING):  # redis-py imports late, and imports take locks
            connection = observed(self.connection_class)(**self.connection_kwargs)  # whoever set it since
        self._made.add(connection)
        return connection

    async def ensure_connection(self, connection: Any) -> None:
        """redis-py's check of a borrowed connection; ours is made when it is borrowed."""
        await connection.connect()

    def after_fork(self) -> None:
        """In a child process: nothing of the parent's is used, and its loop is not touched."""
        ledger = self._ledger
        self._renew_locks()
        if self._meter is not None:
            self._meter.after_fork()
        inherited = {*self._made, *(slot.connection for slot in ledger.slots if slot.connection is not None)}
        numbers = [fork.descriptor_of(socket_of(connection)) for connection in inherited]
        with contextlib.suppress(OSError):
            fork.sever([number for number in numbers if number is not None])
        abandoned.append((ledger, self._tasks, self._loop))
        for connection in inherited:
            with contextlib.suppress(Exception):
                disown(connection)
        self._made = WeakSet()
        self._forgotten.update(ledger.leased)
        self._after_fork()

    def _renew_locks(self) -> None:
        """redis-py's locks, which may be held by a task of a loop that is gone, or belong to it."""
        self._lock = asyncio.Lock()
        handler = getattr(self, "_maint_notifications_pool_handler", None)
        if handler is not None:
            handler._lock, handler._scheduled_tasks = asyncio.Lock(), set()
        if hasattr(self._event_dispatcher, "_async_lock"):
            self._event_dispatcher._async_lock = None  # redis-py makes it when it is needed

    def owns_connection(self, connection: Any) -> bool:
        """Was it made by this process?"""
        return getattr(connection, "pid", os.getpid()) == os.getpid()

    # Closing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections, and with ``inuse_connections`` cut the lent ones off too; the pool stays open.

        A lent connection is cut at its socket: its borrower gets a ConnectionError, and is not dialled for unasked.
        """
        if not fork.witness[0]:
            fork.catch_up()
        self._keep_out()
        ledger = self._ledger
        if not inuse_connections:
            self._discard_idle("disconnect")
            await let_the_loop_close()
            return
        for task in list(self._dials):
            if task is not asyncio.current_task():
                task.cancel()
        self._step(lambda now: ledger.drain(now, "disconnect"))
        for connection in list(ledger.leased):
            cut_off(connection)
        await let_the_loop_close()

    async def _disconnect_connections(self, connections: Iterable[Any]) -> None:
        """Close idle connections to an address that is going away, as redis-py's maintenance notifications ask."""
        self._discard_idle("moving", set(connections))
        await let_the_loop_close()

    async def _update_maint_notifications_configs_for_connections(self, *args: Any, **kwargs: Any) -> None:
        """As redis-py's, which closes idle connections where they are; here they leave the pool."""
        await super()._update_maint_notifications_configs_for_connections(*args, **kwargs)  # type: ignore[misc] # of redis-py's pool, beside this mixin
        self._discard_idle("moving")

    def _discard_idle(self, cause: str, only: set[Any] | None = None) -> None:
        for slot in list(self._ledger.idle):
            if (only is None or slot.connection in only) and self._ledger.check_out(slot):
                self._discard(slot, cause)

    # Credentials, retries and events

    def set_retry(self, retry: Any) -> None:
        """For connections to come, which redis-py forgets here, and those there are."""
        self.connection_kwargs["retry"] = retry
        for connection in (*self._get_free_connections(), *self._get_in_use_connections()):
            connection.retry = retry

    async def re_auth_callback(self, token: Any) -> None:
        """New credentials: idle connections get them now, lent ones and those being opened when they come back.

        A credential provider may have a loop of its own: the work is done in the pool's.
        """
        loop = self._loop
        if loop is not None and loop is not asyncio.get_running_loop() and not loop.is_closed():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._renew_credentials(token), loop))
        else:
            await self._renew_credentials(token)

    async def _renew_credentials(self, token: Any) -> None:
        self._token = token
        self._choose_path()
        for connection in list(self._made):
            connection.set_re_auth_token(token)
        for slot in list(self._ledger.idle):
            if self._ledger.check_out(slot):
                await self._while_checked_out(slot)

    async def _while_checked_out(self, slot: Slot) -> None:
        outer = current_attempt.get()
        current_attempt.set(None)
        try:
            async with asyncio.timeout(self._dialler.patience):
                await self._catch_up(slot.connection)
        except BaseException as error:
            self._discard(slot, "auth")
            if not isinstance(error, Exception):
                raise
            return
        finally:
            current_attempt.set(outer)
        self._step(lambda now: self._ledger.check_in(slot, now))

    async def _catch_up(self, connection: Any) -> None:
        """Tell the server the newest credentials. redis-py forgets those that come while it tells of others."""
        told = None
        while has_token(connection) or (told is not None and told is not self._token):
            told = self._token
            connection.set_re_auth_token(told)
            await connection.re_auth()

    def _watch_releases(self) -> None:
        """Remember redis-py's own listeners: with them alone, and nothing to tell them, a release need not be told."""
        self._made = WeakSet()
        mapping = getattr(self._event_dispatcher, "_event_listeners_mapping", None)
        self._heard = cannot_know if mapping is None else mapping.get
        self._choose_path()

    def _choose_path(self) -> None:
        """May borrowing and giving back go the short way?"""
        known = self._heard(AsyncAfterConnectionReleasedEvent)
        short = self._token is None and self._meter is None and are_usual(known, AsyncReAuthConnectionListener)
        self._usual_listeners = known if short else NOTHING_USUAL
        self._careful = self._meter is not None or vars(self).get("_leak_threshold") is not None

    def _look_for_metrics(self) -> None:
        """redis-py's metrics may be switched on at any time; seen at the next dial or round of upkeep."""
        self._meter = metered(self, self._meter)
        self._choose_path()

    @property
    def _announces(self) -> bool:
        """Does anybody want to hear of a connection that comes back?"""
        return self._heard(AsyncAfterConnectionReleasedEvent) is not self._usual_listeners

    def _announce_release(self, slot: Slot, cause: str | None) -> bool:
        """Tell redis-py's event dispatcher, whose own listener re-authenticates, and only then lend it again, or close
        it. False: there is nothing to tell.
        """
        usual = are_usual(self._heard(AsyncAfterConnectionReleasedEvent), AsyncReAuthConnectionListener)
        if usual and (cause is not None or not has_token(slot.connection)):
            return False
        self._ledger.leased[slot.connection] = slot
        slot.state = State.VALIDATING
        self._spawn(self._tell_release(slot, cause, self._dialler.patience if usual else None))
        return True

    async def _tell_release(self, slot: Slot, cause: str | None, patience: float | None) -> None:
        current_attempt.set(None)  # no part of the call that gave it back; this is a task of its own
        connection = slot.connection
        if cause is not None:  # so that no listener waits for it
            connection.set_re_auth_token(None)
            abort(connection)
        told = self._token
        try:
            async with asyncio.timeout(patience):
                await self._event_dispatcher.dispatch_async(AsyncAfterConnectionReleasedEvent(connection))
                if told is not self._token:
                    connection.set_re_auth_token(self._token)
                await self._catch_up(connection)
        except Exception:  # noqa: BLE001 - a listener's failure must not lose the connection's place
            logger.warning("pool %s: a listener of AsyncAfterConnectionReleasedEvent failed", self.name, exc_info=True)  # type: ignore[attr-defined] # of `PoolFace`
        except BaseException:
            self._discard(slot, cause or "auth")
            raise
        now, ledger = self._now(), self._ledger
        cause = cause or ("auth" if has_token(connection) else dirt(connection))
        cause = cause or (slot.doom if slot.expires <= now else None)
        if cause is not None:
            self._discard(slot, cause)
            return
        ledger.leased.pop(connection, None)
        ledger.give_back(slot, now)
        self._step(ledger.settle)

    def __del__(self) -> None:
        """redis-py's metrics count no connection of a pool that is gone, and its budget has others to serve."""
        self._leave_budget()
        meter = vars(self).get("_meter")
        if meter is not None:
            with contextlib.suppress(Exception):
                meter.forget()
