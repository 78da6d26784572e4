"""arq over ResilientRedis: jobs from one side, a worker on the other, in asyncio, through faults."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
from integration_jobs import POLICIES, do
from integration_kit import Heard, Tally, Weather, any_fault, hidden, unhurried

from resilient_redis.asyncio import ResilientRedis
from resilient_redis.testing import FaultProxy

connections = pytest.importorskip("arq.connections")
worker = pytest.importorskip("arq.worker")
jobs = pytest.importorskip("arq.jobs")

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NAMES = [f"job{number:02}" for number in range(40)]


class ResilientArqRedis(connections.ArqRedis, ResilientRedis):  # type: ignore[misc,name-defined]
    """All that a user writes: arq's client, and ours under it."""


@pytest.fixture
async def queue(proxy: FaultProxy, heard: Heard) -> AsyncIterator[Any]:
    queue = ResilientArqRedis.from_url(proxy.url, policies=POLICIES, listeners=[heard], max_lifetime=0.1)
    yield queue
    await queue.aclose()


async def work(_context: dict[str, Any], name: str) -> str:
    return await asyncio.to_thread(do, name)


async def burst(queue: Any, seconds: float = 10) -> None:
    """Work until nothing is left, or for so long."""
    one = worker.Worker(
        [work], redis_pool=queue, burst=True, handle_signals=False, poll_delay=0.05, keep_result=60, max_jobs=5
    )
    with contextlib.suppress(TimeoutError):
        try:
            async with asyncio.timeout(seconds):
                await one.main()
        finally:
            await asyncio.gather(*one.tasks.values(), return_exceptions=True)


async def test_arq_does_every_job_once_and_notices_nothing(
    queue: Any, proxy: FaultProxy, tally: Tally, heard: Heard
) -> None:
    with Weather(proxy, hidden("ZRANGEBYSCORE", "ZCARD")):
        made = [await queue.enqueue_job("work", name, _job_id=name) for name in unhurried(NAMES)]
        await burst(queue)
        results = [await job.result(timeout=5, poll_delay=0.02) for job in made]
    assert tally() == NAMES
    assert results == [f"{name} done" for name in NAMES]
    assert heard.repeats > 0
    assert queue.connection_pool.stats().borrowed == 0


async def test_arq_leaves_no_acknowledged_job_undone(queue: Any, proxy: FaultProxy, tally: Tally, heard: Heard) -> None:
    """arq promises at least once."""
    with Weather(proxy, any_fault()):
        told = {name: await _enqueue(queue, name) for name in unhurried(NAMES)}
        for _ in range(5):  # as a supervisor would: a worker that is told of an error ends
            with contextlib.suppress(redis.RedisError):
                await burst(queue, seconds=0.5)
    await burst(queue, seconds=1)
    begun = {*tally(), *await _in_progress(queue)}
    assert {name for name, what in told.items() if what == "enqueued"} <= begun
    assert not {name for name, what in told.items() if what == "rejected"} & begun
    assert set(told.values()) <= {"enqueued", "unknown", "rejected"}
    assert heard.failures > 0
    assert queue.connection_pool.stats().borrowed == 0


async def _enqueue(queue: Any, name: str) -> str:
    try:
        job = await queue.enqueue_job("work", name, _job_id=name)
    except redis.RedisError as error:  # a WatchError for a lost WATCH: surely not enqueued
        return str(error.delivery)  # type: ignore[attr-defined]
    return "enqueued" if job is not None else "rejected"  # arq takes a WatchError out of EXEC for a job that is there


async def _in_progress(queue: Any) -> list[str]:
    """Begun by a worker that has ended: arq lets another have them after ``job_timeout``, and waits until then."""
    return [key.decode().removeprefix("arq:in-progress:") for key in await queue.keys("arq:in-progress:*")]
