"""redress: retry and circuit breaker by its policy; the fallback is the caller's own ``except``."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.contenders._base import Function, Place, Wrapper
from benchmarks.contenders.by_hand import DOWN


class Redress(Wrapper):
    """It has no fallback and no timeout of its own."""

    name = "redress"
    package, module = "redress", "redress"
    goes = 23
    note = "It has no fallback; the caller's `except` stands in for one."

    def guard(self, function: Function, place: Place) -> Function:
        from redress import Policy, Retry
        from redress.errors import CircuitOpenError
        from redress.extras.redis import redis_classifier

        retry = Retry(classifier=redis_classifier, strategy=_wait, max_attempts=3)
        policy, default = Policy(retry=retry, circuit_breaker=_breaker(place)), place.fallback

        def guarded() -> Any:
            try:
                return policy.call(function)
            except (CircuitOpenError, *DOWN):
                return default

        return guarded

    def aguard(self, function: Callable[..., Awaitable[Any]], place: Place) -> Function:
        from redress import AsyncPolicy, AsyncRetry
        from redress.errors import CircuitOpenError
        from redress.extras.redis import redis_classifier

        retry = AsyncRetry(classifier=redis_classifier, strategy=_wait, max_attempts=3)
        policy, default = AsyncPolicy(retry=retry, circuit_breaker=_breaker(place)), place.fallback

        async def guarded() -> Any:
            try:
                return await policy.call(function)
            except (CircuitOpenError, *DOWN):
                return default

        return guarded


def _wait(_context: Any) -> float:
    return random.uniform(0, 0.05)


def _breaker(place: Place) -> Any:
    from redress import CircuitBreaker

    return CircuitBreaker(failure_threshold=5, recovery_timeout_s=place.reset_timeout)
