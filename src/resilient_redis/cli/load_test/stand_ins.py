"""What the client tells while it is under load: was that a fallback, and how often did a circuit open?"""

from __future__ import annotations

import contextvars
import threading
from collections import Counter

from resilient_redis.events import CircuitChanged, Event, FallbackUsed

_used: contextvars.ContextVar[bool] = contextvars.ContextVar("resilient_redis_load_test_stood_in", default=False)


class Listening:
    """A listener for the client. Safe for threads.

    >>> listening = Listening()
    >>> listening(CircuitChanged("breaker", "closed", "open", "5 failures"))
    >>> listening.opened
    {'breaker': 1}
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        """Called in the thread or task of the call, so the variable is that caller's own."""
        if isinstance(event, FallbackUsed):
            _used.set(True)
        elif isinstance(event, CircuitChanged) and event.new == "open":
            with self._lock:
                self._opened[event.policy] += 1

    @property
    def opened(self) -> dict[str, int]:
        """How often each circuit opened."""
        with self._lock:
            return dict(self._opened)


def stood_in() -> bool:
    """Did a fallback answer in this thread or task since the last time this was asked?"""
    used = _used.get()
    if used:
        _used.set(False)
    return used
