"""What redis-py calls on a pool for threads, kept working over the ledger. Twin of `aio_redis_side`."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any
from weakref import WeakSet

import redis
import redis.connection
from redis.event import AfterConnectionReleasedEvent, ReAuthConnectionListener

from resilient_redis.pool import fork
from resilient_redis.pool.slots import Slot


class RedisSide:
    """Mixin of `ResilientConnectionPool`: redis-py's methods and attributes."""

    _ledger: Any
    connection_class: Any
    connection_kwargs: dict[str, Any]
    cache: Any
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
        connection = self.connection_class(**self.connection_kwargs)
        if self.cache is not None:
            return redis.connection.CacheProxyConnection(connection, self.cache, self._cache_lock)
        return connection

    @property
    def _cache_lock(self) -> threading.RLock:
        """Guards the client-side cache, so that nobody holds the pool's own lock while it reads from a socket."""
        lock: threading.RLock = vars(self).setdefault("_lock_of_cache", threading.RLock())
        return lock

    def reset(self) -> None:
        """Forget every connection and begin anew, as redis-py's does; lent ones are closed when they come back."""
        self.pid = os.getpid()
        if "_ledger" not in vars(self):
            return  # redis-py's constructor calls it first
        with self._lock:  # type: ignore[attr-defined]
            self._forgotten.update(self._ledger.leased)
            idle = [slot.connection for slot in list(self._ledger.idle)]
            taken = sum(slot.connection is not None for slot in self._ledger.slots)
            self._new_ledger()  # type: ignore[attr-defined]
        for connection in idle:
            with contextlib.suppress(Exception):
                connection.disconnect()
        self._give_back_budget(taken)

    def _give_back_budget(self, count: int) -> None:
        budget = self._options.budget  # type: ignore[attr-defined]
        for _ in range(count if budget is not None else 0):
            budget.give()

    def after_fork(self) -> None:
        """In a child process: nothing of the parent's is used, and no lock is as another thread held it."""
        ledger = self._ledger
        self._lock = threading.RLock()
        self._fork_lock = threading.RLock()
        vars(self).pop("_lock_of_cache", None)
        connections = [slot.connection for slot in ledger.slots if slot.connection is not None]
        descriptors = [fork.descriptor_of(_socket_of(connection)) for connection in connections]
        fork.sever([number for number in descriptors if number is not None])
        self._after_fork()  # type: ignore[attr-defined]
        self.pid = os.getpid()

    def _checkpid(self) -> None:
        """redis-py's fork check; ours is `after_fork`, which leaves nothing to do here."""

    def owns_connection(self, connection: Any) -> bool:
        """Was it made by this process?"""
        return not fork.is_inherited(connection)

    # Closing

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections, and with ``inuse_connections`` cut the lent ones off too; the pool stays open.

        A lent connection is cut at its socket: its borrower gets a ConnectionError, never another's reply.
        """
        ledger = self._ledger
        self._step(lambda now: ledger.drain(now, "disconnect"))  # type: ignore[attr-defined]
        if inuse_connections:
            for connection in list(ledger.leased):
                cut_off(connection)

    def disconnect_free_connections(self, moving_address_src: str | None = None) -> None:
        """Close idle connections to an address that is going away, as redis-py's maintenance notifications ask."""
        for slot in list(self._ledger.idle):
            if self._should_update_connection(slot.connection, "connected_address", moving_address_src):  # type: ignore[attr-defined]
                if self._ledger.check_out(slot):
                    self._discard(slot, "moving")  # type: ignore[attr-defined]

    # Credentials, retries and events

    def set_retry(self, retry: Any) -> None:
        """As redis-py's: for connections to come and those there are."""
        self.connection_kwargs["retry"] = retry
        for connection in (*self._get_free_connections(), *self._get_in_use_connections()):
            connection.retry = retry

    def re_auth_callback(self, token: Any) -> None:
        """New credentials: idle connections get them now, lent ones when they come back."""
        self._tokens_change = True
        for connection in self._get_in_use_connections():
            connection.set_re_auth_token(token)
        for slot in list(self._ledger.idle):
            if self._ledger.check_out(slot):
                slot.connection.set_re_auth_token(token)
                self._re_authenticate(slot)

    def _re_authenticate(self, slot: Slot) -> None:
        try:
            slot.connection.re_auth()
        except Exception:  # noqa: BLE001 - the next dial uses the new credentials
            self._discard(slot, "auth")  # type: ignore[attr-defined]
            return
        self._step(lambda now: self._ledger.check_in(slot, now))  # type: ignore[attr-defined]

    def _watch_releases(self) -> None:
        """Remember redis-py's own listeners: with them alone, and no new credentials, a release need not be told."""
        self._tokens_change = False
        self._listeners = getattr(self._event_dispatcher, "_event_listeners_mapping", {})
        known = self._listeners.get(AfterConnectionReleasedEvent)
        usual = known is not None and all(type(listener) is ReAuthConnectionListener for listener in known)
        self._usual_listeners = known if usual else None

    @property
    def _announces(self) -> bool:
        """Does anybody want to hear of a connection that comes back?"""
        return self._tokens_change or self._listeners.get(AfterConnectionReleasedEvent) is not self._usual_listeners

    def _announce_release(self, connection: Any) -> str | None:
        """Tell redis-py's event dispatcher, whose own listener re-authenticates. Why the connection is lost, if so."""
        try:
            self._event_dispatcher.dispatch(AfterConnectionReleasedEvent(connection))
        except Exception:  # noqa: BLE001 - a listener's failure must not lose the connection's place
            return "auth"
        return None


def cut_off(connection: Any) -> None:
    """End a connection under its borrower: what it reads or writes next fails."""
    import socket

    sock = _socket_of(connection)
    with contextlib.suppress(Exception):
        sock.shutdown(socket.SHUT_RDWR)


def _socket_of(connection: Any) -> Any:
    inner = getattr(connection, "_conn", connection)  # redis-py's caching proxy
    return getattr(inner, "_sock", None)
