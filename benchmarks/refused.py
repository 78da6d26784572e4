"""A call while the circuit is open, until the caller has its fallback: `python -m benchmarks.refused`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pybreaker
import redis

from benchmarks import _stacks as stacks
from benchmarks._rounds import Effort, Table, async_slice, compare, micro_table, run_alone, sync_slice
from resilient_redis import CircuitBreaker, Fallback, Policy, ResiliencePipeline, ResilientRedis, Retry, Timeout
from resilient_redis.asyncio import ResilientRedis as AsyncResilientRedis

FLOOR = "floor: raise + except"
_DEAD = 1  # a port where nothing listens


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


def caught(function: Callable[[], Any], kind: type[Exception]) -> Callable[[], Any]:
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


def sync_contenders() -> dict[str, Callable[[], Any]]:
    """By name; each has been called until its circuit is open."""
    pipeline, bare = ResiliencePipeline(stack()), ResiliencePipeline(stack()[1:])
    client = ResilientRedis(port=_DEAD, policies=stack())
    found: dict[str, Callable[[], Any]] = {
        FLOOR: floor,
        "ours: client.get(key)": partial(client.get, "key"),
        "ours: pipeline.call(fn)": partial(pipeline.call, down),
        "ours: decorator": ResiliencePipeline(stack())(down),
        "ours: no Fallback, caller's except": caught(partial(bare.call, down), redis.ConnectionError),
        "pybreaker alone, caller's except": caught(
            stacks.pybreaker_alone(down, reset_timeout=3600), (pybreaker.CircuitBreakerError, redis.ConnectionError)
        ),
        stacks.BY_HAND: stacks.by_hand(down, reset_timeout=3600),
    }
    if stacks.installed("pyresilience"):
        found["pyresilience"] = stacks.by_pyresilience(down)
    if stacks.installed("interlock"):
        found["interlock-cb"] = stacks.by_interlock(down)
    if stacks.installed("redress"):
        found["redress"] = stacks.by_redress(down)
    return found


def async_contenders() -> dict[str, Callable[[], Any]]:
    """The same for asyncio."""
    pipeline = ResiliencePipeline(stack())
    client = AsyncResilientRedis(port=_DEAD, policies=stack())
    found: dict[str, Callable[[], Any]] = {
        FLOOR: afloor,
        "ours: await client.get(key)": partial(client.get, "key"),
        "ours: pipeline.acall(fn)": partial(pipeline.acall, adown),
        "ours: decorator": ResiliencePipeline(stack())(adown),
        stacks.BY_HAND: stacks.by_hand_async(adown),
    }
    if stacks.installed("pyresilience"):
        found["pyresilience"] = stacks.by_pyresilience(adown)
    if stacks.installed("interlock"):
        found["interlock-cb"] = stacks.by_interlock(adown)
    if stacks.installed("redress"):
        found["redress"] = stacks.by_redress_async(adown)
    return found


def run(effort: Effort) -> list[Table]:
    """Both tables."""
    logging.getLogger("resilient_redis").setLevel(logging.ERROR)
    shared = {"base": stacks.BY_HAND, "floor": FLOOR}
    plan = {"rounds": effort.rounds, "repetitions": effort.repetitions}

    contenders = sync_contenders()
    for function in contenders.values():
        for _ in range(30):
            function()
    slices = {name: sync_slice(function, effort.slice) for name, function in contenders.items()}
    sync = micro_table("Refused by an open circuit", compare(slices, **shared, **plan), **shared, unit=1e-6)

    with asyncio.Runner() as runner:
        acontenders = async_contenders()
        for afunction in acontenders.values():
            runner.run(_open(afunction))
        slices = {name: async_slice(runner.get_loop(), one, effort.slice) for name, one in acontenders.items()}
        aio = micro_table("Refused by an open circuit, asyncio", compare(slices, **shared, **plan), **shared, unit=1e-6)
    sync.notes.append("Goal: under 3 µs, fallback included (median column).")
    return [sync, aio]


async def _open(function: Callable[[], Any]) -> None:
    for _ in range(30):
        await function()


if __name__ == "__main__":
    run_alone(run)
