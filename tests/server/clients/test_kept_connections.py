"""A connection that one client keeps to itself is not replaced by another one while it holds state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker, CircuitOpenError, Fallback, Retry, Timeout
from resilient_redis.asyncio import ResilientRedis
from resilient_redis.errors import ConnectionStateLostError
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

THRICE = [Retry(attempts=3, wait_initial=0, wait_max=0), Timeout(2)]

STATES: dict[str, tuple[Any, ...]] = {
    "SELECT": ("SELECT", 5),
    "WATCH": ("WATCH", "k"),
    "MULTI": ("MULTI",),
    "READONLY": ("CLIENT", "NO-TOUCH", "ON"),
    "TRACKING": ("CLIENT", "TRACKING", "ON"),
    "AUTH": ("AUTH", "default", "any"),
}


async def single(face: Any, url: str, **options: Any) -> Any:
    client = face.client(url, single_connection_client=True, **{"policies": THRICE, **options})
    await face.run(client.ping)
    return client


@contextlib.asynccontextmanager
async def leasing(face: Any, client: Any) -> AsyncIterator[Any]:
    if face.name == "asyncio":
        async with client.lease() as one:
            yield one
    else:
        with client.lease() as one:
            yield one


@pytest.mark.parametrize("state", STATES)
async def test_a_single_connection_client_whose_state_is_lost_refuses_from_then_on(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, state: str
) -> None:
    client = await single(face, proxy.url, protocol=3)
    await face.run(client.execute_command, *STATES[state])
    proxy.cut_all()
    await face.pause(0.05)
    assert isinstance(await face.error(client.set, "k", "v"), redis.ConnectionError)
    for _ in range(3):
        error = await face.error(client.set, "k", "v")
        assert isinstance(error, ConnectionStateLostError)
        assert (error.delivery, error.attempts) == ("not_sent", 1)
        assert "make a new client" in str(error)
    assert server.execute("EXISTS", "k") == b":0\r\n"
    again = face.keep(client.client())
    assert await face.run(again.set, "k", "v") is True


async def test_a_plain_single_connection_client_dials_anew(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    """As redis-py's: it may be the only client that a script has."""
    client = await single(face, proxy.url)
    for _ in range(3):
        proxy.cut_all()
        await face.pause(0.05)
        with contextlib.suppress(redis.ConnectionError):
            await face.run(client.get, "k")  # the one that notices is not repeated
        assert await face.run(client.set, "k", "v") is True


