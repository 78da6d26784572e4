"""In asyncio an attempt's deadline ends the wait for a dial, not the dial. (A sync caller dials in its own thread.)"""

from __future__ import annotations

import asyncio

import pytest
import redis

from resilient_redis import Retry, Timeout
from resilient_redis.asyncio import ResilientRedis
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

SHORT = [Retry(attempts=20, wait_initial=0.01, wait_max=0.02, total_time=10), Timeout(0.2)]


async def test_a_dial_longer_than_the_deadline_gets_through(proxy: FaultProxy) -> None:
    async with ResilientRedis.from_url(proxy.url, policies=SHORT, protocol=3) as client:
        await client.set("k", "v")
        await client.connection_pool.disconnect()
        proxy.delay(0.1)  # each reply: a handshake has three or more of them, so no attempt could finish one
        assert await client.get("k") == b"v"


async def test_a_cancelled_caller_leaves_its_dial_to_the_next(proxy: FaultProxy) -> None:
    async with ResilientRedis.from_url(proxy.url, policies=[], protocol=3) as client:
        proxy.delay(0.1)
        waiting = asyncio.create_task(client.get("k"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await client.get("k") is None
        assert proxy.connections_opened == 1


async def test_a_single_connection_never_writes_into_a_handshake_under_way(proxy: FaultProxy) -> None:
    policies = [Timeout(0.15)]
    async with ResilientRedis.from_url(
        proxy.url, policies=policies, protocol=3, single_connection_client=True, decode_responses=True
    ) as client:
        await client.set("k", "v")
        assert client.connection is not None
        await client.connection.disconnect()
        proxy.delay(0.1)
        for tries in range(10):
            try:
                answer = await client.get("k")
            except redis.TimeoutError:
                await asyncio.sleep(0.05 * tries)  # the dial goes on meanwhile
                continue
            assert answer == "v"
            break
        else:
            raise AssertionError("it never got through")


async def test_closing_the_client_ends_a_dial_under_way(proxy: FaultProxy) -> None:
    client = ResilientRedis.from_url(proxy.url, policies=[Timeout(0.1)], protocol=3)
    proxy.black_hole()
    with pytest.raises(redis.TimeoutError) as caught:
        await client.get("k")
    assert caught.value.delivery == "not_sent"  # type: ignore[attr-defined]
    await client.aclose()
    await asyncio.sleep(0.05)
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert others == []


async def test_a_dial_that_fails_after_its_waiter_left_is_dialled_anew(
    own_server: EmbeddedServer, proxy: FaultProxy
) -> None:
    async with ResilientRedis.from_url(proxy.url, policies=[Timeout(0.1)], protocol=3) as client:
        proxy.black_hole()
        with pytest.raises(redis.TimeoutError):
            await client.get("k")
        proxy.cut_all()
        proxy.heal()
        await asyncio.sleep(0.05)
        assert await client.get("k") is None
