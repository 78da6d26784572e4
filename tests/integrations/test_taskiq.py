"""taskiq-redis over a pool of ours with policies: its brokers make a pool, and name redis.asyncio.Redis themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
from integration_jobs import POLICIES, do
from integration_kit import Heard, Tally, Weather, any_fault, assert_unknown, hidden

from resilient_redis.asyncio import ResilientConnectionPool
from resilient_redis.testing import FaultProxy

taskiq_redis = pytest.importorskip("taskiq_redis")
run_receiver_task = pytest.importorskip("taskiq.api").run_receiver_task

pytestmark = [
    pytest.mark.integrations,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # redis-py does not reset a pipeline whose SCRIPT EXISTS failed; the broker uses one for its lock.
    pytest.mark.filterwarnings("ignore:Unclosed client session:ResourceWarning"),
]

NAMES = [f"job{number:02}" for number in range(30)]


class ResilientListBroker(taskiq_redis.ListQueueBroker):  # type: ignore[misc,name-defined]
    """What a user writes: the pool that the broker made is replaced before it is used."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url)
        self.connection_pool = ResilientConnectionPool.from_url(url, **options)


class ResilientStreamBroker(taskiq_redis.RedisStreamBroker):  # type: ignore[misc,name-defined]
    """The same for streams."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, xread_block=200, consumer_id="0")
        self.connection_pool = ResilientConnectionPool.from_url(url, **options)


class ResilientResults(taskiq_redis.RedisAsyncResultBackend):  # type: ignore[misc,name-defined]
    """The same for results."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url)
        self.redis_pool = ResilientConnectionPool.from_url(url, **options)


@pytest.fixture(params=[ResilientListBroker, ResilientStreamBroker], ids=["list", "stream"])
async def broker(request: pytest.FixtureRequest, proxy: FaultProxy, heard: Heard) -> AsyncIterator[Any]:
    options = {"policies": POLICIES, "max_lifetime": 0.1}
    results = ResilientResults(proxy.url, **options)
    broker = request.param(proxy.url, **options).with_result_backend(results)
    for pool in (broker.connection_pool, results.redis_pool):
        pool.events.add(heard)
    await broker.startup()
    yield broker
    await broker.shutdown()


@pytest.fixture
def task(broker: Any) -> Any:
    @broker.task(task_name="do")
    async def work(name: str) -> str:
        return await asyncio.to_thread(do, name)

    return work


@contextlib.asynccontextmanager
async def worker(broker: Any) -> AsyncIterator[None]:
    """A worker in this loop, begun anew when it ends, as a supervisor would."""

    async def work() -> None:
        while True:
            with contextlib.suppress(redis.RedisError, ExceptionGroup):
                await run_receiver_task(broker, max_async_tasks=5)

    running = asyncio.create_task(work())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_taskiq_does_every_task_once_and_notices_nothing(
    broker: Any, task: Any, proxy: FaultProxy, tally: Tally, heard: Heard
) -> None:
    with Weather(proxy, hidden("EXISTS", "GET")):
        async with worker(broker):
            results = []
            for name in NAMES:
                results.append(await task.kiq(name))
                await asyncio.sleep(0.02)
            values = [(await one.wait_result(timeout=10, check_interval=0.02)).return_value for one in results]
    assert tally() == NAMES
    assert values == [f"{name} done" for name in NAMES]
    assert heard.repeats > 0


async def test_taskiq_does_no_task_twice_and_all_that_were_acknowledged(
    broker: Any, task: Any, proxy: FaultProxy, tally: Tally, heard: Heard
) -> None:
    acknowledged = set()
    with Weather(proxy, any_fault("LPUSH", "XADD", "SET")):
        async with worker(broker):
            for name in NAMES:
                try:
                    await task.kiq(name)
                except Exception as error:
                    assert_unknown(error)
                else:
                    acknowledged.add(name)
                await asyncio.sleep(0.02)
            for _ in range(200):
                if acknowledged <= set(tally()):
                    break
                await asyncio.sleep(0.02)
    ran = tally()
    assert acknowledged <= set(ran)
    assert len(ran) == len(set(ran))
    assert heard.failed("LPUSH") + heard.failed("XADD") > 0