async def test_what_is_over_is_no_state(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = await single(face, proxy.url)
    for words in [("WATCH", "k"), ("UNWATCH",), ("SELECT", 5), ("SELECT", 0), ("MULTI",), ("DISCARD",)]:
        await face.run(client.execute_command, *words)
    proxy.cut_all()
    await face.pause(0.05)
    await face.error(client.get, "k")
    assert await face.run(client.get, "k") is None


async def test_after_quit_it_dials_anew(face: Any, server: EmbeddedServer) -> None:
    client = await single(face, server.url)
    await face.run(client.execute_command, "SELECT", 5)
    await face.run(client.execute_command, "QUIT")
    with contextlib.suppress(redis.ConnectionError):
        await face.run(client.get, "k")
    assert await face.run(client.get, "k") is None


async def test_a_health_check_does_not_dial_anew_behind_the_back(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = await single(face, proxy.url, health_check_interval=0.05)
    await face.run(client.execute_command, "SELECT", 5)
    proxy.cut_all()
    await face.pause(0.1)  # so that a PING comes before the next command, and notices
    error = await face.error(client.set, "k", "v")
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "not_sent"
    assert isinstance(await face.error(client.set, "k", "v"), ConnectionStateLostError)
    assert server.execute("EXISTS", "k") == b":0\r\n"


async def test_a_lease_never_goes_on_over_another_connection(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=THRICE, max_connections=1)
    async with leasing(face, client) as one:
        await face.run(one.set, "k", "first")
        proxy.cut_all()
        await face.pause(0.05)
        assert isinstance(await face.error(one.set, "k", "second"), redis.ConnectionError)
        error = await face.error(one.set, "k", "third")
        assert isinstance(error, ConnectionStateLostError)
        assert "leave the lease() block" in str(error)
    assert await face.run(client.get, "k") == b"first"
    async with leasing(face, client) as one:
        assert await face.run(one.get, "k") == b"first"


async def test_a_lost_state_is_neither_masked_nor_counted(face: Any, proxy: FaultProxy) -> None:
    breaker = CircuitBreaker(fail_max=2, reset_timeout=60)
    client = await single(face, proxy.url, policies=[Fallback(b"made up"), breaker])
    await face.run(client.execute_command, "SELECT", 5)
    proxy.cut_all()
    await face.pause(0.05)
    await face.error(client.get, "k")  # the loss itself counts
    for _ in range(5):
        assert isinstance(await face.error(client.get, "k"), ConnectionStateLostError)
    assert str(client.breakers["circuit_breaker"].state) == "closed"


async def test_a_closed_client_gives_the_pool_an_ordinary_connection(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    pooled = face.client(proxy.url, policies=THRICE, max_connections=1)
    one = pooled.client()
    await face.run(one.execute_command, "SELECT", 5)
    proxy.cut_all()
    await face.pause(0.05)
    await face.error(one.get, "k")
    await face.run(one.aclose if face.name == "asyncio" else one.close)
    assert await face.run(pooled.set, "k", "v") is True


async def test_over_a_pool_of_redis_pys_it_is_the_same(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    pool = face.keep(face.names.ConnectionPool.from_url(proxy.url))
    client = face.client(connection_pool=pool, policies=THRICE, single_connection_client=True)
    await face.run(client.execute_command, "SELECT", 5)
    proxy.cut_all()
    await face.pause(0.05)
    await face.error(client.get, "k")
    assert isinstance(await face.error(client.get, "k"), ConnectionStateLostError)
    await face.run(client.aclose if face.name == "asyncio" else client.close)
    other = face.client(connection_pool=pool)
    assert await face.run(other.set, "k", "v") is True


# --- the way to the connection ----------------------------------------------------------------------------------


async def opened(face: Any, made: Callable[[], Any]) -> Any:
    """A client that has its connection: redis-py's sync one takes it when it is made."""
    if face.name == "asyncio":
        return await made().initialize()
    return await face.run(made)


async def refused(face: Any, made: Callable[[], Any]) -> Any:
    with pytest.raises(redis.RedisError) as caught:
        await opened(face, made)
    return caught.value


def of_its_own(face: Any, url: str, policies: list[Any]) -> list[Callable[[], Any]]:
    pooled = face.client(url, policies=policies, protocol=3)
    return [pooled.client, lambda: face.client(url, policies=policies, protocol=3, single_connection_client=True)]


@pytest.mark.parametrize("way", [0, 1], ids=["client()", "single_connection_client"])
async def test_a_dial_that_fails_is_repeated(face: Any, proxy: FaultProxy, way: int) -> None:
    made = of_its_own(face, proxy.url, THRICE)[way]
    proxy.garbage(1, commands=["HELLO"])
    one = face.keep(await opened(face, made))
    assert await face.run(one.incr, "n") == 1
    assert proxy.faults == {"garbage": 1}


@pytest.mark.parametrize("way", [0, 1], ids=["client()", "single_connection_client"])
async def test_a_dial_keeps_to_the_deadline_and_its_error_tells_what_is_known(
    face: Any, proxy: FaultProxy, stopwatch: Any, way: int
) -> None:
    """No fallback stands for a connection."""
    policies = [Fallback(None), Retry(attempts=2, wait_initial=0, wait_max=0), Timeout(0.1)]
    made = of_its_own(face, proxy.url, policies)[way]
    proxy.black_hole()
    with stopwatch() as watch:
        error = await refused(face, made)
    assert (error.delivery, error.attempts) == ("not_sent", 2)
    assert error.elapsed < 2
    assert watch.seconds < 2  # the pool's own patience is 5 s


@pytest.mark.parametrize("way", [0, 1], ids=["client()", "single_connection_client"])
async def test_an_open_circuit_refuses_it(face: Any, server: EmbeddedServer, way: int) -> None:
    breaker = CircuitBreaker(name="b")
    client = face.client(server.url, policies=[breaker])
    made = [client.client, lambda: face.Client(connection_pool=client.connection_pool, single_connection_client=True)]
    client.breakers["b"].isolate()
    assert isinstance(await refused(face, made[way]), CircuitOpenError)


@pytest.mark.parametrize("ticks", range(6))
async def test_a_cancel_while_a_block_ends_leaves_no_connection_lent(server: EmbeddedServer, ticks: int) -> None:
    """redis-py's own `__aexit__` gives nothing back if it is cancelled where it counts its users."""
    async with ResilientRedis.from_url(server.url) as client:

        async def cancel(task: asyncio.Task[None]) -> None:
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()

        async def work() -> None:
            me: Any = asyncio.current_task()
            async with client.client() as one:
                await one.ping()
                others.append(asyncio.create_task(cancel(me)))

        others: list[asyncio.Task[None]] = []
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.create_task(work())
        await asyncio.gather(*others)
        await asyncio.sleep(0.02)  # what was begun behind a shield ends
        assert client.connection_pool.stats().borrowed == 0
