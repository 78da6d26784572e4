"""pyresilience: retry, circuit breaker and fallback by one decorator, for both worlds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.contenders._base import Function, Place, Wrapper
from benchmarks.contenders.by_hand import DOWN


class Pyresilience(Wrapper):
    """Without its timeout, which takes a thread for each call on the sync side; the socket's own holds."""

    name = "pyresilience"
    package, module = "pyresilience", "pyresilience"
    goes = 21
    note = "Without its timeout, which takes a thread for each call on the sync side."
    timeout: float | None = None

    def guard(self, function: Function, place: Place) -> Function:
        from pyresilience import CircuitBreakerConfig, FallbackConfig, RetryConfig, TimeoutConfig, resilient

        default = place.fallback
        decorated: Function = resilient(
            retry=RetryConfig(max_attempts=3, delay=0.025, retry_on=DOWN),
            circuit_breaker=CircuitBreakerConfig(
                failure_threshold=5, recovery_timeout=place.reset_timeout, error_types=DOWN
            ),
            fallback=FallbackConfig(handler=lambda error: default),
            timeout=TimeoutConfig(seconds=self.timeout) if self.timeout else None,
        )(function)
        return decorated

    def aguard(self, function: Callable[..., Awaitable[Any]], place: Place) -> Function:
        return self.guard(function, place)


class PyresilienceWithTimeout(Pyresilience):
    """The same with its timeout: only around a function that does nothing."""

    name = "pyresilience with its timeout"
    timeout = 0.25
