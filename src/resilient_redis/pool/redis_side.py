"""What redis-py calls on a pool for threads, kept working over the ledger. Twin of `aio_redis_side`."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self
from weakref import WeakSet

from redis.event import AfterConnectionReleasedEvent, ReAuthConnectionListener

from resilient_redis.connections.attempt import Attempt, current_attempt
from resilient_redis.connections.cleanliness import dirt
from resilient_redis.connections.fork_gate import CONNECTING, fork_gate
from resilient_redis.connections.observed import observed
from resilient_redis.events import logger
from resilient_redis.pool import fork
from resilient_redis.pool.dialling import Dialler
from resilient_redis.pool.endings import cut_off, descriptor_of, disown, inner_of
from resilient_redis.pool.metrics import Meter, metered
from resilient_redis.pool.slots import Slot
from resilient_redis.pool.todo import Todo

NOTHING_USUAL: Any = object()
"""In place of redis-py's own listeners: every release is looked at."""
_CANNOT_KNOW: Any = object()
"""The listeners of a dispatcher of somebody's own making."""


class RedisSide:
    """Mixin of `ResilientConnectionPool`: redis-py's methods and attributes."""

    _ledger: Any
    _options: Any
    _dialler: Dialler
    _now: Callable[[], float]
    _step: Callable[[Callable[[float], Todo]], None]
    _discard: Callable[[Slot, str], None]
    _after_fork: Callable[[], None]
    _new_ledger: Callable[[], None]
    _leave_budget: Callable[[], None]
    _give_back_budget: Callable[[int], None]
    _retire_shared: Callable[[str], None]
    close: Callable[[], Any]
    resize: Callable[[int], None]
    connection_class: Any
    connection_kwargs: dict[str, Any]
    cache: Any
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

    @property
    def _created_connections(self) -> int:
        return len(self._ledger.slots) if "_ledger" in vars(self) else 0

    @_created_connections.setter
    def _created_connections(self, _ignored: Any) -> None:
        """redis-py's constructor sets it; the ledger knows."""

    def _get_free_connections(self) -> list[Any]:
        return [slot.connection for slot in list(self._ledger.idle)] if "_ledger" in vars(self) else []

    def _get_in_use_connections(self) -> set[Any]:
        return set(self._ledger.leased) if "_ledger" in vars(self) else set()

    # Making and forgetting

    def make_connection(self) -> Any:
        """A connection object, not open yet and not counted: the ledger counts."""
        self._look_for_metrics()
        with fork_gate.inside(CONNECTING):  # redis-py imports late, and imports take locks
            connection = observed(self.connection_class)(**self.connection_kwargs)  # whoever set it since
            if self.cache is not None:
                from resilient_redis.connections.cached import CachedConnection  # few need it

                proxy: Any = CachedConnection  # redis-py says that it is abstract, and makes it
                connection = proxy(connection, self.cache, self._cache_lock)
        with self._lock:
            self._made.add(connection)
        return connection

    @property
    def _cache_lock(self) -> threading.RLock:
        """Guards the client-side cache, which all connections of the pool share."""
        lock: threading.RLock = vars(self).setdefault("_lock_of_cache", threading.RLock())
        return lock

    def reset(self) -> None:
        """Forget every connection, as redis-py's does; lent ones are closed when they come back, and count no more.

        Whoever waits is served by new ones.
        """
        self.pid = os.getpid()
        if "_ledger" not in vars(self):
            return  # redis-py's constructor calls it first
        forgotten = 0

        def forget(now: float) -> Todo:
            nonlocal forgotten
            ledger = self._ledger
            self._forgotten.update(list(ledger.leased))
            forgotten = ledger.forget_lent()
            return ledger.drain(now)  # type: ignore[no-any-return] # the ledger stands as Any here

        self._retire_shared("drain")
        self._step(forget)
        self._give_back_budget(forgotten)

    def after_fork(self) -> None:
        """In a child process: nothing of the parent's is used, and no lock is as another thread held it."""
        ledger = self._ledger
        self._lock = threading.RLock()
        self._fork_lock = threading.RLock()
        vars(self).pop("_lock_of_cache", None)
        owners: tuple[Any, ...] = (self._event_dispatcher, getattr(self, "_maint_notifications_pool_handler", None))
        for owner in owners:
            if hasattr(owner, "_lock"):
                owner._lock = threading.RLock()
        if self._meter is not None:
            self._meter.after_fork()
        inherited = {*self._made, *(slot.connection for slot in ledger.slots if slot.connection is not None)}
        numbers = [descriptor_of(connection) for connection in inherited]
        with contextlib.suppress(OSError):
            fork.sever([number for number in numbers if number is not None])
        for connection in inherited:
            with contextlib.suppress(Exception):
                disown(connection)
        self._made = WeakSet()
        self._after_fork()
        if self.cache is not None:
            with contextlib.suppress(Exception):
                self.cache.flush()  # the server tells the parent's connections what is no longer true, not ours
        self.pid = os.getpid()

    def _checkpid(self) -> None:
        """redis-py's fork check, for children in which nobody has called `after_fork`."""
        if not fork.witness[0]:
            fork.catch_up()

    def owns_connection(self, connection: Any) -> bool:
        """Was it made by this process?"""
        return not fork.is_inherited(connection)

    # Closing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections, and with ``inuse_connections`` cut the lent ones off too; the pool stays open.

        A lent connection is cut at its socket: its borrower gets a ConnectionError, never another's reply.
        """
        self._checkpid()
        ledger = self._ledger
        if not inuse_connections:
            self._discard_idle("disconnect")
            return
        self._step(lambda now: ledger.drain(now, "disconnect"))
        for connection in list(ledger.leased):
            cut_off(connection)

    def disconnect_free_connections(self, moving_address_src: str | None = None) -> None:
        """Close idle connections to an address that is going away, as redis-py's maintenance notifications ask."""
        self._discard_idle("moving", moving_address_src)

    def _update_maint_notifications_configs_for_connections(self, *args: Any, **kwargs: Any) -> None:
        """As redis-py's, which closes idle connections where they are; here they leave the pool."""
        super()._update_maint_notifications_configs_for_connections(*args, **kwargs)  # type: ignore[misc] # of redis-py's pool, beside this mixin
        self._discard_idle("moving")

    def _discard_idle(self, cause: str, address: str | None = None) -> None:
        for slot in list(self._ledger.idle):
            if address and slot.connection.getpeername() != address:
                continue
            if self._ledger.check_out(slot):
                self._discard(slot, cause)

    # Credentials, retries and events

    def set_retry(self, retry: Any) -> None:
        """As redis-py's: for connections to come and those there are."""
        self.connection_kwargs["retry"] = retry
        for connection in (*self._get_free_connections(), *self._get_in_use_connections()):
            connection.retry = inner_of(connection).retry = retry

    def re_auth_callback(self, token: Any) -> None:
        """New credentials: idle connections get them now, lent ones and those being opened when they come back."""
        self._token = token
        self._choose_path()
        with self._lock:
            made = list(self._made)
        for connection in made:
            connection.set_re_auth_token(token)
        for slot in list(self._ledger.idle):
            if self._ledger.check_out(slot):
                self._re_authenticate(slot)

    def _re_authenticate(self, slot: Slot) -> None:
        try:
            with self._for_the_pool():
                self._catch_up(slot.connection)
        except Exception:  # noqa: BLE001 - the next dial uses the new credentials
            self._discard(slot, "auth")
            return
        except BaseException:
            self._discard(slot, "auth")
            raise
        self._step(lambda now: self._ledger.check_in(slot, now))

    def _catch_up(self, connection: Any) -> None:
        """Tell the server the newest credentials. redis-py forgets those that come while it tells of others."""
        told = None
        while has_token(connection) or (told is not None and told is not self._token):
            told = self._token
            connection.set_re_auth_token(told)
            connection.re_auth()

    @contextlib.contextmanager
    def _for_the_pool(self) -> Iterator[None]:
        """What is sent here is no part of the call of this thread, and has a deadline of its own."""
        now = self._now
        outer = current_attempt.get()
        try:
            try:
                current_attempt.set(Attempt(now, now() + self._dialler.patience, 0.0, True))
                yield
            finally:
                current_attempt.set(outer)
        except BaseException:
            current_attempt.set(outer)  # again: an interrupt may have come before it was done
            raise

    def _watch_releases(self) -> None:
        """Remember redis-py's own listeners: with them alone, and nothing to tell them, a release need not be told."""
        self._made = WeakSet()
        mapping = getattr(self._event_dispatcher, "_event_listeners_mapping", None)
        self._heard = cannot_know if mapping is None else mapping.get
        self._choose_path()

    def _choose_path(self) -> None:
        """May borrowing and giving back go the short way?"""
        known = self._heard(AfterConnectionReleasedEvent)
        short = self._token is None and self._meter is None and are_usual(known, ReAuthConnectionListener)
        self._usual_listeners = known if short else NOTHING_USUAL
        self._careful = self._meter is not None or vars(self).get("_leak_threshold") is not None

    def _look_for_metrics(self) -> None:
        """redis-py's metrics may be switched on at any time; seen at the next dial or round of upkeep."""
        with self._lock:
            self._meter = metered(self, self._meter)
            self._choose_path()

    @property
    def _announces(self) -> bool:
        """Does anybody want to hear of a connection that comes back?"""
        return self._heard(AfterConnectionReleasedEvent) is not self._usual_listeners

    def _announce_release(self, slot: Slot, cause: str | None) -> str | None:
        """Tell redis-py's event dispatcher, whose own listener re-authenticates; why the connection is lost, if so.

        A connection that is lost anyway is closed first, so that no listener waits for it.
        """
        connection = slot.connection
        usual = are_usual(self._heard(AfterConnectionReleasedEvent), ReAuthConnectionListener)
        if usual and (cause is not None or not has_token(connection)):
            return cause
        if cause is not None:
            with contextlib.suppress(Exception):
                connection.set_re_auth_token(None)
                connection.disconnect()
        told = self._token
        try:
            with self._for_the_pool():
                self._event_dispatcher.dispatch(AfterConnectionReleasedEvent(connection))
                if told is not self._token:
                    connection.set_re_auth_token(self._token)
                self._catch_up(connection)
        except Exception:  # noqa: BLE001 - a listener's failure must not lose the connection's place
            logger.warning("pool %s: a listener of AfterConnectionReleasedEvent failed", self.name, exc_info=True)  # type: ignore[attr-defined] # of `PoolFace`
        except BaseException:
            self._discard(slot, cause or "auth")
            raise
        return cause or ("auth" if has_token(connection) else dirt(connection))

    def __del__(self) -> None:
        """redis-py's metrics count no connection of a pool that is gone, and its budget has others to serve."""
        self._leave_budget()
        meter = vars(self).get("_meter")
        if meter is not None:
            with contextlib.suppress(Exception):
                meter.forget()


def are_usual(listeners: Any, own: type[Any]) -> bool:
    """Are these listeners redis-py's own alone, which do nothing unless there are new credentials?"""
    if listeners is None:
        return True
    return listeners is not _CANNOT_KNOW and all(type(listener) is own for listener in listeners)


def cannot_know(_event: Any) -> Any:
    """Stands in for the listeners of a dispatcher that does not show them."""
    return _CANNOT_KNOW


def has_token(connection: Any) -> bool:
    """Are there new credentials that the server has not been told?"""
    return getattr(inner_of(connection), "_re_auth_token", None) is not None
