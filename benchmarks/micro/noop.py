"""The full stack around a function that does nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pybreaker
import redis

from benchmarks.contenders import Place
from benchmarks.contenders.by_hand import DOWN
from benchmarks.micro._groups import Function, Group, wrappers
from resilient_redis import CircuitBreaker, Fallback, Policy, ResiliencePipeline, Retry, Timeout
from resilient_redis.calls import Call
from resilient_redis.pipeline.async_driver import acall
from resilient_redis.pipeline.sync_driver import call

BARE, BY_HAND = "bare call", "tenacity + pybreaker by hand"
DRIVER = "ours: what a command pays"
WATCHFUL = f"{DRIVER}; failure rate, slow calls, listener"
PLACE = Place(port=1, fallback=None)


def groups() -> list[Group]:
    """For threads and for asyncio."""
    stack = "[Fallback, Retry, CircuitBreaker, Timeout]"
    shared: dict[str, Any] = {"base": BY_HAND, "floor": BARE, "unit": 1e-9}
    notes = [
        "'What a command pays' is the driver alone, as a client's command goes through it: the deadline is handed to "
        "the command, so no timer is set. The second row of ours counts a failure rate over the last 100 calls, looks "
        "for slow ones, and has a listener for events."
    ]
    return [
        Group("noop", f"Around a no-op, threads: {stack}", False, make=_sync, notes=notes, **shared),
        Group("noop-asyncio", f"Around a no-op, asyncio: {stack}", True, make=_aio, notes=notes, **shared),
    ]


def policies(**breaker: Any) -> list[Policy]:
    """New ones each time, so that each has a circuit of its own."""
    circuit = CircuitBreaker(**{"fail_max": 5, "reset_timeout": 60, **breaker})
    return [Fallback(None), Retry(attempts=3, on=redis.ConnectionError), circuit, Timeout(0.25)]


def watchful() -> ResiliencePipeline:
    """All that may be counted is counted, and somebody listens."""
    counted = policies(failure_rate=0.5, window_calls=100, slow_call=0.2)
    return ResiliencePipeline(counted, listeners=[lambda event: None])


def nothing() -> None:
    """The guarded function."""


async def anothing() -> None:
    """The guarded coroutine function."""


class _Surface:
    """Gets the deadline passed, as the surface of a Redis command does."""

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        return Call("NOTHING", "command", args, options)

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Any = None) -> Any:
        pass


class _AsyncSurface(_Surface):
    async def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Any = None) -> Any:
        pass


def _sync() -> dict[str, Callable[[], Function]]:
    return {
        BARE: lambda: nothing,
        DRIVER: lambda: partial(call, ResiliencePipeline(policies()).plan, _Surface(), (), {}),
        WATCHFUL: lambda: partial(call, watchful().plan, _Surface(), (), {}),
        "ours: pipeline.call(fn)": lambda: partial(ResiliencePipeline(policies()).call, nothing),
        "ours: decorator": lambda: ResiliencePipeline(policies())(nothing),
        "4 nested closures, no policy logic": lambda: closures(nothing),
        "pybreaker alone": lambda: partial(pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60).call, nothing),
        **{one.name: partial(one.guard, nothing, PLACE) for one in wrappers("threads")},
    }


def _aio() -> dict[str, Callable[[], Function]]:
    return {
        BARE: lambda: anothing,
        DRIVER: lambda: partial(acall, ResiliencePipeline(policies()).plan, _AsyncSurface(), (), {}),
        WATCHFUL: lambda: partial(acall, watchful().plan, _AsyncSurface(), (), {}),
        "ours: pipeline.acall(fn)": lambda: partial(ResiliencePipeline(policies()).acall, anothing),
        "ours: decorator": lambda: ResiliencePipeline(policies())(anothing),
        "4 nested closures, no policy logic": lambda: aclosures(anothing),
        **{one.name: partial(one.aguard, anothing, PLACE) for one in wrappers("asyncio")},
    }


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


def aclosures(function: Function) -> Function:
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
