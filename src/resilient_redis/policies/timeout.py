"""Timeout: a deadline, not machinery.

Where it stands is what it bounds: inside `Retry` each attempt, outside it the whole call with all its attempts and
waits. It costs no thread per call: it lowers the call's deadline, and whoever waits below (the socket,
the queue, the backoff) keeps to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from resilient_redis.calls import Call
from resilient_redis.durations import Duration, DurationSpec, parse_duration, show_duration
from resilient_redis.policies.base import ALWAYS_CALM, Layer, Policy, Runtime, require, require_name


class TimeoutSpec(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A deadline for what is inside it."""

    seconds: DurationSpec
    name: str | None = None


class TimeoutLayer(Layer):
    """Lowers the deadline of each call that enters. Holds no state."""

    calm = ALWAYS_CALM

    def __init__(self, policy: Timeout, runtime: Runtime) -> None:
        super().__init__(policy, runtime)
        self.timeout = policy._seconds

    def enter(self, call: Call) -> None:
        """Lower ``call.deadline``; a blocking command's own time comes on top."""
        seconds: float = call.overrides.get("timeout", self.timeout)
        deadline = self.runtime.clock.monotonic() + seconds + call.allowance
        call.deadline = min(call.deadline, deadline)


@dataclass(frozen=True)
class Timeout(Policy):
    """End what is inside after ``seconds``.

    For a command every wait below keeps to the deadline: queueing, dialling, handshake, sending, and each read of
    the reply, even one that trickles in byte by byte. A blocking command (BLPOP …) gets its own time on top. A
    guarded coroutine is cancelled; a guarded *sync* function cannot be interrupted: its deadline reaches the Redis
    commands inside it and ends waits between attempts.

    A command that is out of time raises ``redis.TimeoutError``; whether the server ran it is then unknown.

    Args:
        seconds: more than 0. Seconds, a ``timedelta``, or text such as ``"250ms"``.
        name: shown in ``describe()`` and events.

    Raises:
        ConfigError: ``seconds`` is 0, negative or no duration.

    Immutable, safe to share between clients, threads and tasks.

    >>> Timeout("250ms").describe()
    '0.25 s for each pass through it'
    """

    seconds: Duration
    name: str | None = None

    type_name: ClassVar[str] = "timeout"
    layer_type: ClassVar[type[Layer]] = TimeoutLayer
    Spec: ClassVar[Any] = TimeoutSpec

    def __post_init__(self) -> None:
        seconds = parse_duration(self.seconds, "Timeout.seconds")
        require(seconds > 0, "Timeout", "seconds", self.seconds, "give more than 0")
        self._set("seconds", seconds)
        require_name("Timeout", self.name)

    @property
    def _seconds(self) -> float:
        return parse_duration(self.seconds)

    def describe(self) -> str:
        """The effective deadline."""
        return f"{show_duration(self._seconds)} for each pass through it"
