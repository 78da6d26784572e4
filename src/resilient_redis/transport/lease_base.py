"""What the leases of the sync and the asyncio pool share: whose they are, and what they know without a connection."""

from __future__ import annotations

import contextlib
import weakref
from typing import Any, cast

import redis.exceptions as rx

from resilient_redis.connections.attempt import ACQUIRE, CONNECT, Attempt, current_attempt
from resilient_redis.connections.cleanliness import should_reconnect
from resilient_redis.transport.errands import Errand, inside
from resilient_redis.transport.lean import NAMES, learn

_SUBSCRIBED = "subscribed"


class LeaseBase:
    """Whose it is, what it holds, and what redis-py may ask while it holds nothing."""

    is_connected: Any  # each twin asks its own kind of connection

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_guard",
        "_held",
        "_kept",
        "_over",
        "_parser_calls",
        "_pinned",
        "_reader",
        "_state",
        "_unsent",
        "pool",
    )

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self._guard = pool._guard
        self._held: Any = None  # the connection, while there is one
        self._kept = False  # something was done on it, and whoever did it did not give it back
        self._pinned = False  # somebody means to keep it: a single-connection client, a pub/sub
        self._state: str | None = None  # what the commands made of the connection; gone if it is lost
        self._over = False  # the pool has it back
        self._callbacks: list[weakref.WeakMethod[Any]] = []  # a pub/sub's, to subscribe again
        self._reader: Any = None  # stands before the connection while the replies to a pipeline are read
        self._parser_calls: list[tuple[str, tuple[Any, ...]]] = []
        self._unsent: Any = None  # a command on the lean path is sent when its reply is asked for

    def __repr__(self) -> str:
        """What it stands for; a connection's own text tells hosts and users."""
        return f"<{type(self).__name__} of pool {self.pool.name!r}, {'holds one' if self._held else 'holds none'}>"

    def __getattr__(self, name: str) -> Any:
        """Host, database, encoder and so on: the connection's own, or those it would have."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._any, name)

    @property
    def _any(self) -> Any:
        """The connection, or one that is never dialled."""
        return self._guard.blank(self.pool) if self._held is None else self._held

    # redis-py's retry object

    @property
    def retry(self) -> Any:
        """The lease itself: `call_with_retry` is all that redis-py wants of it."""
        return self

    def get_retries(self) -> int:
        """How many failures redis-py is to take for not the last one, in its metrics."""
        retries: int = self._guard.retries
        return retries

    # What redis-py asks a connection without any need of one

    @property
    def credential_provider(self) -> Any:
        """As a connection's. Only those who mean to keep a connection are asked this, for redis-py renews their
        credentials itself: clients with a single connection, and pub/subs.
        """
        self._pinned = True
        return getattr(self._any, "credential_provider", None)

    @property
    def _parser(self) -> Any:
        """The connection's, or somebody who tells it later what it was asked."""
        return _LaterParser(self._parser_calls) if self._held is None else self._held._parser

    @property
    def _himport_reconciled_revision(self) -> Any:
        return self._any._himport_reconciled_revision

    @_himport_reconciled_revision.setter
    def _himport_reconciled_revision(self, revision: int) -> None:
        if self._held is not None:
            self._held._himport_reconciled_revision = revision

    def set_re_auth_token(self, token: Any) -> None:
        """As a connection's; one that is yet to be dialled will use the new credentials anyway."""
        if self._held is not None:
            self._held.set_re_auth_token(token)

    def should_reconnect(self) -> bool:
        """Is it to be dialled anew (redis-py's maintenance), for one who stays? Otherwise the pool sees to it."""
        held = self._held
        return held is not None and self._pinned and self._state is None and should_reconnect(held)

    def register_connect_callback(self, callback: Any) -> None:
        """As a connection's: called after each dial but the first."""
        self._callbacks.append(weakref.WeakMethod(callback))
        if self._held is not None:
            self._held.register_connect_callback(callback)

    def deregister_connect_callback(self, callback: Any) -> None:
        """As a connection's."""
        with contextlib.suppress(ValueError):
            self._callbacks.remove(weakref.WeakMethod(callback))
        if self._held is not None:
            self._held.deregister_connect_callback(callback)

    # The lean path

    def _is_lean(self, name: Any, options: dict[str, Any]) -> bool:
        """May this be sent and read directly? Only an ordinary command, alone on what was borrowed for it."""
        if inside.get() is not self or self._stays or self._callbacks or "check_health" in options:
            return False
        if not getattr(self._held, "lean", False) or not (name in NAMES or learn(name)):
            return False
        attempt = current_attempt.get()
        return attempt is not None and not attempt.behind

    def _take_unsent(self) -> tuple[Any, Attempt]:
        data, self._unsent = self._unsent, None
        return data, self._attempt()

    def _may_batch(self) -> bool:
        """May a pipeline be sent and read directly? Only on what was borrowed for it."""
        return inside.get() is self and not self._stays and not self._callbacks

    def _attempt(self) -> Attempt:
        attempt = current_attempt.get()
        assert attempt is not None
        if attempt.stage == ACQUIRE:
            attempt.stage = CONNECT
        return attempt

    # Who stays

    @property
    def _stays(self) -> bool:
        return self._kept or self._pinned

    def _equip(self, held: Any) -> None:
        """Tell a connection what the lease was told before there was one."""
        for reference in self._callbacks:
            callback = reference()
            if callback is not None:
                held.register_connect_callback(callback)
        for name, args in self._parser_calls:
            getattr(held._parser, name)(*args)

    def _succeeded(self, errand: Errand) -> None:
        # SCRIPT: a pipeline looks for its scripts first, on the lease it then runs on; that binds it to nothing.
        if errand.name != "SCRIPT":
            self._kept = True
        self._note_state()

    def _note_state(self) -> None:
        held = self._held
        session = None if held is None else getattr(getattr(held, "_conn", held), "session", None)
        self._state = None if session == _SUBSCRIBED else session  # a pub/sub subscribes again

    def _refuse_if_lost(self) -> None:
        """Nobody who had made something of a connection gets another one for it."""
        if self._state is not None and self._held is not None and not self.is_connected:
            raise self._loss()

    def _loss(self) -> Exception:
        error: Any = rx.ConnectionError(
            f"the connection that held this state ({self._state}) is lost, and another one does not have it; "
            "begin again with a new client or pipeline"
        )
        error.delivery, error.attempts, error.elapsed = "not_sent", 0, 0.0
        return cast(Exception, error)

    def _refuse_if_over(self) -> None:
        if self._over:
            raise rx.ConnectionError("this connection was given back to its pool; borrow another one")

    def _end(self) -> None:
        if self._over:
            raise self.pool._not_lent()
        self._over = True


class _LaterParser:
    """Takes what is asked of a parser that does not exist yet."""

    def __init__(self, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self._calls.append((name, args))
