"""A call while the circuit is open, until the caller has its fallback."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pybreaker
import redis

from benchmarks.contenders import Place
from benchmarks.micro._groups import Function, Group, wrappers
from resilient_redis import CircuitBreaker, Fallback, Policy, ResiliencePipeline, ResilientRedis, Retry, Timeout
from resilient_redis.asyncio import ResilientRedis as AsyncResilientRedis

FLOOR, BY_HAND = "floor: raise + except", "tenacity + pybreaker by hand"
CLIENT = "ours: client.get(key)"
FUNCTION = "ours: pipeline.call(fn)"
AFUNCTION = "ours: pipeline.acall(fn)"
DEAD = 1  # a port where nothing listens
PLACE = Place(port=DEAD, reset_timeout=3600, fallback=None)


def groups() -> list[Group]:
    """For threads and for asyncio."""
    shared: dict[str, Any] = {"base": BY_HAND, "floor": FLOOR, "unit": 1e-6}
    return [
        Group("refused", "Refused by an open circuit, threads", False, make=_sync, **shared),
        Group("refused-asyncio", "Refused by an open circuit, asyncio", True, make=_aio, **shared),
    ]


def down() -> None:
    """The guarded function."""
    raise redis.ConnectionError("down")


async def adown() -> None:
    """The guarded coroutine function."""
    raise redis.ConnectionError("down")


def floor() -> None:
    """What any way costs that raises a redis-py error and catches it."""
    try:
        down()
    except redis.ConnectionError:
        return


async def afloor() -> None:
    """The same, awaited."""
    try:
        await adown()
    except redis.ConnectionError:
        return


def caught(function: Function, kind: Any) -> Function:
    """For contenders without a fallback: the caller's own ``except``."""

    def guarded() -> Any:
        try:
            return function()
        except kind:
            return None

    return guarded


def stack() -> list[Policy]:
    """Opens at the first failure and stays so."""
    breaker = CircuitBreaker(fail_max=1, reset_timeout=3600)
    return [Fallback(None), Retry(attempts=3, on=redis.ConnectionError), breaker, Timeout(0.25)]


def _sync() -> dict[str, Callable[[], Function]]:
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=3600)
    either = (pybreaker.CircuitBreakerError, redis.ConnectionError)
    return {
        FLOOR: lambda: floor,
        CLIENT: lambda: partial(ResilientRedis(port=DEAD, policies=stack()).get, "key"),
        FUNCTION: lambda: partial(ResiliencePipeline(stack()).call, down),
        "ours: decorator": lambda: ResiliencePipeline(stack())(down),
        "ours: no Fallback, caller's except": lambda: caught(
            partial(ResiliencePipeline(stack()[1:]).call, down), redis.ConnectionError
        ),
        "pybreaker alone, caller's except": lambda: caught(partial(breaker.call, down), either),
        **{one.name: partial(one.guard, down, PLACE) for one in wrappers("threads") if "timeout" not in one.name},
    }


def _aio() -> dict[str, Callable[[], Function]]:
    return {
        FLOOR: lambda: afloor,
        CLIENT: lambda: partial(AsyncResilientRedis(port=DEAD, policies=stack()).get, "key"),
        AFUNCTION: lambda: partial(ResiliencePipeline(stack()).acall, adown),
        "ours: decorator": lambda: ResiliencePipeline(stack())(adown),
        **{one.name: partial(one.aguard, adown, PLACE) for one in wrappers("asyncio") if "timeout" not in one.name},
    }
