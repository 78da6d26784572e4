"""The life of shared connections: renewed while they serve, drained when closed, gone with their pool."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
import warnings
import weakref
from typing import Any

import pytest
import redis

import resilient_redis.asyncio
from resilient_redis import PoolClosedError, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

ONCE: list[Any] = [Timeout(2)]


async def end(face: Any, client: Any) -> None:
    await face.run(client.close if face.name == "sync" else client.aclose)


async def end_pool(face: Any, pool: Any, **options: Any) -> Any:
    return await face.run(pool.close if face.name == "sync" else pool.aclose, **options)


async def test_a_connection_that_is_too_old_is_replaced_and_nobody_notices(
    shared: Any, face: Any, server: EmbeddedServer
) -> None:
    client = shared(server.url, ONCE, max_lifetime=0.2)
    deadline = time.monotonic() + 5
    while not client.connection_pool.stats().lines.ends.get("lifetime") and time.monotonic() < deadline:
        await face.together([lambda: client.incr("n") for _ in range(10)])
        await face.pause(0.02)
    stats = client.connection_pool.stats()
    assert stats.lines.ends["lifetime"] >= 1
    assert stats.closes["lifetime"] >= 1
    assert set(stats.lines.ends) == {"lifetime"}


async def test_a_connection_that_was_silent_for_long_is_not_trusted_any_more(
    shared: Any, face: Any, server: EmbeddedServer
) -> None:
    """Something between may have forgotten it without a word."""
    client = shared(server.url, ONCE, validate_after=0.3)
    for _ in range(8):
        await face.run(client.incr, "n")
        await face.pause(0.05)
    assert client.connection_pool.stats().lines.opened == 1
    await face.pause(0.4)
    assert await face.run(client.incr, "n") == 9
    lines = client.connection_pool.stats().lines
    assert (lines.opened, lines.ends) == (2, {"idle": 1})


async def test_a_drained_pool_serves_over_a_new_connection(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.ping)
    client.connection_pool.drain()
    assert await face.run(client.incr, "n") == 1
    assert proxy.connections_opened == 2
    assert client.connection_pool.stats().lines.ends == {"drain": 1}


async def test_a_client_that_is_closed_waits_for_the_replies_that_are_due(
    shared: Any, face: Any, proxy: FaultProxy
) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.set, "k", "v")
    proxy.delay_reply(0.2, commands=["GET"])
    calls = asyncio.get_running_loop().create_task(face.together([lambda: client.get("k") for _ in range(5)]))
    await face.pause(0.1)
    await end(face, client)
    replies = await calls
    assert replies == [b"v"] * 5
    stats = client.connection_pool.stats()
    assert (stats.size, stats.lines.connected) == (0, 0)
    assert await face.run(client.get, "k") == b"v"  # as redis-py's, it may be used again


async def test_a_pool_that_is_closed_with_patience_waits_for_the_replies_that_are_due(
    shared: Any, face: Any, proxy: FaultProxy
) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.set, "k", "v")
    proxy.delay_reply(0.2, commands=["GET"])
    calls = asyncio.get_running_loop().create_task(face.together([lambda: client.get("k") for _ in range(5)]))
    await face.pause(0.1)
    assert await end_pool(face, client.connection_pool, timeout=2) is True
    replies = await calls
    assert replies == [b"v"] * 5
    assert isinstance(await face.error(client.get, "k"), PoolClosedError)


async def test_a_pool_that_is_closed_at_once_cuts_off_what_is_in_flight(
    shared: Any, face: Any, proxy: FaultProxy
) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.set, "k", "v")
    proxy.delay_reply(0.5, commands=["GET"])
    calls = asyncio.get_running_loop().create_task(face.together([lambda: client.get("k") for _ in range(5)]))
    await face.pause(0.1)
    assert await end_pool(face, client.connection_pool) is False
    errors = await calls
    assert {(type(error), error.delivery) for error in errors} == {(redis.ConnectionError, "unknown")}


async def test_closing_an_idle_client_leaves_nothing_open(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.ping)
    await end(face, client)
    await face.pause(0.05)
    assert proxy.open_connections == 0


async def test_new_credentials_are_used_by_a_new_connection(face: Any, shared: Any, server: EmbeddedServer) -> None:
    """A shared connection cannot be asked to log in again between its callers' commands."""
    client = shared(server.url, ONCE)
    await face.run(client.ping)
    pool = client.connection_pool
    [connection] = pool._get_in_use_connections()
    connection.set_re_auth_token(object())  # as redis-py does when a provider has new ones
    await face.run(client.ping)
    await face.pause(0.1)
    assert await face.run(client.ping) is True
    assert pool.stats().lines.ends == {"auth": 1}


