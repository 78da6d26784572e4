from __future__ import annotations

import asyncio
import contextvars
import math
from typing import Any

import pytest

from resilient_redis import CallTimeoutError
from resilient_redis.pipeline.eager import finish

SECONDS = [60, math.inf]


async def suspends(value: Any) -> Any:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return value


async def does_not_suspend(value: Any) -> Any:
    return value


async def never() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("function", [suspends, does_not_suspend])
async def test_the_result_is_returned(function: Any, seconds: float) -> None:
    assert await finish(function("v"), seconds, function) == "v"


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("after", [0, 1, 2])
async def test_an_error_passes_through_from_every_step(after: int, seconds: float) -> None:
    async def fails() -> None:
        for _ in range(after):
            await asyncio.sleep(0)
        raise KeyError("k")

    with pytest.raises(KeyError):
        await finish(fails(), seconds, fails)


async def test_a_coroutine_that_never_suspends_is_never_late() -> None:
    assert await finish(does_not_suspend("v"), -1.0, does_not_suspend) == "v"


@pytest.mark.parametrize("seconds", [0.001, 0.0, -5.0])
async def test_a_coroutine_that_suspends_is_cancelled_at_its_deadline(seconds: float) -> None:
    steps = []

    async def hangs() -> None:
        try:
            await never()
        finally:
            steps.append("cleaned up")

    with pytest.raises(CallTimeoutError, match=r"\.hangs did not end within .* s and was cancelled$"):
        await finish(hangs(), seconds, hangs)
    assert steps == ["cleaned up"]


async def test_the_task_goes_on_after_a_deadline() -> None:
    with pytest.raises(CallTimeoutError):
        await finish(never(), 0.001, never)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await suspends("v") == "v"


async def test_a_cancel_from_outside_reaches_the_coroutine_and_leaves_as_a_cancel() -> None:
    seen = []

    async def hangs() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = asyncio.create_task(finish(hangs(), 60, hangs))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_a_coroutine_may_survive_a_cancel() -> None:
    async def survives() -> str:
        try:
            await never()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "survived"

    task = asyncio.create_task(finish(survives(), 60, survives))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "survived"


async def test_an_inner_timeout_is_the_coroutines_own() -> None:
    async def own() -> None:
        async with asyncio.timeout(0.001):
            await never()

    with pytest.raises(TimeoutError) as caught:
        await finish(own(), 60, own)
    assert type(caught.value) is TimeoutError


async def test_an_outer_deadline_beats_a_longer_inner_one() -> None:
    async def own() -> None:
        async with asyncio.timeout(60):
            await never()

    with pytest.raises(CallTimeoutError):
        await finish(own(), 0.001, own)


async def test_two_deadlines_nest() -> None:
    def inner() -> None: ...

    def outer() -> None: ...

    with pytest.raises(CallTimeoutError, match="inner did not end"):
        await finish(finish(never(), 0.001, inner), 60, outer)
    with pytest.raises(CallTimeoutError, match="outer did not end"):
        await finish(finish(never(), 60, inner), 0.001, outer)


async def test_the_coroutine_runs_in_the_callers_context() -> None:
    variable = contextvars.ContextVar("variable", default="outside")

    async def sets() -> None:
        await asyncio.sleep(0)
        variable.set("inside")

    await finish(sets(), 60, sets)
    assert variable.get() == "inside"


async def test_a_task_group_inside_works() -> None:
    async def grouped() -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(suspends(name)) for name in "ab"]
        return [task.result() for task in tasks]

    assert await finish(grouped(), 60, grouped) == ["a", "b"]


async def test_an_abandoned_coroutine_is_closed() -> None:
    closed = []

    async def hangs() -> None:
        try:
            await never()
        finally:
            closed.append(True)

    running = finish(hangs(), 60, hangs)
    running.send(None)
    running.close()
    assert closed == [True]


@pytest.mark.parametrize("seconds", SECONDS)
async def test_what_is_not_to_be_awaited_is_returned_as_it_is(seconds: float) -> None:
    for value in ("v", None, [1], never):
        assert await finish(value, seconds, never) is value


@pytest.mark.parametrize("seconds", SECONDS)
async def test_whatever_can_be_awaited_is_awaited(seconds: float) -> None:
    class Answers:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "v"

    future = asyncio.get_running_loop().create_future()
    future.set_result("v")
    for made in (Answers(), future, asyncio.create_task(suspends("v"))):
        assert await finish(made, seconds, never) == "v"
