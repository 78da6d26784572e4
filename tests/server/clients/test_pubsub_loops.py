"""redis-py's own loops around a pub/sub object, `run()` and `run_in_thread()`, outlive a lost connection."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from resilient_redis import Retry, Timeout
from resilient_redis.events import SubscriptionGap
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

QUICK = [Retry(attempts=3, wait_initial=0.01, wait_max=0.05), Timeout(1)]


async def test_asyncio_awaits_a_gap_handler_and_run_goes_on(proxy: FaultProxy, server: EmbeddedServer) -> None:
    from resilient_redis.asyncio import ResilientRedis

    heard: list[Any] = []

    async def load_anew(gap: SubscriptionGap) -> None:
        await asyncio.sleep(0)
        heard.append(gap)

    async with ResilientRedis.from_url(proxy.url, policies=QUICK) as client:
        pubsub = client.pubsub(gap_handler=load_anew)
        await pubsub.subscribe(a=lambda found: heard.append(found["data"]))
        task = asyncio.create_task(pubsub.run(poll_timeout=0.05, exception_handler=lambda *_: None))
        await asyncio.sleep(0.2)
        proxy.cut_all()
        until = time.monotonic() + 3
        while not heard and time.monotonic() < until:
            await asyncio.sleep(0.05)
        server.execute("PUBLISH", "a", "one")
        while len(heard) < 2 and time.monotonic() < until:
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await pubsub.aclose()
    assert isinstance(heard[0], SubscriptionGap)
    assert heard[1:] == [b"one"]


def test_a_worker_thread_hears_of_the_gap(proxy: FaultProxy, server: EmbeddedServer) -> None:
    from resilient_redis import ResilientRedis

    heard: list[Any] = []
    told = threading.Event()
    with ResilientRedis.from_url(proxy.url, policies=QUICK) as client:
        pubsub = client.pubsub(gap_handler=lambda gap: (heard.append(gap), told.set()))
        pubsub.subscribe(a=lambda found: heard.append(found["data"]))
        thread = pubsub.run_in_thread(sleep_time=0.05, daemon=True)
        time.sleep(0.2)
        proxy.cut_all()
        assert told.wait(5)
        server.execute("PUBLISH", "a", "one")
        until = time.monotonic() + 3
        while len(heard) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        thread.stop()
        thread.join(5)
    assert isinstance(heard[0], SubscriptionGap)
    assert heard[1:] == [b"one"]
