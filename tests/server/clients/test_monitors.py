"""``monitor()`` is started through the policies, waits as long as it takes, and says when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker, CircuitOpenError, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

THRICE = [Retry(attempts=3, wait_initial=0, wait_max=0), Timeout(2)]


@contextlib.asynccontextmanager
async def monitoring(face: Any, client: Any) -> AsyncIterator[Any]:
    if face.name == "asyncio":
        async with client.monitor() as monitor:
            yield monitor
    else:
        monitor = await face.run(client.monitor)
        await face.run(monitor.__enter__)
        try:
            yield monitor
        finally:
            await face.run(monitor.__exit__, None, None, None)


async def seen(face: Any, monitor: Any, word: str) -> Any:
    while True:
        command = await face.run(monitor.next_command)
        if command["command"].startswith(word):
            return command


@pytest.mark.parametrize("protocol", [2, 3])
async def test_it_shows_what_the_server_runs(face: Any, server: EmbeddedServer, protocol: int) -> None:
    client = face.client(server.url, protocol=protocol)
    async with monitoring(face, client) as monitor:
        await face.run(client.set, "k", "a b")
        found = await seen(face, monitor, "SET")
        assert (found["command"], found["db"], found["client_type"]) == ("SET k a b", 0, "tcp")
    assert await face.run(client.get, "k") == b"a b"


async def test_starting_is_repeated(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=THRICE)
    proxy.cut_after_request(2, commands=["MONITOR"])
    async with monitoring(face, client) as monitor:
        server.execute("SET", "k", "v")
        assert (await seen(face, monitor, "SET"))["command"] == "SET k v"


async def test_an_open_circuit_refuses_to_start(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=[CircuitBreaker()], max_connections=1)
    client.breakers["circuit_breaker"].isolate()
    with pytest.raises(CircuitOpenError):
        async with monitoring(face, client):
            pass
    client.breakers["circuit_breaker"].reset()
    assert await face.run(client.ping)


async def test_a_start_that_fails_costs_no_connection(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[], max_connections=1)
    for _ in range(3):
        proxy.cut_after_request(1, commands=["MONITOR"])
        with pytest.raises(redis.ConnectionError):
            async with monitoring(face, client):
                pass
    assert await face.run(client.ping)


async def test_a_quiet_server_is_no_timeout(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, socket_timeout=0.2, policies=[Timeout(0.2)])
    async with monitoring(face, client) as monitor:
        waiting = asyncio.create_task(seen(face, monitor, "SET"))
        await face.pause(0.6)
        assert not waiting.done()
        server.execute("SET", "k", "v")
        found = await asyncio.wait_for(waiting, 5)
        assert found["command"] == "SET k v"


async def test_a_lost_connection_ends_it_and_it_stays_ended(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=THRICE, max_connections=1)
    async with monitoring(face, client) as monitor:
        proxy.cut_all()
        opened = proxy.connections_opened
        for _ in range(3):
            error = await face.error(monitor.next_command)
            assert type(error) is redis.ConnectionError
            assert (error.delivery, error.attempts) == ("unknown", 1)
            assert error.elapsed >= 0
            assert "make a new monitor()" in str(error)
        assert proxy.connections_opened == opened
    assert type(await face.error(monitor.next_command)) is redis.ConnectionError
    assert await face.run(client.set, "k", "v") is True


async def test_its_connection_is_never_lent_again(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, max_connections=1)
    async with monitoring(face, client):
        pass
    for number in range(3):
        assert await face.run(client.set, f"k{number}", number) is True
        assert await face.run(client.get, f"k{number}") == str(number).encode()
