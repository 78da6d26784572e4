"""tenacity around pybreaker, and a fallback: what a service without a library has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pybreaker
import redis
import tenacity

from benchmarks.contenders._base import Function, Place, Wrapper

DOWN = (redis.ConnectionError, redis.TimeoutError)


class ByHand(Wrapper):
    """pybreaker's documentation, tenacity's documentation, and an ``except``."""

    name = "tenacity + pybreaker by hand"
    package, module = "pybreaker", "pybreaker"
    goes = 20
    note = "pybreaker holds its lock for the whole command, so threads wait for each other."

    def missing(self, side: str) -> str | None:
        if side == "asyncio" and not hasattr(pybreaker.CircuitBreaker, "calling"):
            return "needs pybreaker 1.3 or later, for calling()"
        return super().missing(side)

    def guard(self, function: Function, place: Place) -> Function:
        breaker, default = _breaker(place), place.fallback

        @_three_attempts()
        def attempt() -> Any:
            return breaker.call(function)

        def guarded() -> Any:
            try:
                return attempt()
            except (*DOWN, pybreaker.CircuitBreakerError):
                return default

        return guarded

    def aguard(self, function: Callable[..., Awaitable[Any]], place: Place) -> Function:
        breaker, default = _breaker(place), place.fallback

        @_three_attempts()
        async def attempt() -> Any:
            with breaker.calling():  # pybreaker has no asyncio of its own
                return await function()

        async def guarded() -> Any:
            try:
                return await attempt()
            except (*DOWN, pybreaker.CircuitBreakerError):
                return default

        return guarded


def _breaker(place: Place) -> pybreaker.CircuitBreaker:
    return pybreaker.CircuitBreaker(fail_max=5, reset_timeout=place.reset_timeout)


def _three_attempts() -> Any:
    return tenacity.retry(
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_random_exponential(0.025, 0.5),
        retry=tenacity.retry_if_exception_type(DOWN),
        reraise=True,
    )
