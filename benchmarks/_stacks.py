"""The contenders: the same protection around a function, by us, by hand, and by other libraries where installed.

Each builder takes a function and returns the guarded one. Contenders do as nearly the same as they can: three
attempts, open after five failures, None as the fallback. A library that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import pybreaker
import redis
import tenacity

from resilient_redis import CircuitBreaker, Fallback, Policy, Retry, Timeout

Function = Callable[..., Any]
Builder = Callable[[Function], Function]

DOWN = (redis.ConnectionError, redis.TimeoutError)
BY_HAND = "tenacity + pybreaker by hand"


def installed(module: str) -> bool:
    """Is this contender here?"""
    return importlib.util.find_spec(module) is not None


def ours(*, reset_timeout: float = 60, fallback: Any = None, timeout: float = 0.25, **breaker: Any) -> list[Policy]:
    """The full stack, new circuit each time."""
    return [
        Fallback(fallback),
        Retry(attempts=3, on=redis.ConnectionError),
        CircuitBreaker(**{"fail_max": 5, "reset_timeout": reset_timeout, **breaker}),
        Timeout(timeout),
    ]


def _tenacity() -> Any:
    return tenacity.retry(
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_random_exponential(0.025, 0.5),
        retry=tenacity.retry_if_exception_type(DOWN),
        reraise=True,
    )


def by_hand(function: Function, *, reset_timeout: float = 60, default: Any = None) -> Function:
    """tenacity around pybreaker, and a fallback: what a service without a library has."""
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=reset_timeout)

    @_tenacity()
    def attempt(*args: Any) -> Any:
        return breaker.call(function, *args)

    def guarded(*args: Any) -> Any:
        try:
            return attempt(*args)
        except (*DOWN, pybreaker.CircuitBreakerError):
            return default

    return guarded


def by_hand_async(function: Function) -> Function:
    """The same for asyncio. pybreaker has no asyncio of its own, so ``calling()`` around the await."""
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)

    @_tenacity()
    async def attempt() -> Any:
        with breaker.calling():
            return await function()

    async def guarded() -> Any:
        try:
            return await attempt()
        except (*DOWN, pybreaker.CircuitBreakerError):
            return None

    return guarded


def pybreaker_alone(function: Function, *, reset_timeout: float = 60) -> Function:
    """pybreaker and nothing else."""
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=reset_timeout)
    return lambda *args: breaker.call(function, *args)


def closures(function: Function) -> Function:
    """Fallback, retry, breaker and deadline as four nested functions that only do the good case: a floor."""
    failures = 0

    def deadline() -> Any:
        _ends = time.monotonic() + 0.25
        return function()

    def breaker() -> Any:
        nonlocal failures
        if failures >= 5:
            raise redis.ConnectionError("open")
        try:
            return deadline()
        except DOWN:
            failures += 1
            raise

    def retry() -> Any:
        for attempt in range(3):
            try:
                return breaker()
            except DOWN:
                if attempt == 2:
                    raise
        return None

    def fallback() -> Any:
        try:
            return retry()
        except DOWN:
            return None

    return fallback


def closures_async(function: Function) -> Function:
    """The same as coroutine functions. No timer: a floor."""
    failures = 0

    async def deadline() -> Any:
        _ends = time.monotonic() + 0.25
        return await function()

    async def breaker() -> Any:
        nonlocal failures
        if failures >= 5:
            raise redis.ConnectionError("open")
        try:
            return await deadline()
        except DOWN:
            failures += 1
            raise

    async def retry() -> Any:
        for attempt in range(3):
            try:
                return await breaker()
            except DOWN:
                if attempt == 2:
                    raise
        return None

    async def fallback() -> Any:
        try:
            return await retry()
        except DOWN:
            return None

    return fallback


def by_pyresilience(function: Function, *, timeout: bool = False) -> Function:
    """pyresilience, for both worlds. Its sync timeout runs each call in a thread pool."""
    from pyresilience import CircuitBreakerConfig, FallbackConfig, RetryConfig, TimeoutConfig, resilient

    return resilient(
        retry=RetryConfig(max_attempts=3, delay=0.001, retry_on=DOWN),
        circuit_breaker=CircuitBreakerConfig(failure_threshold=5, recovery_timeout=60, error_types=DOWN),
        fallback=FallbackConfig(handler=lambda error: None),
        timeout=TimeoutConfig(seconds=0.25) if timeout else None,
    )(function)


def by_interlock(function: Function, *, timeout: bool = False) -> Function:
    """interlock-cb's pipeline, for both worlds. Its sync timeout starts a thread for each call."""
    from interlock import CircuitBreaker as Interlock
    from interlock import CircuitOpenError, Config, Pipeline

    breaker = Interlock(name=f"bench-{id(function)}-{timeout}", config=Config(minimum_number_of_calls=5))
    builder = Pipeline.builder().fallback(lambda error: None, on=(CircuitOpenError, *DOWN))
    builder = builder.retry(attempts=3, wait=tenacity.wait_fixed(0.001)).circuit_breaker(breaker)
    return (builder.timeout(0.25) if timeout else builder).build()(function)


def _redress_breaker() -> Any:
    from redress import CircuitBreaker as Redress

    return Redress(failure_threshold=5, recovery_timeout_s=60)


def by_redress(function: Function) -> Function:
    """redress: retry and breaker; the fallback is the caller's own ``except``."""
    from redress import Policy as Redress
    from redress import Retry as RedressRetry
    from redress.errors import CircuitOpenError
    from redress.extras.redis import redis_classifier

    retry = RedressRetry(classifier=redis_classifier, strategy=lambda _context: 0.001, max_attempts=3)
    policy = Redress(retry=retry, circuit_breaker=_redress_breaker())

    def guarded() -> Any:
        try:
            return policy.call(function)
        except (CircuitOpenError, *DOWN):
            return None

    return guarded


def by_redress_async(function: Function) -> Function:
    """The same for asyncio."""
    from redress import AsyncPolicy, AsyncRetry
    from redress.errors import CircuitOpenError
    from redress.extras.redis import redis_classifier

    retry = AsyncRetry(classifier=redis_classifier, strategy=lambda _context: 0.001, max_attempts=3)
    policy = AsyncPolicy(retry=retry, circuit_breaker=_redress_breaker())

    async def guarded() -> Any:
        try:
            return await policy.call(function)
        except (CircuitOpenError, *DOWN):
            return None

    return guarded
