"""What the full stack costs around a function that does nothing: `python -m benchmarks.noop`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import _stacks as stacks
from benchmarks._rounds import Effort, Table, async_slice, compare, micro_table, run_alone, sync_slice
from resilient_redis import Policy, ResiliencePipeline
from resilient_redis.calls import Call
from resilient_redis.pipeline.async_driver import acall
from resilient_redis.pipeline.sync_driver import call

BARE = "bare call"
STACK = "[Fallback, Retry, CircuitBreaker, Timeout]"
BREAKERS: dict[str, dict[str, Any]] = {
    "": {},
    ", failure rate of last 100": {"failure_rate": 0.5, "window_calls": 100},
    ", failure rate of last 10 s": {"failure_rate": 0.5, "window_time": 10},
}


def nothing() -> None:
    """The guarded function."""


async def anothing() -> None:
    """The guarded coroutine function."""


class _Surface:
    """Gets the deadline passed, as the surface of a Redis command does."""

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        return Call("NOTHING", "command", args, options)

    def run(self, args: Any, options: dict[str, Any], deadline: float) -> None:
        pass


class _AsyncSurface(_Surface):
    async def run(self, args: Any, options: dict[str, Any], deadline: float) -> None:
        pass


def sync_contenders() -> dict[str, Callable[[], Any]]:
    """By name, what is called in each turn."""
    found: dict[str, Callable[[], Any]] = {BARE: nothing}
    for note, breaker in BREAKERS.items():
        policies: list[Policy] = stacks.ours(**breaker)
        pipeline = ResiliencePipeline(policies)
        found[f"ours: driver (what a command pays){note}"] = partial(call, pipeline.plan, _Surface(), (), {})
        found[f"ours: pipeline.call(fn){note}"] = partial(pipeline.call, nothing)
        if not note:
            found["ours: decorator"] = pipeline(nothing)
    found["4 nested closures, no policy logic"] = stacks.closures(nothing)
    found["pybreaker alone"] = stacks.pybreaker_alone(nothing)
    found[stacks.BY_HAND] = stacks.by_hand(nothing)
    if stacks.installed("pyresilience"):
        found["pyresilience, no timeout"] = stacks.by_pyresilience(nothing)
        found["pyresilience with timeout (a thread)"] = stacks.by_pyresilience(nothing, timeout=True)
    if stacks.installed("interlock"):
        found["interlock-cb, no timeout"] = stacks.by_interlock(nothing)
        found["interlock-cb with timeout (a thread)"] = stacks.by_interlock(nothing, timeout=True)
    if stacks.installed("redress"):
        found["redress, no timeout"] = stacks.by_redress(nothing)
    return found


def async_contenders() -> dict[str, Callable[[], Any]]:
    """The same for asyncio."""
    found: dict[str, Callable[[], Any]] = {BARE: anothing}
    for note, breaker in BREAKERS.items():
        pipeline = ResiliencePipeline(stacks.ours(**breaker))
        found[f"ours: driver (what a command pays){note}"] = partial(acall, pipeline.plan, _AsyncSurface(), (), {})
        found[f"ours: pipeline.acall(fn){note}"] = partial(pipeline.acall, anothing)
        if not note:
            found["ours: decorator"] = pipeline(anothing)
    found["4 nested closures, no policy logic"] = stacks.closures_async(anothing)
    found[stacks.BY_HAND] = stacks.by_hand_async(anothing)
    if stacks.installed("pyresilience"):
        found["pyresilience, no timeout"] = stacks.by_pyresilience(anothing)
        found["pyresilience with timeout"] = stacks.by_pyresilience(anothing, timeout=True)
    if stacks.installed("interlock"):
        found["interlock-cb, no timeout"] = stacks.by_interlock(anothing)
        found["interlock-cb with timeout"] = stacks.by_interlock(anothing, timeout=True)
    if stacks.installed("redress"):
        found["redress, no timeout"] = stacks.by_redress_async(anothing)
    return found


def run(effort: Effort) -> list[Table]:
    """Both tables."""
    shared = {"base": stacks.BY_HAND, "floor": BARE}
    plan = {"rounds": effort.rounds, "repetitions": effort.repetitions}
    slices = {name: sync_slice(function, effort.slice) for name, function in sync_contenders().items()}
    sync = micro_table(f"Around a no-op: {STACK}", compare(slices, **shared, **plan), **shared)
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        slices = {name: async_slice(loop, function, effort.slice) for name, function in async_contenders().items()}
        aio = micro_table(f"Around a no-op, asyncio: {STACK}", compare(slices, **shared, **plan), **shared)
    sync.notes.append("Goal: the driver under 500 ns. The by-hand stack has no timeout of its own (the socket has it).")
    aio.notes.append("Goal: the driver under 600 ns. No timer is set by the driver: a command's surface sets its own.")
    return [sync, aio]


if __name__ == "__main__":
    run_alone(run)
