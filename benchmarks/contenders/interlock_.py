"""interlock-cb: a pipeline of fallback, retry and circuit breaker, for both worlds."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import tenacity

from benchmarks.contenders._base import Function, Place, Wrapper
from benchmarks.contenders.by_hand import DOWN

_numbers = itertools.count()  # its breakers are known by name


class Interlock(Wrapper):
    """Without its timeout, which starts a thread for each call on the sync side; the socket's own holds."""

    name = "interlock-cb"
    package, module = "interlock-cb", "interlock"
    goes = 22
    note = "Without its timeout, which starts a thread for each call on the sync side."
    timeout: float | None = None

    def guard(self, function: Function, place: Place) -> Function:
        from interlock import CircuitBreaker, CircuitOpenError, Config, Pipeline

        default = place.fallback
        config = Config(minimum_number_of_calls=5, wait_duration_in_open=place.reset_timeout)
        builder = Pipeline.builder().fallback(lambda error: default, on=(CircuitOpenError, *DOWN))
        builder = builder.retry(attempts=3, wait=tenacity.wait_random_exponential(0.025, 0.5))
        builder = builder.circuit_breaker(CircuitBreaker(name=f"bench-{next(_numbers)}", config=config))
        guarded: Function = (builder.timeout(self.timeout) if self.timeout else builder).build()(function)
        return guarded

    def aguard(self, function: Callable[..., Awaitable[Any]], place: Place) -> Function:
        return self.guard(function, place)


class InterlockWithTimeout(Interlock):
    """The same with its timeout: only around a function that does nothing."""

    name = "interlock-cb with its timeout"
    timeout = 0.25
