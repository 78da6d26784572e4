"""Calls that queue for a bulkhead: in order, and no place is lost however they end."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from resilient_redis import Bulkhead, BulkheadFullError, Layer, Policy, ResiliencePipeline, Timeout

from .harness import Driver, bench, quietly


def test_tasks_queue_in_order_of_arrival() -> None:
    order: list[int] = []
    pipeline = quietly([Bulkhead(1, max_waiting=3, max_wait=60)])

    async def work(number: int) -> None:
        order.append(number)
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(pipeline.acall(work, number) for number in range(4)))

    asyncio.run(main())
    assert order == [0, 1, 2, 3]
    assert pipeline.plan.layers[0].running == 0  # type: ignore[attr-defined]


async def one_runs_and_one_waits(pipeline: ResiliencePipeline, gate: asyncio.Event) -> list[asyncio.Task[bool]]:
    tasks = []
    for _ in range(2):
        tasks.append(asyncio.create_task(pipeline.acall(gate.wait)))
        await asyncio.sleep(0)
    return tasks


def test_a_cancelled_task_leaves_the_queue() -> None:
    pipeline = quietly([Bulkhead(1, max_waiting=1, max_wait=60)])
    (layer,) = pipeline.plan.layers

    async def main() -> None:
        gate = asyncio.Event()
        first, second = await one_runs_and_one_waits(pipeline, gate)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert not layer.queue  # type: ignore[attr-defined]
        gate.set()
        assert await first is True

    asyncio.run(main())
    assert layer.running == 0  # type: ignore[attr-defined]


def test_a_permit_granted_to_a_task_cancelled_in_the_same_moment_is_not_lost() -> None:
    pipeline = quietly([Bulkhead(1, max_waiting=1, max_wait=60)])
    (layer,) = pipeline.plan.layers

    async def main() -> None:
        gate = asyncio.Event()
        first, second = await one_runs_and_one_waits(pipeline, gate)
        gate.set()
        await first  # the permit goes to the second …
        second.cancel()  # … which is cancelled before it can run
        with pytest.raises(asyncio.CancelledError):
            await second

    asyncio.run(main())
    assert (layer.running, len(layer.queue)) == (0, 0)  # type: ignore[attr-defined]


def test_a_queue_of_two_loops_is_one_queue() -> None:
    import threading

    pipeline, held, gate = quietly([Bulkhead(1, max_waiting=1, max_wait=60)]), threading.Event(), threading.Event()
    (layer,) = pipeline.plan.layers

    def hold() -> str:
        held.set()
        gate.wait(30)
        return "thread"

    async def value() -> str:
        return "task"

    async def main() -> str:
        waiting = asyncio.create_task(pipeline.acall(value))
        while not layer.queue:  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        gate.set()  # the thread ends and wakes this loop
        return await waiting

    thread = threading.Thread(target=pipeline.call, args=(hold,))
    thread.start()
    assert held.wait(30)
    assert asyncio.run(main()) == "task"
    thread.join()
    assert layer.running == 0  # type: ignore[attr-defined]


def test_the_queue_is_left_when_its_limit_is_over(driver: Driver) -> None:
    stand = bench(driver, [Bulkhead(1, max_waiting=1, max_wait=0.5)], "v")
    stand.bulkhead.running = 1
    end = stand.ends()
    assert type(end) is BulkheadFullError
    assert "no place came free in time" in str(end)
    assert stand.clock.sleeps == [0.5]
    assert not stand.bulkhead.queue


def test_the_queue_is_left_at_the_calls_deadline(driver: Driver) -> None:
    stand = bench(driver, [Timeout(0.2), Bulkhead(1, max_waiting=1, max_wait=0.5)], "v")
    stand.bulkhead.running = 1
    assert type(stand.ends()) is BulkheadFullError
    assert stand.clock.sleeps == [0.2]


def test_a_call_queued_on_a_closed_loop_gives_its_place_back_once() -> None:
    pipeline = quietly([Bulkhead(1, max_waiting=1, max_wait=60)])
    (layer,) = pipeline.plan.layers
    layer.running = 1  # type: ignore[attr-defined]

    async def value() -> str:
        return "v"

    loop = asyncio.new_event_loop()
    call = pipeline.acall(value)
    task = loop.create_task(call)
    for _ in range(3):
        loop.call_soon(loop.stop)
        loop.run_forever()
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    assert len(layer.queue) == 1  # type: ignore[attr-defined]
    layer.release(layer.permit)
    call.close()
    del task, call
    gc.collect()
    assert layer.running == 0  # type: ignore[attr-defined]


class _BrokenLayer(Layer):
    def release(self, token: Any) -> None:
        raise RuntimeError("a bug in somebody's policy")


@dataclass(frozen=True)
class Broken(Policy):
    layer_type: ClassVar[type[Layer]] = _BrokenLayer


def test_a_release_that_raises_loses_no_permit_of_another_layer(driver: Driver) -> None:
    stand = bench(driver, [Bulkhead(1), Broken()], KeyboardInterrupt)
    stand.ends()
    assert stand.bulkhead.running == 0
