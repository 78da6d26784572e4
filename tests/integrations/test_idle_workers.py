"""A worker that waits for work in a blocking command waits as long as it likes, however short the Timeout."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest
from integration_jobs import do
from integration_kit import Heard, Tally, eventually

from resilient_redis import ResilientConnectionPool, ResilientRedis, Timeout
from resilient_redis.asyncio import ResilientConnectionPool as AsyncResilientConnectionPool
from resilient_redis.testing import EmbeddedServer

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

POLICIES = [Timeout(0.2)]
IDLE = 0.8


def test_rqs(server: EmbeddedServer, tally: Tally, heard: Heard) -> None:
    rq = pytest.importorskip("rq")
    with ResilientRedis.from_url(server.url, policies=POLICIES, listeners=[heard]) as connection:
        queue = rq.Queue("work", connection=connection)
        later = threading.Timer(IDLE, queue.enqueue, [do, "late"])
        later.start()
        assert rq.SimpleWorker([queue], connection=connection).work(max_jobs=1, max_idle_time=5)
        later.join()
    assert tally() == ["late"]
    assert heard.failures == 0


def test_hueys(server: EmbeddedServer, tally: Tally, heard: Heard) -> None:
    huey = pytest.importorskip("huey")
    with ResilientConnectionPool.from_url(server.url, policies=POLICIES) as pool:
        pool.events.add(heard)
        queue = huey.RedisHuey("work", connection_pool=pool, read_timeout=2)
        consumer = queue.create_consumer(workers=1, periodic=False)
        consumer._set_signal_handlers = lambda: None
        consumer.start()
        threading.Event().wait(IDLE)
        queue.task()(do)("late")
        assert eventually(lambda: tally() == ["late"])
        consumer.stop(graceful=True)
    assert heard.failed("BRPOP") == 0


@pytest.mark.parametrize("kind", ["ListQueueBroker", "RedisStreamBroker"])
async def test_taskiqs(kind: str, server: EmbeddedServer, tally: Tally, heard: Heard) -> None:
    broker = getattr(pytest.importorskip("taskiq_redis"), kind)(server.url)
    broker.connection_pool = AsyncResilientConnectionPool.from_url(server.url, policies=POLICIES)
    broker.connection_pool.events.add(heard)
    await broker.startup()

    @broker.task(task_name="do")
    async def work(name: str) -> Any:
        return do(name)

    working = asyncio.create_task(pytest.importorskip("taskiq.api").run_receiver_task(broker))
    await asyncio.sleep(IDLE)
    await work.kiq("late")
    assert await asyncio.to_thread(eventually, lambda: tally() == ["late"])
    assert heard.failures == 0
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    await broker.shutdown()
