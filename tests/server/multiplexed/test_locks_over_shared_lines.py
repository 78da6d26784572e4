"""A lock's read-back over shared connections: nobody else is disturbed while they live, and it is right when not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

ONCE: list[Any] = [Timeout(3)]
STACK: list[Any] = [Retry(attempts=3, wait_initial=0.005, wait_max=0.01), Timeout(1)]


async def acquire_in_haste(face: Any, client: Any, seconds: float = 0.2) -> Any:
    """With less time than the others have, so that its connection is not given up when its reply is late."""
    lock = client.lock("job", timeout=5, thread_local=False)
    with client.overrides(timeout=seconds):
        return await face.run(lock.acquire, blocking=False)


async def told(work: Any) -> Any:
    """The error it ends with."""
    with pytest.raises(redis.RedisError) as caught:
        await work
    return caught.value


@pytest.mark.parametrize("connections", [1, 2])
async def test_a_late_lock_is_looked_into_behind_it_and_nobody_else_is_disturbed(
    shared: Any, face: Any, proxy: FaultProxy, server: EmbeddedServer, connections: int
) -> None:
    client = shared(proxy.url, ONCE, lines={"connections": connections})
    await face.together([client.ping] * 2)
    opened = client.connection_pool.stats().lines.opened
    server.execute("CONFIG", "RESETSTAT")
    proxy.delay_reply(0.3, commands=["SET"])
    acquiring = asyncio.ensure_future(acquire_in_haste(face, client))
    while not proxy.commands.get("SET"):
        await face.pause(0.005)
    replies = await face.together([lambda: client.incr("n") for _ in range(5)])
    assert sorted(replies) == [1, 2, 3, 4, 5]
    assert await acquiring is True
    assert proxy.commands["GET"] == 1
    stats = client.connection_pool.stats()
    assert (stats.lines.opened, stats.lines.ends) == (opened, {})
    assert b"client|kill" not in server.execute("INFO", "commandstats")


async def test_a_late_lock_on_a_connection_that_takes_nobody_any_more_is_ours(
    shared: Any, face: Any, proxy: FaultProxy
) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.ping)
    proxy.delay_reply(0.5, commands=["SET"])
    acquiring = asyncio.ensure_future(acquire_in_haste(face, client))
    while not proxy.commands.get("SET"):
        await face.pause(0.005)
    client.connection_pool.drain()
    assert await acquiring is True
    assert await face.run(client.get, "job") is not None


@pytest.mark.parametrize("end", ["cut", "late"])
async def test_a_lock_whose_request_is_still_on_its_way_never_appears_with_nobody_owning_it(
    shared: Any, face: Any, proxy: FaultProxy, end: str
) -> None:
    client = shared(proxy.url, STACK)
    await face.run(client.ping)
    proxy.hold_requests(commands=["SET"])
    lock = client.lock("job", timeout=5, thread_local=False)
    acquiring = asyncio.ensure_future(face.run(lock.acquire, blocking=False))
    while not proxy.held:
        await face.pause(0.01)
    if end == "cut":
        proxy.cut_all()
    assert await acquiring is True
    await face.run(lock.release)
    proxy.release()
    await face.pause(0.1)
    assert await face.run(client.get, "job") is None


async def test_a_lock_that_may_yet_arrive_is_not_said_to_be_free_where_connections_cannot_be_cut_off(
    shared: Any, face: Any
) -> None:
    with EmbeddedServer.start() as server, FaultProxy(server.host, server.port) as proxy:
        server.execute("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-client|kill", "-client|list")
        client = shared(proxy.url, STACK, username="app", password="secret")
        await face.run(client.ping)
        proxy.hold_requests(commands=["SET"])
        lock = client.lock("job", timeout=5, thread_local=False)
        trying = asyncio.ensure_future(face.error(lock.acquire, blocking=False))
        while not proxy.held:
            await face.pause(0.01)
        proxy.cut_all()
        error = await trying
        assert isinstance(error, redis.RedisError)
        assert error.delivery == "unknown"


async def test_each_try_of_a_read_back_has_to_be_certain_for_itself(shared: Any, face: Any) -> None:
    """The first one is lost with the connection that both were sent over, and the lock may still be on its way."""
    with EmbeddedServer.start() as server, FaultProxy(server.host, server.port) as proxy:
        server.execute("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-client|kill", "-client|list")
        stack = [Timeout(3), Retry(attempts=3, wait_initial=0.005, wait_max=0.01)]
        client = shared(proxy.url, stack, username="app", password="secret")
        await face.run(client.ping)
        proxy.hold_requests(commands=["SET"])
        trying = asyncio.ensure_future(told(acquire_in_haste(face, client, 0.6)))
        await face.pause(0.9)
        assert (proxy.held, client.connection_pool.stats().lines.in_flight) == (1, 2)
        proxy.cut_all()
        error = await trying
        assert isinstance(error, redis.RedisError)
        assert error.delivery == "unknown"
