"""The events that are made when somebody listens. Ask `resilient_redis.events` for them, which imports them late."""

from __future__ import annotations

from dataclasses import dataclass

from resilient_redis.events import Event


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
