"""Bulkhead: at most n calls at once, so that one slow server cannot take every thread of the service."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from resilient_redis import events as told
from resilient_redis.calls import Call, Outcome
from resilient_redis.durations import Duration, DurationSpec, parse_duration, show_duration
from resilient_redis.errors import BulkheadFullError
from resilient_redis.policies.base import Layer, Policy, Reject, Runtime, Wait, require, require_name


class BulkheadSpec(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """At most so many calls at once."""

    max_concurrent: int
    max_waiting: int = 0
    max_wait: DurationSpec = 1.0
    name: str | None = None


class _Place:
    """A place in the bulkhead's queue: granted once or cancelled once, decided under the layer's lock."""

    __slots__ = ("_layer", "_wake", "call", "granted", "limit", "token")

    def __init__(self, layer: BulkheadLayer, call: Call, limit: float) -> None:
        self._layer = layer
        self._wake: Callable[[], None] | None = None
        self.call = call
        self.limit: float | None = limit
        self.token: object = layer.permit
        self.granted = False

    def arm(self, wake: Callable[[], None]) -> bool:
        with self._layer.lock:
            self._wake = wake
            return self.granted

    def cancel(self) -> bool:
        with self._layer.lock:
            if not self.granted:
                self._layer.queue.remove(self)
            return self.granted

    def grant_locked(self) -> Callable[[], None] | None:
        self.granted = True
        return self._wake

    def refusal(self) -> Reject:
        return self._layer.refuse(self.call, "no place came free in time")


class BulkheadLayer(Layer):
    """Counts the calls under way and hands a freed place to whoever has waited longest."""

    policy: Bulkhead

    def __init__(self, policy: Bulkhead, runtime: Runtime) -> None:
        super().__init__(policy, runtime)
        self.watches_success = True
        self.lock = threading.Lock()
        self.queue: deque[_Place] = deque()
        self.running = 0
        self.permit = object()  # a new one after a fork: a permit of the parent's is nobody's here

    def enter(self, call: Call) -> object:
        """A permit, a place in the queue, or a refusal."""
        policy = self.policy
        with self.lock:
            if self.running < policy.max_concurrent:
                self.running += 1
                return self.permit
            if len(self.queue) < policy.max_waiting:
                place = _Place(self, call, parse_duration(policy.max_wait))
                self.queue.append(place)
                return Wait(place)
        return self.refuse(call, f"{len(self.queue)} waiting")

    def refuse(self, call: Call, why: str) -> Reject:
        """The refusal, in numbers."""
        events = self.runtime.events
        if events.heard:
            events.emit(told.CallRejected(self.label, call.name, BulkheadFullError.kind.value))
        limit = self.policy.max_concurrent
        return Reject(BulkheadFullError(f"{self.label}: {limit} of {limit} calls under way, {why}; not sent"))

    def exit(self, token: object, outcome: Outcome) -> None:
        """Give the permit back, whatever the outcome."""
        self.release(token)

    def release(self, token: object) -> None:
        """Hand the permit to the longest waiter, or free it."""
        wake = None
        with self.lock:
            if token is not self.permit:
                return
            if self.queue:
                wake = self.queue.popleft().grant_locked()
            else:
                self.running -= 1
        if wake is not None:
            wake()

    def after_fork(self) -> None:
        """The parent's calls are not this process's."""
        self.lock = threading.Lock()
        self.queue.clear()
        self.running = 0
        self.permit = object()


@dataclass(frozen=True)
class Bulkhead(Policy):
    """Let at most ``max_concurrent`` calls be under way at once.

    A call over the limit is refused at once with `BulkheadFullError` (never sent), unless a queue is allowed:
    then up to ``max_waiting`` calls wait at most ``max_wait``, in order of arrival, across threads and tasks alike.
    A call's own deadline ends the wait earlier.

    Args:
        max_concurrent: calls at once, 1 or more.
        max_waiting: length of the queue. 0 (default) means none: a queue hides overload, so it is asked for.
        max_wait: longest wait in the queue, in seconds; default 1.
        name: clients of one pool that use the same name share one bulkhead.

    Raises:
        ConfigError: a number is out of its range.

    Immutable; its live state is safe for threads and tasks together.

    >>> Bulkhead(20, max_waiting=5).describe()
    '20 calls at once, 5 more wait up to 1 s'
    """

    max_concurrent: int
    max_waiting: int = 0
    max_wait: Duration = 1.0
    name: str | None = None

    type_name: ClassVar[str] = "bulkhead"
    layer_type: ClassVar[type[Layer]] = BulkheadLayer
    Spec: ClassVar[Any] = BulkheadSpec

    def __post_init__(self) -> None:
        require(
            _whole(self.max_concurrent, 1), "Bulkhead", "max_concurrent", self.max_concurrent, "give 1 or more calls"
        )
        require(_whole(self.max_waiting, 0), "Bulkhead", "max_waiting", self.max_waiting, "give 0 or more places")
        self._set("max_wait", parse_duration(self.max_wait, "Bulkhead.max_wait"))
        require_name("Bulkhead", self.name)

    def describe(self) -> str:
        """The limits."""
        waits = f"{self.max_waiting} more wait up to {show_duration(parse_duration(self.max_wait))}"
        return f"{self.max_concurrent} calls at once, {waits if self.max_waiting else 'the next is refused'}"


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
