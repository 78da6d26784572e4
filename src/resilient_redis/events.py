"""What the layers tell: immutable events, and the sink that hands them to listeners.

No event holds a key, a value or a password. Most are made only when somebody listens, so their classes are imported
when somebody first asks for one: they would be a tenth of what a client costs to import.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resilient_redis.errors import ConfigError

if TYPE_CHECKING:
    from resilient_redis.event_types import (
        AttemptFailed,
        CallRejected,
        ConfigRejected,
        ConfigReloaded,
        FallbackUsed,
        LeakReturned,
        LeakSuspected,
        PoolEvent,
        RetriesExhausted,
        RetryScheduled,
        SubscriptionGap,
    )

__all__ = [
    "AttemptFailed",
    "CallRejected",
    "CircuitChanged",
    "ConfigRejected",
    "ConfigReloaded",
    "Event",
    "Events",
    "FallbackUsed",
    "LeakReturned",
    "LeakSuspected",
    "Listener",
    "PoolEvent",
    "RetriesExhausted",
    "RetryScheduled",
    "SubscriptionGap",
    "logger",
]

logger = logging.getLogger("resilient_redis")
logger.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events.

    Attributes:
        policy: the policy's name, or its type name where it has none; ``"driver"`` for the driver itself.
    """

    policy: str


@dataclass(frozen=True, slots=True)
class CircuitChanged(Event):
    """A circuit breaker went from ``old`` to ``new``; ``reason`` says why, in numbers."""

    old: str
    new: str
    reason: str


Listener = Callable[[Event], None]
"""Called in the thread or task of the call, without any lock held. It should be quick; what it raises is
logged once and never reaches the call."""


def heard_by(listeners: Iterable[Listener]) -> tuple[Listener, ...]:
    """What was given as ``listeners=``, looked at now: an event may be long in coming.

    Raises:
        ConfigError: it is no list, or something in it cannot be called.
    """
    if not isinstance(listeners, Iterable):
        raise ConfigError(f"listeners: {_shown(listeners)} is no list; write listeners=[...]", field="listeners")
    found = tuple(listeners)
    for listener in found:
        if not callable(listener):
            raise ConfigError(
                f"listeners: {_shown(listener)} cannot be called; give functions that take an event", field="listeners"
            )
    return found


def _shown(value: object) -> str:
    return getattr(value, "__qualname__", None) or f"a value of type {type(value).__name__}"


class Events:
    """Hands events to listeners. Adding and removing is safe from any thread at any time.

    Raises:
        ConfigError: a listener cannot be called.

    >>> from resilient_redis.events import FallbackUsed
    >>> seen = []
    >>> events = Events([seen.append])
    >>> events.emit(FallbackUsed("fallback", "GET", "unreachable"))
    >>> seen[0].kind
    'unreachable'
    """

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners: tuple[Listener, ...] = heard_by(listeners)
        self._broken: set[int] = set()
        self.heard = bool(self._listeners)
        """Is anybody listening? Checked before an event is built."""
        if self.heard:
            _import_events()

    def add(self, listener: Listener) -> None:
        """Call ``listener`` for every event from now on; once, however often it is added.

        Django builds a client per call, each with the same listeners.
        """
        heard_by([listener])
        _import_events()
        if listener not in self._listeners:
            self._listeners = (*self._listeners, listener)
            self.heard = True

    def remove(self, listener: Listener) -> None:
        """Stop calling ``listener``; nothing happens if it was not there."""
        self._listeners = tuple(known for known in self._listeners if known is not listener and known != listener)
        self.heard = bool(self._listeners)

    def announce(self, event: CircuitChanged) -> None:
        """Log a change of state as a warning (logger ``resilient_redis``), then hand it to every listener."""
        logger.warning("circuit %s: %s -> %s (%s)", event.policy, event.old, event.new, event.reason)
        self.emit(event)

    def emit(self, event: Event) -> None:
        """Hand ``event`` to every listener."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a listener must never break a call
                self._report(listener)

    def _report(self, listener: Listener) -> None:
        if id(listener) not in self._broken:
            self._broken.add(id(listener))
            logger.exception("listener %r failed; further failures of it are not logged", listener)


def _import_events() -> None:
    """Before anything happens: in an outage there may be no descriptor left to read a file with."""
    from resilient_redis import event_types  # noqa: F401 - for its effect: it is loaded


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from resilient_redis import event_types

    value = globals()[name] = getattr(event_types, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