# asyncio alone


def asyncio_client(url: str, **options: Any) -> Any:
    options = {"policies": ONCE, "strategy": "multiplexed", **options}
    return resilient_redis.asyncio.ResilientRedis.from_url(url, **options)


@pytest.mark.parametrize("end_of_the_first", ["lost", "closed"])
async def test_a_successor_whose_predecessor_has_ended_meanwhile_is_not_one_too_many(
    server: EmbeddedServer, end_of_the_first: str
) -> None:
    async with asyncio_client(server.url) as client:
        await client.ping()
        lines = client.connection_pool._shared
        [line] = lines._lines
        lines._succeed(line, "reconnect")
        if end_of_the_first == "lost":
            line.lose("a test's own loss")
            assert await client.ping() is True
        else:
            lines.retire("closed")
        await asyncio.sleep(0.1)
        stats = client.connection_pool.stats()
        assert (stats.lines.connected, stats.borrowed) == ((1, 1) if end_of_the_first == "lost" else (0, 0))


async def test_cancel_storms_shift_nothing(server: EmbeddedServer) -> None:
    async with asyncio_client(server.url) as client:
        await client.mset({f"k{number}": number for number in range(50)})
        for turn in range(60):
            tasks = [asyncio.create_task(client.get(f"k{number}")) for number in range(50)]
            await asyncio.sleep(0.0003 * (turn % 5))
            for number, task in enumerate(tasks):
                if (number + turn) % 3 == 0:
                    task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            for number, reply in enumerate(found):
                assert isinstance(reply, asyncio.CancelledError) or reply == str(number).encode()
        assert client.connection_pool.stats().lines.opened == 1


async def test_cancelled_callers_make_room_in_the_queue(proxy: FaultProxy) -> None:
    async with asyncio_client(proxy.url, strategy=resilient_redis.Multiplexed(max_unsent=3)) as client:
        proxy.delay(0.2)
        for _ in range(5):
            tasks = [asyncio.create_task(client.incr("n")) for _ in range(3)]
            await asyncio.sleep(0.005)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert await client.incr("n") == 1


def test_another_loop_begins_anew_once_the_first_is_closed(server: EmbeddedServer) -> None:
    client = asyncio_client(server.url)

    async def work() -> Any:
        try:
            return await asyncio.gather(*(client.incr("n") for _ in range(5)))
        finally:
            await client.aclose()

    assert asyncio.run(work()) == [1, 2, 3, 4, 5]
    assert asyncio.run(work()) == [6, 7, 8, 9, 10]


def test_another_loop_is_refused_while_the_first_is_open(server: EmbeddedServer) -> None:
    client = asyncio_client(server.url)
    first = asyncio.new_event_loop()
    try:
        first.run_until_complete(client.ping())
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(client.ping())
        assert first.run_until_complete(client.ping()) is True
        first.run_until_complete(client.aclose())
    finally:
        first.close()


def test_a_child_process_opens_a_connection_of_its_own(server: EmbeddedServer) -> None:
    client = asyncio_client(server.url)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(client.set("k", "v"))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if asyncio.run(_ask(client)) == [b"v"] * 5 else 2
            finally:
                os._exit(code)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert loop.run_until_complete(_ask(client)) == [b"v"] * 5
        assert client.connection_pool.stats().lines.opened == 1
        loop.run_until_complete(client.aclose())
    finally:
        loop.close()


async def _ask(client: Any) -> list[Any]:
    return await asyncio.gather(*(client.get("k") for _ in range(5)))


async def test_a_forgotten_client_takes_its_connections_with_it(proxy: FaultProxy) -> None:
    client = asyncio_client(proxy.url)
    await client.ping()
    gone = weakref.ref(client.connection_pool)
    del client
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # redis-py says, as it should, that nobody closed it
        gc.collect()
        await asyncio.sleep(0.05)
    assert gone() is None
    assert proxy.open_connections == 0
