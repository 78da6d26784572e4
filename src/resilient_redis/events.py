"""What the layers tell: immutable events, and the sink that hands them to listeners.

No event holds a key, a value or a password.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

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
class FallbackUsed(Event):
    """A caller got a fallback value: an outage is being masked. ``kind`` says what it hides."""

    command: str
    kind: str


@dataclass(frozen=True, slots=True)
class RetryScheduled(Event):
    """Attempt number ``attempt`` failed with ``kind``; the next one starts after ``wait`` seconds."""

    command: str
    attempt: int
    kind: str
    wait: float


@dataclass(frozen=True, slots=True)
class RetriesExhausted(Event):
    """The last of ``attempts`` attempts failed with ``kind``."""

    command: str
    attempts: int
    kind: str


@dataclass(frozen=True, slots=True)
class CircuitChanged(Event):
    """A circuit breaker went from ``old`` to ``new``; ``reason`` says why, in numbers."""

    old: str
    new: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallRejected(Event):
    """A policy refused a call before it was sent."""

    command: str
    kind: str


@dataclass(frozen=True, slots=True)
class AttemptFailed(Event):
    """One attempt failed. ``delivery`` says how far it got."""

    command: str
    attempt: int
    kind: str
    delivery: str


@dataclass(frozen=True, slots=True)
class PoolEvent(Event):
    """Base of what a connection pool tells; ``policy`` is ``"pool"``, ``pool`` its name."""

    pool: str


@dataclass(frozen=True, slots=True)
class LeakSuspected(PoolEvent):
    """A connection is out for ``seconds``, longer than ``leak_threshold``; ``place`` borrowed it."""

    seconds: float
    place: str


@dataclass(frozen=True, slots=True)
class LeakReturned(PoolEvent):
    """A connection that was reported as a leak came back after ``seconds``."""

    seconds: float
    place: str


@dataclass(frozen=True, slots=True)
class SubscriptionGap(Event):
    """A pub/sub object is subscribed again after it was without a connection: what was published meanwhile is lost.

    ``policy`` is ``"pubsub"``. ``channels``, ``patterns`` and ``shard_channels`` are numbers of subscriptions, not
    names. ``seconds`` is the time from the moment the loss was noticed to the server's confirmation.
    """

    channels: int
    patterns: int
    shard_channels: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ConfigReloaded(Event):
    """A client runs by a new version of its configuration.

    ``policy`` is ``"config"``, ``source`` the file. ``changed`` are the key paths whose values are others now,
    ``needs_restart`` those of them that stay in force as they were until a new client is made.
    """

    source: str
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfigRejected(Event):
    """A new version of a client's configuration is wrong, and the old one stays in force; ``problems`` say why."""

    source: str
    problems: tuple[str, ...]


Listener = Callable[[Event], None]
"""Called in the thread or task of the call, without any lock held. It should be quick; what it raises is
logged once and never reaches the call."""


class Events:
    """Hands events to listeners. Adding and removing is safe from any thread at any time.

    >>> seen = []
    >>> events = Events([seen.append])
    >>> events.emit(FallbackUsed("fallback", "GET", "unreachable"))
    >>> seen[0].kind
    'unreachable'
    """

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners: tuple[Listener, ...] = tuple(listeners)
        self._broken: set[int] = set()
        self.heard = bool(self._listeners)
        """Is anybody listening? Checked before an event is built."""

    def add(self, listener: Listener) -> None:
        """Call ``listener`` for every event from now on; once, however often it is added.

        Django builds a client per call, each with the same listeners.
        """
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
