"""Keeps a pybreaker object (its storage, its listeners) in step with our circuit. Ours is the truth.

A memory storage is written in the thread of the call, after it and outside our lock. Any other storage may do I/O,
so it is read and written by one background thread, and what it raises changes nothing.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pybreaker

from resilient_redis.calls import Call
from resilient_redis.events import logger
from resilient_redis.policies.breaker_machine import State

if TYPE_CHECKING:
    from resilient_redis.policies.breaker import CircuitBreaker

Adopt = Callable[[State, float], None]

_REFRESH = 1.0
"""Seconds between two looks at a remote storage: a circuit opened elsewhere is followed within that time."""


class PybreakerMirror:
    """Writes our changes to a pybreaker object, and reads a shared storage in the background."""

    def __init__(self, breaker: pybreaker.CircuitBreaker, adopt: Adopt) -> None:
        self.breaker = breaker
        self._adopt = adopt
        self._changes: deque[State] = deque()
        self._writing = threading.Lock()
        self._remote = not isinstance(breaker._state_storage, pybreaker.CircuitMemoryStorage)
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._known: State = "closed"
        self._failed = False
        base = pybreaker.CircuitBreakerListener
        self.hears_calls = any(
            getattr(type(listener), hook, None) is not getattr(base, hook)
            for listener in breaker.listeners
            for hook in ("before_call", "failure", "success")
        )
        """Does a listener want to hear of every call? If none does, successes cost nothing."""

    @classmethod
    def for_policy(cls, policy: CircuitBreaker, adopt: Adopt) -> PybreakerMirror | None:
        """The mirror that a policy asks for, if any."""
        if policy.breaker is not None:
            return cls(policy.breaker, adopt)
        if not policy.listeners and policy.state_storage is None:
            return None
        storage = policy.state_storage
        made = pybreaker.CircuitBreaker(
            fail_max=policy.fail_max or 5,
            reset_timeout=float(policy.reset_timeout),  # type: ignore[arg-type] # seconds since it was made
            listeners=list(policy.listeners),
            state_storage=storage if isinstance(storage, pybreaker.CircuitMemoryStorage) else None,
            name=policy.label,
        )
        if hasattr(made, "success_threshold"):  # since pybreaker 1.3
            made.success_threshold = policy.success_threshold
        if storage is not None:
            made._state_storage = storage  # not by its constructor, which reads the state: I/O, here and now
        return cls(made, adopt)

    def initial(self) -> tuple[State, float]:
        """State of the pybreaker object, and for how many seconds it has been in it.

        A remote storage is not asked here (that would be I/O): the background thread will.
        """
        if self._remote:
            self._start()
            return "closed", 0.0
        return self._read()

    def after_fork(self) -> None:
        """Threads do not survive a fork: the background thread is started again, with fresh locks."""
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._thread = None
        if self._remote:
            self._start()

    def push(self, state: State) -> None:
        """Our circuit changed to ``state``: pass it on."""
        self._changes.append(state)
        if self._remote:
            self._start()
            self._wake.set()
        else:
            self._write()

    def before_call(self, call: Call) -> None:
        """Tell the listeners that a call starts; they get the call's description, not keys and values."""
        for listener in self.breaker.listeners:
            self._tell(listener.before_call, call)

    def result(self, error: Exception | None) -> None:
        """Tell the listeners how a call ended."""
        for listener in self.breaker.listeners:
            if error is None:
                self._tell(listener.success)
            else:
                self._tell(listener.failure, error)

    def _tell(self, hook: Callable[..., None], *args: object) -> None:
        try:
            hook(self.breaker, *args)
        except Exception:  # noqa: BLE001 - a listener must never break a call
            self._report()

    def _write(self) -> None:
        """Write the changes in their order. Whoever comes second leaves it to the first."""
        while self._changes and self._writing.acquire(blocking=False):
            try:
                self._write_all()
            finally:
                self._writing.release()

    def _write_all(self) -> None:
        while self._changes:
            state = self._changes.popleft()
            try:
                self._apply(state)
            except Exception:  # noqa: BLE001 - a storage or listener that fails changes nothing here
                self._report()

    def _apply(self, state: State) -> None:
        if state == "closed":
            self.breaker.close()
        elif state == "half-open":
            self.breaker.half_open()
        else:  # open and isolated are one to pybreaker
            self.breaker.open()

    def _read(self) -> tuple[State, float]:
        storage = self.breaker._state_storage
        state = storage.state
        if state not in (pybreaker.STATE_OPEN, pybreaker.STATE_HALF_OPEN):
            return "closed", 0.0
        opened = storage.opened_at
        if opened is None:
            return "open", 0.0
        if opened.tzinfo is None:
            opened = opened.replace(tzinfo=UTC)
        # Half-open elsewhere means open here until our own time is over: probing is each process's own.
        return "open", max(0.0, (datetime.now(UTC) - opened).total_seconds())

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=_follow, args=(weakref.ref(self), self._wake), name="resilient-redis-breaker", daemon=True
            )
            self._thread.start()

    def _refresh(self) -> None:
        """One round of the background thread: write what changed here, follow what changed elsewhere."""
        self._write()
        try:
            state, elapsed = self._read()
            if state != self._known and not self._changes:
                self._adopt(state, elapsed)
            self._known = state
            self._failed = False
        except Exception:  # noqa: BLE001 - an unreachable storage changes nothing
            self._report()

    def _report(self) -> None:
        if not self._failed:
            self._failed = True
            logger.warning("pybreaker storage or listener of %r failed", self.breaker.name, exc_info=True)


def _follow(mirror_of: weakref.ref[PybreakerMirror], wake: threading.Event) -> None:
    """The background thread; it ends with the circuit it serves."""
    while True:
        mirror = mirror_of()
        if mirror is None:
            return
        mirror._refresh()
        del mirror
        wake.wait(_REFRESH)
        wake.clear()
