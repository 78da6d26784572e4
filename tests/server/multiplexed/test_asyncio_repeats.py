"""A repeat over shared connections of asyncio is never applied beside an original that comes late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import resilient_redis.asyncio
from resilient_redis import Multiplexed, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.transport.multiplexed.aio_line import Repeat

pytestmark = pytest.mark.server

AGAIN: list[Any] = [Retry(attempts=3, wait_initial=0.01, wait_max=0.02, repeat="always"), Timeout(2)]


def client_of(proxy: FaultProxy, **lines: Any) -> Any:
    return resilient_redis.asyncio.ResilientRedis.from_url(
        proxy.url, strategy=Multiplexed(max_in_flight=1, **lines), policies=AGAIN
    )


async def hasty_incr(client: Any, seconds: float) -> Any:
    with client.overrides(timeout=seconds):
        return await client.incr("n")


async def waiting_repeat(lines: Any) -> Any:
    """The line on which a repeat waits to be sent behind its original."""
    async with asyncio.timeout(2):
        while True:
            for line in lines._lines:
                if any(isinstance(slot, Repeat) for slot in line.book.unsent):
                    return line
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("connections", "retired"), [(1, False), (2, False), (1, True), (2, True)])
async def test_a_repeat_whose_line_is_lost_goes_on_only_once_the_original_is_cut_off(
    server: EmbeddedServer, proxy: FaultProxy, connections: int, retired: bool
) -> None:
    async with client_of(proxy, connections=connections) as client:
        await asyncio.gather(*(client.ping() for _ in range(4)))
        lines = client.connection_pool._shared
        proxy.hold_requests(commands=["INCRBY"])
        call = asyncio.create_task(hasty_incr(client, 0.5))
        line = await waiting_repeat(lines)
        if retired:
            lines.retire("lifetime")
        line.lose("a test's own loss", word="overdue")
        assert await call == 1
        proxy.release()
        await asyncio.sleep(0.1)
        assert server.execute("GET", "n") == b"$1\r\n1\r\n"
        assert lines.fences.uncovered([line.book.carrier], None) == [], "the next connection cut it off for everybody"


async def test_a_repeat_that_found_no_room_does_not_forget_its_original(proxy: FaultProxy) -> None:
    async with client_of(proxy, max_unsent=1) as client:
        await client.ping()
        proxy.hold_requests(commands=["INCRBY"])
        call = asyncio.create_task(hasty_incr(client, 0.2))
        await asyncio.sleep(0.05)
        filler = asyncio.create_task(client.get("x"))
        [error] = await asyncio.gather(call, return_exceptions=True)
        assert error.delivery == "unknown"
        [left] = error._behind
        assert left.address
        proxy.release()
        assert await filler is None


async def test_a_repeat_that_was_not_sent_in_time_does_not_forget_its_original(proxy: FaultProxy) -> None:
    async with client_of(proxy) as client:
        await client.ping()
        proxy.hold_requests(commands=["INCRBY"])
        [error] = await asyncio.gather(hasty_incr(client, 0.1), return_exceptions=True)
        assert error.delivery == "unknown"
        assert {left.address for left in error._behind} == {
            client.connection_pool._shared._lines[0].book.carrier.address
        }
        proxy.release()
