"""What the sync and the asyncio pub/sub share: how long they are away, when they try again, whom they tell."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from resilient_redis import events as told
from resilient_redis.errors import DialFailedError
from resilient_redis.policies.backoff import full_jitter

if TYPE_CHECKING:
    from resilient_redis.events import SubscriptionGap

GapHandler = Callable[["SubscriptionGap"], Any]
"""Called by whoever reads the messages, after the last message before the gap and before the first one after it."""

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 2.0
"""Upper bounds of the waits between tries, in seconds. A try while the circuit is open costs next to nothing, and
without a circuit breaker one dial in a second or two does no harm to a server that is down."""

_CONFIRMATIONS = frozenset({"subscribe", "psubscribe", "ssubscribe"})

resubscribing: ContextVar[bool] = ContextVar("resilient_redis_resubscribing", default=False)
"""This code runs inside redis-py's connect callback: it is part of a dial that is guarded already."""


class PubSubClosed(BaseException):
    """Somebody closed the pub/sub object meanwhile. It never leaves it.

    A BaseException, because it is no failure of anything: no policy counts it, repeats it or masks it.
    """


class Comeback:
    """How a pub/sub object comes back to the server. Pure: it neither waits nor reads a clock."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._since: float | None = None
        self._failures = 0
        self._next = 0.0
        self._error: Exception | None = None

    def lost(self, now: float) -> None:
        """The connection is gone; the first who notices counts."""
        if self._since is None:
            self._since = now

    def failed(self, now: float, error: Exception) -> None:
        """A try failed: the next one has to wait, longer each time, and not in step with other processes."""
        self.lost(now)
        self._failures += 1
        self._next = now + full_jitter(self._failures, _FIRST_WAIT, _LONGEST_WAIT, self._rng)
        self._error = error

    def pause(self, now: float) -> float:
        """Seconds until the next try; 0: now."""
        return max(0.0, self._next - now) if self._failures else 0.0

    def refusal(self, now: float) -> DialFailedError:
        """What a reader hears whose time is over before the next try."""
        error = DialFailedError(
            "pub/sub is not connected, and pauses before it dials again; its subscriptions are kept",
            retry_after=self.pause(now),
        )
        error.__cause__ = self._error
        return error

    def back(self, now: float) -> float:
        """Subscribed again; seconds that it was away."""
        since, self._since = self._since, None
        self._failures, self._error = 0, None
        return 0.0 if since is None else now - since


def count_subscriptions(pubsub: Any) -> int:
    """How many confirmations a new connection owes."""
    return len(pubsub.channels) + len(pubsub.patterns) + len(_shard_channels(pubsub))


def is_confirmation(response: Any) -> bool:
    """Is it the server's answer to a subscription?"""
    if not isinstance(response, (list, tuple)) or not response:
        return False
    kind = response[0]
    return (kind.decode("ascii", "replace") if isinstance(kind, bytes) else kind) in _CONFIRMATIONS


def gap_of(pubsub: Any, seconds: float) -> SubscriptionGap:
    """The event for it."""
    return told.SubscriptionGap(
        "pubsub", len(pubsub.channels), len(pubsub.patterns), len(_shard_channels(pubsub)), seconds
    )


def _shard_channels(pubsub: Any) -> Any:
    return getattr(pubsub, "shard_channels", ())  # redis-py 6's asyncio has none


def health_step(now: float, due: float, interval: float, asked: float | None) -> str:
    """What to do about the health check of a subscribed connection: ``"wait"``, ``"ask"`` or ``"lost"``.

    redis-py asks, but never looks whether there was an answer. Whatever is read counts as one.

    Args:
        now: clock reading.
        due: when the next check is due: the last read and ``interval``.
        interval: seconds between checks.
        asked: when the last question was sent; ``None``: none was.

    >>> health_step(9, 10, 5, None), health_step(11, 10, 5, None)
    ('wait', 'ask')
    >>> health_step(12, 10, 5, 11), health_step(17, 10, 5, 11)
    ('wait', 'lost')
    """
    if now <= due:
        return "wait"
    if asked is None or asked <= due - interval:
        return "ask"
    return "lost" if now > asked + interval else "wait"
