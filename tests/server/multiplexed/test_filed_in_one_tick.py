"""What many tasks file in one tick keeps the bounds and the deadlines of each of them."""

from __future__ import annotations

import asyncio

import pytest
import redis

from resilient_redis import PoolSaturatedError, Timeout
from resilient_redis.asyncio import ResilientRedis
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.transport.multiplexed.options import Multiplexed

pytestmark = pytest.mark.server


async def test_a_caller_in_a_hurry_who_files_later_is_told_in_time(proxy: FaultProxy) -> None:
    async with ResilientRedis.from_url(proxy.url, policies=[Timeout(5)], strategy="multiplexed") as client:

        async def hurry() -> None:
            with client.overrides(timeout=0.2):
                await client.get("k")

        await client.ping()
        proxy.delay(1.5)
        calls = [asyncio.ensure_future(call) for call in (client.get("k"), client.get("k"), hurry())]
        done, _ = await asyncio.wait(calls, timeout=1.2)
        assert done == {calls[2]}
        assert isinstance(calls[2].exception(), redis.TimeoutError)
        assert await asyncio.gather(*calls[:2]) == [None, None]  # late, over the same connection
        assert client.connection_pool.stats().lines.ends == {}


@pytest.mark.parametrize("max_unsent", [1, 3])
async def test_while_the_server_does_not_keep_up_no_more_than_max_unsent_wait(
    server: EmbeddedServer, max_unsent: int
) -> None:
    client = ResilientRedis.from_url(server.url, policies=[Timeout(5)], strategy=Multiplexed(max_unsent=max_unsent))
    async with client:
        await client.ping()
        line = client.connection_pool._shared._lines[0]
        line.pause_writing()
        calls = [asyncio.ensure_future(client.incr("n")) for _ in range(8)]
        done, waiting = await asyncio.wait(calls, timeout=0.05)
        assert {type(call.exception()) for call in done} == {PoolSaturatedError}
        assert len(waiting) == len(line.book.unsent) == max_unsent
        line.resume_writing()
        assert [await call for call in calls if call in waiting] == list(range(1, max_unsent + 1))
